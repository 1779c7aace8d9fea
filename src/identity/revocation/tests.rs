use std::fs;

use super::*;
use crate::identity::testing;

fn issuers() -> Vec<Arc<str>> {
    vec!["sso".into(), "cluster".into()]
}

fn parse(text: &str) -> Result<List, Mistake> {
    List::parse(Path::new("revoked.txt"), text.as_bytes(), &issuers()).map_err(|error| match error {
        RevocationError::Line { line: 1, mistake, .. } => mistake,
        other => panic!("{other}"),
    })
}

#[test]
fn every_form_of_a_line_is_read() {
    let list = parse("# gone\n\n jti:sso:t-1 \r\nsub:sso:alice\nsub:cluster:system:serviceaccount:ci:bot\nkid:sso:a b")
        .unwrap();

    assert_eq!(list.0[0].tokens, ["t-1".into()].into());
    assert_eq!(list.0[0].subjects, ["alice".into()].into());
    assert_eq!(list.0[0].keys, ["a b".into()].into());
    assert_eq!(list.0[1].subjects, ["system:serviceaccount:ci:bot".into()].into());
}

#[test]
fn a_line_that_would_revoke_nothing_is_a_mistake() {
    for line in ["alice", "sub:alice", "sub:sso:", "sub::alice ", "user:sso:alice", "SUB:sso:alice", ":sso:alice"] {
        assert!(parse(line).is_err(), "{line}");
    }
    assert_eq!(parse("sub:soo:alice"), Err(Mistake::Issuer));
    assert_eq!(parse("sub"), Err(Mistake::Form));
}

#[test]
fn a_token_is_revoked_by_its_id_its_subject_or_its_key_and_only_for_its_issuer() {
    let token = testing::verified("alice", "t-1", "ec-1");
    for (text, is_revoked) in [
        ("jti:sso:t-1", true),
        ("sub:sso:alice", true),
        ("kid:sso:ec-1", true),
        ("jti:cluster:t-1\nsub:cluster:alice\nkid:cluster:ec-1", false),
        ("jti:sso:alice\nsub:sso:ec-1\nkid:sso:t-1", false),
        ("sub:sso:Alice\nsub:sso:alice2\nsub:sso:alic", false),
        ("", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.txt");
        fs::write(&path, text).unwrap();

        let revocations = Revocations::load(Some(&path), issuers()).unwrap();

        assert_eq!(revocations.check(0, &token).is_err(), is_revoked, "{text}");
    }
}

#[test]
fn a_bad_file_keeps_the_list_and_is_complained_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked.txt");
    fs::write(&path, "sub:sso:alice\n").unwrap();
    let revocations = Revocations::load(Some(&path), issuers()).unwrap();
    let token = testing::verified("alice", "t-1", "ec-1");

    let unchanged = revocations.look();
    fs::write(&path, "sub:sso:bob\nsub:nobody:alice\n").unwrap();
    let bad = [revocations.look(), revocations.look()];
    let after_bad = revocations.check(0, &token);
    fs::remove_file(&path).unwrap();
    let missing = [revocations.look(), revocations.look()];
    rest(&revocations);
    let after_missing = revocations.check(0, &token);
    fs::write(&path, "sub:sso:bob\n").unwrap();
    let good = revocations.look();

    assert_eq!(unchanged, Ok(false));
    let told = RevocationError::Line { path: path.clone(), line: 2, mistake: Mistake::Issuer };
    assert_eq!(bad, [Err(told), Ok(false)]);
    assert_eq!(missing, [Err(unreadable(&path, io::ErrorKind::NotFound)), Ok(false)]);
    assert_eq!([after_bad, after_missing], [Err(Reason::Revoked); 2]);
    assert_eq!(good, Ok(true));
    assert_eq!(revocations.check(0, &testing::verified("bob", "t-2", "ec-1")), Err(Reason::Revoked));
}

/// Looks until the file has come to rest.
fn rest(revocations: &Revocations) {
    for _ in 0..LOOKS_AT_REST {
        revocations.look().unwrap();
    }
}

#[test]
fn a_file_that_is_written_in_place_lets_nobody_in_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked.txt");
    let whole = "# gone\nsub:sso:alice\njti:sso:t-9\n";
    fs::write(&path, whole).unwrap();
    let revocations = Revocations::load(Some(&path), issuers()).unwrap();
    let token = testing::verified("alice", "t-1", "ec-1");

    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        for _ in 0..LOOKS_AT_REST - 1 {
            // Some of these states are mistakes, and are told; none lets her in.
            let _ = revocations.look();
            assert_eq!(revocations.check(0, &token), Err(Reason::Revoked), "{:?}", &whole[..length]);
        }
    }
    fs::write(&path, whole).unwrap();
    rest(&revocations);

    assert_eq!(revocations.check(0, &token), Err(Reason::Revoked));
    assert_eq!(revocations.entries(), 2);
}

