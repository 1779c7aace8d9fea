//! Whether the files that a configuration names are there. Their content is the business of the rooms that use them.

use std::{fs, io, path::Path};

use super::{Config, field::Field, problem::Notes, raw::Table};
use crate::{audit, tencent::credentials::Source};

/// Notes every file or folder that is named, used, and cannot be read. Relative paths start at the working directory.
pub(super) fn check(root: &Table, config: &Config, notes: &Notes) {
    let at = |name| Field::section(root, name, notes);
    check_with(&at("policy").at("dir"), "a folder", |path| fs::read_dir(path).map(drop));

    let tencent = at("tencent");
    check_file(&tencent.at("ca_file"));
    match config.tencent.credentials.source {
        Source::Env | Source::CvmRole | Source::TkeOidc => {}
        Source::Auto { .. } | Source::File(_) => check_file(&tencent.at("credentials").at("file")),
    }
    if config.shared.is_some() {
        let shared = at("shared");
        for name in ["password_file", "ca_file", "client_cert_file", "client_key_file", "encryption_key_file"] {
            check_file(&shared.at(name));
        }
    }
    let audit = at("audit");
    check_file(&audit.at("key_file"));
    if let audit::Sink::File { path, .. } = &config.audit.sink {
        check_folder_of(&audit.at("file"), path);
    }
    // The room of identity says itself what is wrong with its other files: they must be fit from the start.
    for issuer in at("auth").at("issuers").items().unwrap_or_default() {
        check_file(&issuer.at("jwks_file"));
        check_file(&issuer.at("bearer_token_file"));
    }
}

fn check_file(field: &Field<'_>) {
    check_with(field, "a file", |path| {
        if fs::File::open(path)?.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(())
    });
}

/// A file that the gateway makes must have a folder to be made in.
fn check_folder_of(field: &Field<'_>, path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        field.refuse(format!("must be a file in a folder that exists, not in {}", folder.display()));
    }
}

fn check_with(field: &Field<'_>, what: &str, read: impl FnOnce(&str) -> io::Result<()>) {
    let Some(path) = field.written_text() else { return };
    if let Err(error) = read(path) {
        field.refuse(format!("must be {what} that can be read: {error}"));
    }
}
