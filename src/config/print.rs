//! The effective configuration as TOML, in the order of the documentation, each value with where it comes from.

use std::fmt::Write as _;

use super::{
    keys,
    raw::{self, Node, Table, Value, literal},
};

/// Prints what can be read back as the same configuration.
pub(super) fn print(root: &Table) -> String {
    let mut text = String::new();
    for section in keys::sections() {
        for table in tables(root, section) {
            let separator = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{separator}{}", keys::header(section));
            print_section(&mut text, section, table);
        }
    }
    text
}

fn print_section(text: &mut String, section: &str, table: &Table) {
    for key in keys::in_section(section).filter(|key| !matches!(key.kind, keys::Kind::Tables(_))) {
        let (_, name) = key.split();
        if let Some(node) = table.get(name) {
            let _ = writeln!(text, "{name} = {}  # {}", literal(&node.value), node.origin);
        }
    }
}

/// The table of a section, or each table of a list.
fn tables<'a>(root: &'a Table, section: &str) -> Vec<&'a Table> {
    let table_of = |node: &'a Node| match &node.value {
        Value::Table(table) => Some(table),
        _ => None,
    };
    match section.strip_suffix("[]") {
        None => raw::find(root, section).and_then(table_of).into_iter().collect(),
        Some(list) => match raw::find(root, list).map(|node| &node.value) {
            Some(Value::List(items)) => items.iter().filter_map(table_of).collect(),
            _ => Vec::new(),
        },
    }
}
