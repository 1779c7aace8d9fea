//! What was written: a tree of values, each with its origin. Nothing here knows what a key means.

use std::{collections::BTreeMap, fs::File, io::Read as _, ops::Range, path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue, Error},
};

use super::problem::{Notes, Origin, Problem};

/// A file beyond this is not a configuration; the largest that makes sense is some hundred lines.
const FILE_LIMIT_BYTES: u64 = 1 << 20;

/// A table: names and what stands under them.
pub(super) type Table = BTreeMap<String, Node>;

/// A value and where it was written.
///
/// Neither this nor [`Value`] implements `Debug`: what was written by mistake may be a secret.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A value as TOML knows it.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Number(i128),
    /// What no key takes: a boolean, a date, a number with a fraction. It is named with its article.
    Other(&'static str),
    List(Vec<Node>),
    Table(Table),
}

/// Reads a file. What is wrong with it as TOML goes into `notes`, and nothing is returned.
pub(super) fn read_file(path: &Path, notes: &Notes) -> Option<Table> {
    let unreadable = |why: String| {
        let name = path.display().to_string();
        notes.add(Problem::new(None, None, format!("the file {} {why}", name.escape_debug())));
    };
    let mut bytes = Vec::new();
    if let Err(error) = File::open(path).and_then(|file| file.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes)) {
        unreadable(format!("cannot be read: {error}"));
        return None;
    }
    if bytes.len() as u64 > FILE_LIMIT_BYTES {
        unreadable(format!("must not be larger than {FILE_LIMIT_BYTES} bytes"));
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => parse_document(&text, path, notes),
        Err(error) => {
            unreadable(format!("must be UTF-8, and is not at byte {}", error.utf8_error().valid_up_to()));
            None
        }
    }
}

fn parse_document(text: &str, path: &Path, notes: &Notes) -> Option<Table> {
    let path: Arc<Path> = path.into();
    let line_starts: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(offset, _)| offset + 1)).collect();
    let origin_of = |span: Range<usize>| {
        let line = line_starts.partition_point(|start| *start <= span.start);
        let before = line_starts.get(line.saturating_sub(1)).and_then(|start| text.get(*start..span.start));
        let column = before.map_or(0, |before| before.chars().count()) + 1;
        Origin::File { path: path.clone(), line, column }
    };
    let (document, mut errors) = DeTable::parse_recoverable(text);
    let span_of = |error: &Error| error.span().unwrap_or(text.len()..text.len());
    errors.sort_by_key(|error| span_of(error).start);
    let mut last_line = 0;
    for error in &errors {
        let origin = origin_of(span_of(error));
        // What a line holds behind its first mistake is a guess of the parser.
        if let Origin::File { line, .. } = origin
            && line != last_line
        {
            last_line = line;
            // Only the parser's sentence is passed on; its picture of the line would show the value.
            notes.add(Problem::new(None, Some(origin), format!("is not TOML: {}", error.message())));
        }
    }
    errors.is_empty().then(|| table_from(document.into_inner(), &origin_of))
}

/// Reads one value in TOML syntax, all of it with the same origin. The error is the parser's sentence.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Result<Node, String> {
    let value = DeValue::parse(text).map_err(|error| error.message().to_owned())?;
    Ok(node_from(value, &|_| origin.clone()))
}

// The parser refuses what nests deeper than 80, so this recursion is bounded.
fn node_from(spanned: Spanned<DeValue<'_>>, origin_of: &dyn Fn(Range<usize>) -> Origin) -> Node {
    let origin = origin_of(spanned.span());
    let value = match spanned.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number without bounds"), Value::Number),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Boolean(_) => Value::Other("a boolean"),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(items) => Value::List(items.into_iter().map(|item| node_from(item, origin_of)).collect()),
        DeValue::Table(table) => Value::Table(table_from(table, origin_of)),
    };
    Node { value, origin }
}

fn table_from(table: DeTable<'_>, origin_of: &dyn Fn(Range<usize>) -> Origin) -> Table {
    table.into_iter().map(|(name, value)| (name.into_inner().into_owned(), node_from(value, origin_of))).collect()
}

/// Lays `over` over `under`: tables are merged name by name, everything else is replaced.
pub(super) fn overlay(under: &mut Table, over: Table) {
    for (name, node) in over {
        match (under.get_mut(&name), node) {
            (Some(Node { value: Value::Table(old), .. }), Node { value: Value::Table(new), .. }) => overlay(old, new),
            (_, node) => {
                under.insert(name, node);
            }
        }
    }
}

/// The value at a dotted path through tables.
pub(super) fn find<'a>(table: &'a Table, path: &str) -> Option<&'a Node> {
    match path.split_once('.') {
        None => table.get(path),
        Some((name, rest)) => match &table.get(name)?.value {
            Value::Table(inner) => find(inner, rest),
            _ => None,
        },
    }
}

/// The value in TOML syntax, on one line where its texts are.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => toml::Value::String(text.clone()).to_string(),
        Value::Number(number) => number.to_string(),
        Value::Other(name) => format!("<{name}>"),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| literal(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) if table.is_empty() => "{}".to_owned(),
        Value::Table(table) => {
            let name_of = |name: &str| toml::Value::String(name.to_owned()).to_string();
            let entries: Vec<String> =
                table.iter().map(|(name, node)| format!("{} = {}", name_of(name), literal(&node.value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}
