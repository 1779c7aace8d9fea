//! What a file of credentials says: a JSON document, or a profile as the vendor's tools write it. Pure.

use std::path::Path;

use secrecy::SecretString;
use serde::Deserialize;

use super::{Credentials, CredentialsError, Member, secret};

/// The section of a profile that counts.
const SECTION: &str = "default";

#[derive(Default, Deserialize)]
struct Document {
    #[serde(default, deserialize_with = "secret")]
    secret_id: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    secret_key: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    token: Option<SecretString>,
}

/// The credentials that `content` holds. What begins with `{` is JSON, anything else a profile; `path` is for messages.
///
/// # Errors
/// Where it is neither, a member is missing, or a value cannot be one of the vendor's.
pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Credentials, CredentialsError> {
    let is_json = content.trim_ascii_start().starts_with(b"{");
    let document = if is_json { json(path, content)? } else { profile(path, content)? };
    let origin = |member: Member| format!("{} of {}", member.in_file(), path.display());
    let required = |member, value: Option<SecretString>| {
        value.ok_or_else(|| CredentialsError::Missing { looked_for: format!("there is no {}", origin(member)) })
    };
    let secret_id = required(Member::SecretId, document.secret_id)?;
    let secret_key = required(Member::SecretKey, document.secret_key)?;
    Credentials::new(&secret_id, &secret_key, document.token.as_ref(), origin)
}

fn json(path: &Path, content: &[u8]) -> Result<Document, CredentialsError> {
    serde_json::from_slice(content).map_err(|error| {
        // The error's own text quotes what it found, and that may be the secret.
        CredentialsError::NotJson { path: path.to_owned(), line: error.line(), column: error.column() }
    })
}

/// An INI file: `[default]`, `secret_id = …`, `secret_key = …`; the token is our addition, for temporary keys. Names
/// that we do not know, such as `role_arn`, and other sections are passed over, as the vendor's SDKs do.
fn profile(path: &Path, content: &[u8]) -> Result<Document, CredentialsError> {
    let mut document = Document::default();
    let mut is_ours = false;
    for (line, text) in (1..).zip(content.split(|byte| *byte == b'\n')) {
        let wrong = || CredentialsError::NotProfile { path: path.to_owned(), line };
        let text = str::from_utf8(text).map_err(|_| wrong())?.trim();
        if text.is_empty() || text.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_ours = section.trim() == SECTION;
            continue;
        }
        let (name, value) = text.split_once(['=', ':']).ok_or_else(wrong)?;
        let slot = match name.trim().to_ascii_lowercase().as_str() {
            "secret_id" => &mut document.secret_id,
            "secret_key" => &mut document.secret_key,
            "token" => &mut document.token,
            _ => continue,
        };
        if is_ours && slot.replace(SecretString::from(value.trim())).is_some() {
            return Err(wrong());
        }
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<(String, String, Option<String>), String> {
        let credentials = parse(Path::new("F"), content.as_bytes()).map_err(|error| error.to_string())?;
        let (id, key, token) = credentials.exposed();
        Ok((id.to_owned(), key.to_owned(), token.map(str::to_owned)))
    }

    #[test]
    fn both_forms_say_the_same() {
        let expected = Ok(("AKID1".to_owned(), "k=1:2#3".to_owned(), Some("t".to_owned())));

        for content in [
            r#"{"secret_id": "AKID1", "secret_key": "k=1:2#3", "token": "t"}"#,
            "[default]\nsecret_id = AKID1\nsecret_key = k=1:2#3\ntoken = t\n",
            "# mine\r\n[ default ]\r\nSECRET_ID=AKID1\r\n; a note\r\n secret_key:k=1:2#3\r\n\ttoken=t\r\n",
            "[other]\nsecret_id = no\n[default]\nrole_arn = x\nsecret_id = AKID1\nsecret_key = k=1:2#3\ntoken=t\n[b]\ntoken=u",
        ] {
            assert_eq!(read(content), expected, "{content}");
        }
        assert_eq!(read("[default]\nsecret_id = AKID1\nsecret_key = k\ntoken =\n").map(|(.., token)| token), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_without_what_was_found() {
        for (content, told) in [
            ("", "no cloud credentials: there is no secret_id of F"),
            ("[other]\nsecret_id = 1\nsecret_key = 2", "no cloud credentials: there is no secret_id of F"),
            ("[default]\nsecret_id = 1", "no cloud credentials: there is no secret_key of F"),
            ("[default]\nsecret_id = 1\nsecret_key = ", "secret_key of F is empty"),
            ("[default]\nhunter2", "F:2: is neither [section] nor \"name = value\" for a name that was not given yet"),
            (
                "[default]\nsecret_id = 1\nsecret_id = 2",
                "F:3: is neither [section] nor \"name = value\" for a name that was not given yet",
            ),
            ("\"hunter2\"", "F:1: is neither [section] nor \"name = value\" for a name that was not given yet"),
            (
                "{\"secret_id\":\n[\"hunter2\"]}",
                "F:2:0: is not {\"secret_id\": …, \"secret_key\": …, \"token\"?: …} in JSON",
            ),
        ] {
            assert_eq!(read(content).unwrap_err(), told, "{content}");
        }
        assert!(parse(Path::new("F"), b"[default]\nsecret_id = \xff").is_err());
    }
}
