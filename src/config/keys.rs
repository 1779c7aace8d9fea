//! Every key: where it stands, what it takes, its default, and what it means. Data that the reader, `--print` and
//! `docs/configuration.md` share; the rules that tie keys to each other are in the sections.

use super::{
    problem::Origin,
    raw::{self, Node, Table, Value},
};
use crate::domain::units::{format_duration, format_size};
use std::time::Duration;

mod table;

pub(super) use table::all;

/// One key.
pub(super) struct Key {
    /// The dotted path; `[]` stands for any place in a list of tables.
    pub(super) path: &'static str,
    /// What it takes.
    pub(super) kind: Kind,
    /// What holds when it is left out.
    pub(super) otherwise: Otherwise,
    /// What it is for, in a sentence or two of Markdown.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the test that writes docs/configuration.md"))]
    pub(super) meaning: &'static str,
}

/// What holds when a key is left out.
pub(super) enum Otherwise {
    /// This value, written as a variable's value is: TOML, with bare words for texts.
    Is(&'static str),
    /// It must not be left out.
    Required,
    /// Nothing: the feature is not used, or another key says it.
    Nothing,
}

/// What a key takes. The texts say what would be right, with their article, as they stand behind "must be".
pub(super) enum Kind {
    /// A text.
    Text(&'static str),
    /// A text that is an address on the network, so that it is not repeated in messages: it may hold a password.
    Url(&'static str),
    /// A file or folder.
    Path,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number, within these.
    Number(u64, u64),
    /// A duration, within these milliseconds.
    Duration(u64, u64),
    /// A size, within these bytes.
    Size(u64, u64),
    /// A list of texts: an example in TOML, and what each must be.
    Texts(&'static str, &'static str),
    /// A table whose names are free: an example in TOML, and what each value must be.
    Map(&'static str, &'static str),
    /// A list of tables, which has keys of its own.
    Tables(&'static str),
}

impl Kind {
    /// Whether its value is one text.
    pub(super) fn is_text(&self) -> bool {
        match self {
            Self::Text(_) | Self::Url(_) | Self::Path | Self::Word(_) | Self::Duration(..) | Self::Size(..) => true,
            Self::Number(..) | Self::Texts(..) | Self::Map(..) | Self::Tables(_) => false,
        }
    }

    /// What would be right, with its article.
    pub(super) fn right(&self) -> String {
        match self {
            Self::Text(right) | Self::Url(right) => (*right).to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Word(words) => alternatives(words),
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::Duration(least, most) => {
                let (least, most) = (Duration::from_millis(*least), Duration::from_millis(*most));
                format!("a duration from \"{}\" to \"{}\"", format_duration(least), format_duration(most))
            }
            Self::Size(least, most) => {
                format!("a size from \"{}\" to \"{}\"", format_size(*least), format_size(*most))
            }
            Self::Texts(example, _) => format!("a list such as {example}"),
            Self::Map(example, _) => format!("a table such as {example}"),
            Self::Tables(example) => format!("a list of tables, {example}"),
        }
    }

    /// What would be right for one value of a list or a free table.
    pub(super) fn right_inside(&self) -> &'static str {
        match self {
            Self::Texts(_, right) | Self::Map(_, right) => right,
            Self::Tables(_) => "a table",
            _ => "a text",
        }
    }
}

/// `"a"`, `"a" or "b"`, `"a", "b" or "c"`
fn alternatives(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// The key with this pattern.
pub(super) fn find(pattern: &str) -> Option<&'static Key> {
    all().find(|key| key.path == pattern)
}

/// The sections in the order of their first key: `server`, `auth`, `auth.issuers[]` …
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = Vec::new();
    for (section, _) in all().map(Key::split) {
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    sections
}

/// The keys that stand directly in a section.
pub(super) fn in_section(section: &str) -> impl Iterator<Item = &'static Key> {
    all().filter(move |key| key.split().0 == section)
}

/// Whether this is a section, or a table around one.
pub(super) fn is_section(pattern: &str) -> bool {
    all().any(|key| key.path.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('.')))
}

/// Whether this dotted path leads to a list of tables or into one.
pub(super) fn in_list_of_tables(path: &str) -> bool {
    all()
        .filter(|key| matches!(key.kind, Kind::Tables(_)))
        .any(|key| path.strip_prefix(key.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The names that may stand in the table with this pattern, tables included.
pub(super) fn names_in(pattern: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for key in all() {
        let inside = if pattern.is_empty() {
            Some(key.path)
        } else {
            key.path.strip_prefix(pattern).and_then(|rest| rest.strip_prefix('.'))
        };
        let name = inside.and_then(|rest| rest.split(['.', '[']).next());
        if let Some(name) = name.filter(|name| !names.contains(name)) {
            names.push(name);
        }
    }
    names
}

/// A section that has a key of this name, as it is written in a file.
pub(super) fn section_with(name: &str) -> Option<String> {
    all().map(Key::split).find(|(_, last)| *last == name).map(|(section, _)| header(section))
}

/// The header of a section: `[tencent.credentials]`, `[[auth.issuers]]`.
pub(super) fn header(section: &str) -> String {
    match section.strip_suffix("[]") {
        Some(list) => format!("[[{list}]]"),
        None => format!("[{section}]"),
    }
}

/// Puts the default of every key that was left out into the tree.
///
/// A section that no default stands in (`tencent.download`) is not made; tables in lists are filled, not made.
pub(super) fn fill_defaults(root: &mut Table) {
    for key in all() {
        if let Some(node) = key.default() {
            fill(root, key.path, node);
        }
    }
}

fn fill(table: &mut Table, path: &str, default: Node) {
    let Some((name, rest)) = path.split_once('.') else {
        table.entry(path.to_owned()).or_insert(default);
        return;
    };
    if let Some(list) = name.strip_suffix("[]") {
        let Some(Node { value: Value::List(items), .. }) = table.get_mut(list) else { return };
        for item in items {
            if let Value::Table(inner) = &mut item.value {
                fill(inner, rest, default.clone());
            }
        }
        return;
    }
    let section = table
        .entry(name.to_owned())
        .or_insert_with(|| Node { value: Value::Table(Table::new()), origin: Origin::Default });
    if let Value::Table(inner) = &mut section.value {
        fill(inner, rest, default);
    }
}

/// Reads a value in TOML syntax, bare words being texts.
///
/// Where a text is wanted, whatever is not in quotes is one: `[::]:8080` is an address, `100000000001` an account.
pub(super) fn value_from(kind: Option<&Kind>, text: &str, origin: &Origin) -> Result<Node, String> {
    let wants_text = kind.is_some_and(Kind::is_text);
    let bare = || Node { value: Value::Text(text.to_owned()), origin: origin.clone() };
    match raw::parse_value(text, origin) {
        Ok(Node { value: Value::Number(_) | Value::Other(_), .. }) if wants_text => Ok(bare()),
        Ok(node) => Ok(node),
        Err(why) if text.starts_with(['"', '\'']) => Err(why),
        Err(why) if text.starts_with(['[', '{']) && !wants_text => Err(why),
        Err(_) => Ok(bare()),
    }
}

impl Key {
    /// The section and the name in it.
    pub(super) fn split(&self) -> (&'static str, &'static str) {
        self.path.rsplit_once('.').unwrap_or(("", self.path))
    }

    /// The default as it would have been written.
    pub(super) fn default(&self) -> Option<Node> {
        let Otherwise::Is(text) = self.otherwise else { return None };
        value_from(Some(&self.kind), text, &Origin::Default).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_written_in_toml_syntax() {
        for key in all() {
            assert_eq!(key.default().is_some(), matches!(key.otherwise, Otherwise::Is(_)), "{}", key.path);
        }
    }

    #[test]
    fn no_key_stands_in_the_list_twice_and_those_of_a_section_stand_together() {
        let mut seen: Vec<&str> = Vec::new();
        for key in all() {
            assert!(!seen.contains(&key.path), "{}", key.path);
            seen.push(key.path);
        }

        let mut in_order: Vec<&str> = all().map(|key| key.split().0).collect();
        in_order.dedup();
        assert_eq!(in_order, sections());
    }
}
