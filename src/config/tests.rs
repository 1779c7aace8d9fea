//! The configuration as a whole: layers, mistakes, and the files that are shipped with it.

mod layers;
mod mistakes;
mod shipped;

use std::io::Write as _;

use super::{Loaded, Problems, Variables, load};

/// The least that must be written.
const BASE: &str = r#"
[tencent]
regions = ["ap-guangzhou", "ap-chengdu"]

[[auth.issuers]]
name = "sso"
issuer = "https://sso.example.internal"
audiences = ["redis-backup-gateway"]
jwks_url = "https://sso.example.internal/jwks"
"#;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| (*name, *value)).collect()
}

/// Loads a file with this text. Problems come back with the file's name as `FILE`.
fn load_text(text: &str, pairs: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("a writable file");
    let name = file.path().display().to_string();
    load(Some(file.path()), &variables(pairs))
        .map_err(|problems| problems.iter().map(|problem| problem.to_string().replace(&name, "FILE")).collect())
}

fn valid(text: &str, pairs: &[(&str, &str)]) -> Loaded {
    load_text(text, pairs).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn problems(text: &str, pairs: &[(&str, &str)]) -> Vec<String> {
    load_text(text, pairs).err().unwrap_or_default()
}

fn lines(problems: &Problems) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}
