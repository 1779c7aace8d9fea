//! What is accepted no more although its signature holds: the list of `auth.revoked_file`.
//!
//! The list is looked at for every request, so an entry takes effect on tokens that were verified before. A list with a
//! mistake is not half a list: the one before stays in force, and the log says what is wrong.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};

use super::{reason::Reason, token::VerifiedToken};

/// Some fifty thousand entries. A token lives a day at most, so a longer list is a list of something else.
const MAX_BYTES: usize = 4 << 20;

/// The list in force, and the file that it came from.
#[derive(Debug)]
pub(super) struct Revocations {
    path: Option<PathBuf>,
    /// The names of the issuers, in the order of the configuration.
    issuers: Vec<Arc<str>>,
    list: ArcSwap<List>,
    seen: Mutex<Seen>,
}

/// What is revoked, by the place of the issuer in the configuration.
#[derive(Debug, Default, PartialEq, Eq)]
struct List(Vec<OfIssuer>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfIssuer {
    tokens: HashSet<Box<str>>,
    subjects: HashSet<Box<str>>,
    keys: HashSet<Box<str>>,
}

/// What the file was when it was last looked at. Content, not a date: mounted files change by swapped links.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Content([u8; 32]),
    Unreadable(io::ErrorKind),
}

/// Why a list of revocations is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// The file cannot be read, or is longer than 4 MiB.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: io::ErrorKind,
    },
    /// The file is not UTF-8.
    #[error("{path} is not a text in UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A line says something else than what is revoked.
    #[error("{path}:{line}: {mistake}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        mistake: Mistake,
    },
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Not of the form of an entry.
    #[error("must be `jti:<issuer>:<jti>`, `sub:<issuer>:<sub>` or `kid:<issuer>:<kid>`, a comment (#) or blank")]
    Form,
    /// No issuer has this name: a typing mistake would revoke nothing, silently.
    #[error("must name an issuer of the configuration (auth.issuers.name)")]
    Issuer,
}

impl Revocations {
    /// The list of a file, for issuers of these names; an empty one where no file is named.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the file, that it is missing included.
    pub(super) fn load(path: Option<&Path>, issuers: Vec<Arc<str>>) -> Result<Self, RevocationError> {
        let (list, seen) = match path {
            None => (List::none(&issuers), Seen::Content([0; 32])),
            Some(path) => {
                let content = content(path).map_err(|reason| unreadable(path, reason))?;
                (List::parse(path, &content, &issuers)?, Seen::Content(Sha256::digest(&content).into()))
            }
        };
        let path = path.map(Path::to_owned);
        Ok(Self { path, issuers, list: ArcSwap::from_pointee(list), seen: Mutex::new(seen) })
    }

    /// Whether there is a file that may change.
    pub(super) fn has_file(&self) -> bool {
        self.path.is_some()
    }

    /// Takes the file's list if the file is not what it was at the last look, and says whether it did. Blocks on the
    /// disk.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the file; each state of it is complained of once, and the list before stays in force.
    pub(super) fn reload_if_changed(&self) -> Result<bool, RevocationError> {
        let Some(path) = &self.path else { return Ok(false) };
        let content = content(path);
        let now = match &content {
            Ok(content) => Seen::Content(Sha256::digest(content).into()),
            Err(reason) => Seen::Unreadable(*reason),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        drop(seen);
        let content = content.map_err(|reason| unreadable(path, reason))?;
        self.list.store(Arc::new(List::parse(path, &content, &self.issuers)?));
        Ok(true)
    }

    /// Refuses a token that is revoked, by its own id, its subject, or the key that signed it.
    pub(super) fn check(&self, issuer: usize, token: &VerifiedToken) -> Result<(), Reason> {
        let list = self.list.load();
        let Some(revoked) = list.0.get(issuer).filter(|revoked| !revoked.is_empty()) else { return Ok(()) };
        let has = |set: &HashSet<Box<str>>, name: &Option<Arc<str>>| name.as_ref().is_some_and(|n| set.contains(&**n));
        let is_revoked = has(&revoked.tokens, &token.jti)
            || revoked.subjects.contains(&*token.caller.subject)
            || has(&revoked.keys, &token.kid);
        if is_revoked { Err(Reason::Revoked) } else { Ok(()) }
    }

    /// How many entries are in force.
    pub(super) fn entries(&self) -> usize {
        self.list.load().0.iter().map(OfIssuer::len).sum()
    }
}

impl List {
    fn none(issuers: &[Arc<str>]) -> Self {
        Self(vec![OfIssuer::default(); issuers.len()])
    }

