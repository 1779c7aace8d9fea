//! The files that are shipped: each is valid, complete and current.

use std::{fs, path::PathBuf};

use super::super::{
    Variables,
    keys::{self, Kind, Otherwise},
    load,
    raw::{self, Node, Table, Value, literal},
    reference,
};
use crate::config::problem::Notes;

fn shipped(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn the_shipped_configurations_are_valid() {
    for name in ["config/gateway.toml", "config/sandbox.toml"] {
        let loaded = load(Some(&shipped(name)), &Variables::default());

        assert_eq!(loaded.err().map(|problems| problems.to_string()), None, "{name}");
    }
}

/// `#key = value` and `#[section]` are keys that are left out; sentences stand behind `# `.
fn with_every_key(text: &str) -> Table {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("every-key.toml");
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => rest,
            _ => line,
        })
        .collect();
    fs::write(&path, uncommented.join("\n")).expect("a writable folder");
    let notes = Notes::default();
    let table = raw::read_file(&path, &notes);
    assert_eq!(notes.take(), []);
    table.expect("no problem was noted")
}

#[test]
fn gateway_toml_has_every_key_and_every_default_as_it_is() {
    let text = fs::read_to_string(shipped("config/gateway.toml")).expect("a file of this repository");
    let every_key = with_every_key(&text);
    let issuer = match raw::find(&every_key, "auth.issuers").map(|node| &node.value) {
        Some(Value::List(items)) => match items.first() {
            Some(Node { value: Value::Table(issuer), .. }) => issuer,
            _ => panic!("an issuer is a table"),
        },
        _ => panic!("auth.issuers is a list"),
    };
    for key in keys::all() {
        let written = match key.path.strip_prefix("auth.issuers[].") {
            Some(name) => issuer.get(name),
            None => raw::find(&every_key, key.path),
        };

        let written = written.unwrap_or_else(|| panic!("{} is not in config/gateway.toml", key.path));
        if let Some(default) = key.default() {
            assert_eq!(literal(&written.value), literal(&default.value), "{}", key.path);
        }
    }
}

#[test]
fn the_documentation_has_every_key() {
    let current = reference::render();
    let path = shipped("docs/configuration.md");
    #[expect(clippy::disallowed_methods, reason = "the person at the keyboard says whether to write")]
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    if update {
        fs::write(&path, &current).expect("a writable working copy");
    }

    let written = fs::read_to_string(&path).unwrap_or_default();

    assert!(written == current, "docs/configuration.md is not current: UPDATE_DOCS=1 cargo test writes it anew");
    assert!(keys::sections().iter().all(|section| current.contains(&format!("\n## `{}`\n", keys::header(section)))));
}

#[test]
fn a_required_key_has_no_default_to_show() {
    for key in keys::all().filter(|key| matches!(key.kind, Kind::Tables(_))) {
        assert!(matches!(key.otherwise, Otherwise::Required), "{}", key.path);
    }
}
