//! The environment as a layer of the configuration: `GATEWAY_TENCENT__CREDENTIALS__SOURCE=env`.
//!
//! The process is asked in one function; everything else takes the variables as an argument.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use super::{
    keys,
    problem::{Notes, Origin, Problem},
    raw::{self, Node, Table, Value},
};

const PREFIX: &str = "GATEWAY_";
const FILE: &str = "GATEWAY_CONFIG";

/// The environment variables whose names begin with `GATEWAY_`.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, OsString>);

impl Variables {
    /// Those of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place where the configuration asks the process")]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The file that `GATEWAY_CONFIG` names; an empty name is none.
    pub fn file(&self) -> Option<PathBuf> {
        self.0.get(FILE).filter(|name| !name.is_empty()).map(PathBuf::from)
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let ours = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into().into_string().ok()?;
            name.starts_with(PREFIX).then(|| (name, value.into()))
        });
        Self(ours.collect())
    }
}

/// The values that the variables set, as a tree. A variable for a table is laid under the variables for its keys.
pub(super) fn read(variables: &Variables, notes: &Notes) -> Table {
    let mut table = Table::new();
    // A name sorts before the longer names that begin with it, so the more exact variable wins.
    for (name, value) in &variables.0 {
        let Some(key) = name.strip_prefix(PREFIX).filter(|key| key.contains("__")) else { continue };
        let path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
        let origin = Origin::Variable(name.as_str().into());
        match read_value(key, &path.join("."), value, &origin) {
            Ok(node) => raw::overlay(&mut table, nest(&path, node)),
            Err(message) => notes.add(Problem::new(Some(path.join(".")), Some(origin), message)),
        }
    }
    table
}

fn read_value(name: &str, path: &str, value: &OsStr, origin: &Origin) -> Result<Node, String> {
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(format!("must be named in upper case, {PREFIX}{}", name.to_ascii_uppercase().escape_debug()));
    }
    if keys::in_list_of_tables(path) {
        return Err("must stand in the file: a variable cannot set tables in a list".to_owned());
    }
    let text = value.to_str().ok_or("must be UTF-8")?.trim();
    let kind = keys::find(path).map(|key| &key.kind);
    keys::value_from(kind, text, origin).map_err(|why| format!("must be in TOML syntax: {why}"))
}

fn nest(path: &[String], node: Node) -> Table {
    let Some((name, rest)) = path.split_first() else { return Table::new() };
    if rest.is_empty() {
        return Table::from([(name.clone(), node)]);
    }
    let origin = node.origin.clone();
    Table::from([(name.clone(), Node { value: Value::Table(nest(rest, node)), origin })])
}