    fn parse(path: &Path, content: &[u8], issuers: &[Arc<str>]) -> Result<Self, RevocationError> {
        let text = std::str::from_utf8(content).map_err(|_| RevocationError::NotText { path: path.to_owned() })?;
        let mut list = Self::none(issuers);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                list.add(line, issuers).map_err(|mistake| RevocationError::Line {
                    path: path.to_owned(),
                    line: index + 1,
                    mistake,
                })?;
            }
        }
        Ok(list)
    }

    /// Adds `<kind>:<issuer>:<value>`. A name of an issuer has no colon, and a value may.
    fn add(&mut self, line: &str, issuers: &[Arc<str>]) -> Result<(), Mistake> {
        let (kind, rest) = line.split_once(':').ok_or(Mistake::Form)?;
        let (name, value) = rest.split_once(':').filter(|(_, value)| !value.is_empty()).ok_or(Mistake::Form)?;
        let issuer = issuers.iter().position(|known| **known == *name);
        let of_kind: fn(&mut OfIssuer) -> &mut HashSet<Box<str>> = match kind {
            "jti" => |revoked| &mut revoked.tokens,
            "sub" => |revoked| &mut revoked.subjects,
            "kid" => |revoked| &mut revoked.keys,
            _ => return Err(Mistake::Form),
        };
        of_kind(&mut self.0[issuer.ok_or(Mistake::Issuer)?]).insert(value.into());
        Ok(())
    }
}

impl OfIssuer {
    fn len(&self) -> usize {
        self.tokens.len() + self.subjects.len() + self.keys.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn content(path: &Path) -> Result<Vec<u8>, io::ErrorKind> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut content));
    match read {
        Ok(length) if length > MAX_BYTES => Err(io::ErrorKind::FileTooLarge),
        Ok(_) => Ok(content),
        Err(error) => Err(error.kind()),
    }
}

fn unreadable(path: &Path, reason: io::ErrorKind) -> RevocationError {
    RevocationError::Unreadable { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
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
        let list =
            parse("# gone\n\n jti:sso:t-1 \r\nsub:sso:alice\nsub:cluster:system:serviceaccount:ci:bot\nkid:sso:a b")
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

        let unchanged = revocations.reload_if_changed();
        fs::write(&path, "sub:sso:bob\nsub:nobody:alice\n").unwrap();
        let bad = [revocations.reload_if_changed(), revocations.reload_if_changed()];
        let after_bad = revocations.check(0, &token);
        fs::remove_file(&path).unwrap();
        let missing = [revocations.reload_if_changed(), revocations.reload_if_changed()];
        let after_missing = revocations.check(0, &token);
        fs::write(&path, "sub:sso:bob\n").unwrap();
        let good = revocations.reload_if_changed();

        assert_eq!(unchanged, Ok(false));
        let told = RevocationError::Line { path: path.clone(), line: 2, mistake: Mistake::Issuer };
        assert_eq!(bad, [Err(told), Ok(false)]);
        assert_eq!(missing, [Err(unreadable(&path, io::ErrorKind::NotFound)), Ok(false)]);
        assert_eq!([after_bad, after_missing], [Err(Reason::Revoked); 2]);
        assert_eq!(good, Ok(true));
        assert_eq!(revocations.check(0, &token), Ok(()));
        assert_eq!(revocations.entries(), 1);
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

        assert_eq!(revocations.reload_if_changed(), Ok(true));
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
}