#[test]
fn what_is_added_is_in_force_at_once_and_what_is_taken_out_when_the_file_is_at_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked.txt");
    fs::write(&path, "sub:sso:alice\n").unwrap();
    let revocations = Revocations::load(Some(&path), issuers()).unwrap();
    let verdicts = || ["alice", "bob"].map(|name| revocations.check(0, &testing::verified(name, "t", "k")).is_ok());
    let before = verdicts();

    fs::write(&path, "sub:sso:bob\n").unwrap();
    let news = [revocations.look(), revocations.look()];
    let at_once = verdicts();
    fs::write(&path, "").unwrap();
    let emptied: Vec<_> = (1..LOOKS_AT_REST).map(|_| (revocations.look(), verdicts())).collect();
    let at_rest = (revocations.look(), verdicts());

    assert_eq!((before, at_once), ([false, true], [false, false]));
    assert_eq!(news, [Ok(true), Ok(false)]);
    assert!(emptied.iter().all(|seen| *seen == (Ok(false), [false, false])), "{emptied:?}");
    assert_eq!(at_rest, (Ok(true), [true, true]));
    assert_eq!(revocations.look(), Ok(false));
}

#[test]
fn a_mistake_that_is_mended_is_told_even_where_nothing_else_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked.txt");
    fs::write(&path, "sub:sso:alice\n").unwrap();
    let revocations = Revocations::load(Some(&path), issuers()).unwrap();

    fs::write(&path, "sub:sso:alice\nsub:ss").unwrap();
    let bad = revocations.look();
    fs::write(&path, "sub:sso:alice\n").unwrap();
    let mended = [revocations.look(), revocations.look()];

    assert!(bad.is_err());
    assert_eq!(mended, [Ok(true), Ok(false)]);
}

#[test]
fn whoever_asks_for_the_file_has_it_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked.txt");
    fs::write(&path, "sub:sso:alice\n").unwrap();
    let revocations = Revocations::load(Some(&path), issuers()).unwrap();
    let token = testing::verified("alice", "t-1", "ec-1");

    fs::write(&path, "sub:nobody:alice\n").unwrap();
    let bad = [revocations.reload(), revocations.reload()];
    let after_bad = revocations.check(0, &token);
    fs::write(&path, "").unwrap();
    let good = revocations.reload();

    assert!(bad.iter().all(Result::is_err), "each time it is asked for");
    assert_eq!((after_bad, good), (Err(Reason::Revoked), Ok(())));
    assert_eq!(revocations.check(0, &token), Ok(()));
    assert_eq!(revocations.look(), Ok(false));
}

#[cfg(unix)]
#[test]
fn a_swapped_link_is_a_change_whatever_its_dates_say() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new, data, path] = ["old", "new", "..data", "revoked.txt"].map(|name| folder.path().join(name));
    for (version, text) in [(&old, "sub:sso:bob\n"), (&new, "sub:sso:eve\n")] {
        fs::create_dir(version).unwrap();
        fs::write(version.join("revoked.txt"), text).unwrap();
    }
    std::os::unix::fs::symlink(&old, &data).unwrap();
    std::os::unix::fs::symlink(data.join("revoked.txt"), &path).unwrap();
    let revocations = Revocations::load(Some(&path), issuers()).unwrap();

    let swapped = folder.path().join("..data_tmp");
    std::os::unix::fs::symlink(&new, &swapped).unwrap();
    fs::rename(&swapped, &data).unwrap();

    assert_eq!(revocations.look(), Ok(true));
    assert_eq!(revocations.check(0, &testing::verified("eve", "t", "k")), Err(Reason::Revoked));
}

#[test]
fn what_cannot_be_a_list_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked.txt");
    let load = || Revocations::load(Some(&path), issuers()).map(drop);

    assert_eq!(load(), Err(unreadable(&path, io::ErrorKind::NotFound)));
    fs::write(&path, b"sub:sso:\xff").unwrap();
    assert_eq!(load(), Err(RevocationError::NotText { path: path.clone() }));
    fs::write(&path, vec![b'#'; MAX_BYTES + 1]).unwrap();
    assert_eq!(load(), Err(unreadable(&path, io::ErrorKind::FileTooLarge)));
}
