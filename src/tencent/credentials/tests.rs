use std::{collections::HashMap, fs};

use super::*;

const ID: &str = "AKIDtest";
const KEY: &str = "very-secret-key";
const TOKEN: &str = "very-secret-token";

fn load(source: &Source, variables: &[(&'static str, &str)]) -> Result<CredentialStore, CredentialsError> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    CredentialStore::load_with(source, |name| Ok(variables.get(name).map(|value| SecretString::from(*value))))
}

fn values(credentials: &Credentials) -> (&str, &str, Option<&str>) {
    (
        credentials.secret_id(),
        credentials.secret_key().expose_secret(),
        credentials.token().map(ExposeSecret::expose_secret),
    )
}

fn written(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    fs::write(&path, content).unwrap();
    (folder, path)
}

#[test]
fn the_environment_gives_id_key_and_token() {
    let store = load(&Source::Env, &[(env::SECRET_ID, ID), (env::SECRET_KEY, KEY), (env::TOKEN, TOKEN)]).unwrap();

    assert_eq!(values(&store.current()), (ID, KEY, Some(TOKEN)));
    assert_eq!(store.reload_if_changed(), Ok(false));
}

#[test]
fn auto_takes_the_environment_before_the_file() {
    let (_folder, path) = written(r#"{"secret_id": "of-file", "secret_key": "k"}"#);
    let auto = Source::Auto { file: Some(path) };

    let of_env = load(&auto, &[(env::SECRET_ID, ID), (env::SECRET_KEY, KEY)]).unwrap();
    let of_file = load(&auto, &[]).unwrap();

    assert_eq!(values(&of_env.current()), (ID, KEY, None));
    assert_eq!(values(&of_file.current()), ("of-file", "k", None));
}

#[test]
fn what_is_missing_is_named() {
    let (_folder, path) = written(r#"{"secret_id": "x"}"#);
    let said = |source: &Source, variables: &[(&'static str, &str)]| load(source, variables).unwrap_err().to_string();

    let nothing = "no cloud credentials: TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY are not set";
    assert_eq!(said(&Source::Env, &[]), nothing);
    assert_eq!(said(&Source::Auto { file: None }, &[]), format!("{nothing}, and tencent.credentials.file is not set"));
    assert_eq!(
        said(&Source::Auto { file: None }, &[(env::SECRET_ID, ID)]),
        "no cloud credentials: TENCENTCLOUD_SECRET_ID is set and TENCENTCLOUD_SECRET_KEY is not"
    );
    assert_eq!(
        said(&Source::File(path.clone()), &[]),
        format!("no cloud credentials: there is no secret_key of {}", path.display())
    );
    let absent = path.with_file_name("absent");
    assert_eq!(
        said(&Source::File(absent.clone()), &[]),
        format!("{} cannot be read: entity not found", absent.display())
    );
}

#[test]
fn blanks_around_a_value_are_removed_and_inside_it_refused() {
    let (_folder, path) =
        written("{\"secret_id\": \" AKIDtest\\n\", \"secret_key\": \"\\tvery-secret-key \", \"token\": \" \"}");

    let store = load(&Source::File(path), &[]).unwrap();

    assert_eq!(values(&store.current()), (ID, KEY, None));
    for bad in ["two words", "nul\0", "line\nend", "schlüssel", "\u{a0}"] {
        let refused = load(&Source::Env, &[(env::SECRET_ID, ID), (env::SECRET_KEY, bad)]).unwrap_err();
        assert!(matches!(refused, CredentialsError::Invalid { .. }), "{bad:?}");
        assert!(refused.to_string().starts_with("TENCENTCLOUD_SECRET_KEY "), "{refused}");
    }
}

#[test]
fn a_changed_file_takes_effect_and_an_unchanged_one_does_not() {
    let (_folder, path) = written(r#"{"secret_id": "one", "secret_key": "k1"}"#);
    let store = load(&Source::File(path.clone()), &[]).unwrap();
    let before = store.current();

    assert_eq!(store.reload_if_changed(), Ok(false));
    fs::write(&path, r#"{"secret_id": "two", "secret_key": "k2", "token": "t2"}"#).unwrap();
    assert_eq!(store.reload_if_changed(), Ok(true));
    assert_eq!(store.reload_if_changed(), Ok(false));

    assert_eq!(values(&before), ("one", "k1", None));
    assert_eq!(values(&store.current()), ("two", "k2", Some("t2")));
}

#[test]
fn a_bad_change_keeps_the_old_and_is_reported_once() {
    let (_folder, path) = written(r#"{"secret_id": "one", "secret_key": "k1"}"#);
    let store = load(&Source::File(path.clone()), &[]).unwrap();

    fs::write(&path, "{").unwrap();
    assert!(matches!(store.reload_if_changed(), Err(CredentialsError::NotJson { line: 1, .. })));
    assert_eq!(store.reload_if_changed(), Ok(false));
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.reload_if_changed(), Err(CredentialsError::Unreadable { .. })));
    assert_eq!(store.reload_if_changed(), Ok(false));

    assert_eq!(values(&store.current()), ("one", "k1", None));
    fs::write(&path, r#"{"secret_id": "two", "secret_key": "k2"}"#).unwrap();
    assert_eq!(store.reload_if_changed(), Ok(true));
    assert_eq!(values(&store.current()), ("two", "k2", None));
}

#[test]
fn a_swapped_link_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    for generation in ["1", "2"] {
        let document = format!(r#"{{"secret_id": "id{generation}", "secret_key": "k"}}"#);
        fs::write(folder.path().join(generation), document).unwrap();
    }
    let link = folder.path().join("current");
    std::os::unix::fs::symlink("1", &link).unwrap();
    let store = load(&Source::File(link.clone()), &[]).unwrap();

    std::os::unix::fs::symlink("2", folder.path().join("next")).unwrap();
    fs::rename(folder.path().join("next"), &link).unwrap();

    assert_eq!(store.reload_if_changed(), Ok(true));
    assert_eq!(store.current().secret_id(), "id2");
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    let (_folder, path) = written(&" ".repeat(64 * 1024));

    let refused = load(&Source::File(path), &[]).unwrap_err();

    assert!(matches!(refused, CredentialsError::Unreadable { reason: io::ErrorKind::FileTooLarge, .. }));
}

#[test]
fn nothing_secret_shows_in_debug_or_in_an_error() {
    let store = load(&Source::Env, &[(env::SECRET_ID, ID), (env::SECRET_KEY, KEY), (env::TOKEN, TOKEN)]).unwrap();
    // serde's own message for this document quotes the string that it found.
    let (_folder, path) = written(r#"{"secret_id": "AKIDtest", "secret_key": ["very-secret-key"], "token": 5}"#);
    let refused = load(&Source::File(path), &[]).unwrap_err();
    let (_other_folder, other) = written(r#""very-secret-key""#);
    let refused_too = load(&Source::File(other), &[]).unwrap_err();

    let shown = format!("{store:?} {:?} {refused} {refused:?} {refused_too} {refused_too:?}", store.current());

    for secret in [ID, KEY, TOKEN] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
