//! No dependency without a reason: `docs/adr/0002-dependencies.md` has a line for each, and none for what is gone.

use std::{collections::BTreeSet, fs, path::Path};

const REGISTER: &str = "docs/adr/0002-dependencies.md";

/// Crate, what it saves, health, licence, what it pulls in, how to leave it.
const CELLS: usize = 6;

#[test]
fn every_direct_dependency_has_its_line_and_every_line_its_dependency() {
    let used: BTreeSet<String> = ["Cargo.toml", "benches/load/Cargo.toml", "sandbox/Cargo.toml", "fuzz/Cargo.toml"]
        .into_iter()
        .flat_map(|manifest| dependencies(&read(manifest)))
        .collect();
    let register = read(REGISTER);
    let explained: BTreeSet<String> = lines(&register).map(|(name, _)| name.to_owned()).collect();

    let unexplained: Vec<_> = used.difference(&explained).collect();
    let gone: Vec<_> = explained.difference(&used).collect();

    assert!(unexplained.is_empty(), "no line in {REGISTER}: {unexplained:?}");
    assert!(gone.is_empty(), "no longer used, but in {REGISTER}: {gone:?}");
}

#[test]
fn no_line_leaves_a_question_open_and_none_is_there_twice() {
    let register = read(REGISTER);
    let mut seen = BTreeSet::new();

    for (name, cells) in lines(&register) {
        assert_eq!(cells.len(), CELLS, "{name}: {cells:?}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{name} has an empty cell: {cells:?}");
        assert!(seen.insert(name), "{name} has two lines");
    }
}

#[test]
fn a_dependency_is_found_in_whichever_table_it_hides() {
    let manifest = r#"
        [dependencies]
        plain = "1"
        inherited.workspace = true
        beside_us = { path = "beside_us" }
        [dev-dependencies]
        of_tests = "1"
        [build-dependencies]
        of_builds = "1"
        [target.'cfg(unix)'.dependencies]
        of_unix = { version = "1" }
        [dependencies.spelled-out]
        version = "1"
    "#;

    let found = dependencies(manifest);

    let expected = ["inherited", "of_builds", "of_tests", "of_unix", "plain", "spelled-out"];
    assert_eq!(found, expected.map(str::to_owned).into());
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the file is in the repository")
}

/// The crates of others that a manifest names in any of its tables; members of the workspace are not among them.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().expect("cargo has read it before");
    let platforms = manifest.get("target").and_then(toml::Value::as_table);
    let sections = platforms.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table);

    std::iter::once(&manifest)
        .chain(sections)
        .flat_map(|section| ["dependencies", "dev-dependencies", "build-dependencies"].map(|kind| section.get(kind)))
        .filter_map(|table| table?.as_table())
        .flatten()
        .filter(|(_, how)| how.get("path").is_none())
        .map(|(name, _)| name.clone())
        .collect()
}

/// The lines of the register's tables: the crate's name, and all cells of its line.
fn lines(register: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    register.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let name = cells[0].strip_prefix('`')?.strip_suffix('`')?;
        Some((name, cells))
    })
}
