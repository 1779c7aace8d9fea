//! What is accepted no more although its signature holds: the list of `auth.revoked_file`.
//!
//! The list is looked at for every request, so an entry takes effect on tokens that were verified before. A list with a
//! mistake is not half a list: the one before stays in force, and the log says what is wrong. What is missing in a file
//! that is being written may be on its way, so what was revoked stays so until the file has come to rest.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};

use super::{reason::Reason, token::VerifiedToken};

/// So many looks in a row have to see a file alike before what it no longer lists is let in again: with a look every
/// half a second, five seconds. A shell truncates a file before it runs the command that fills it, and whoever waits for
/// a name to be let in again has waited longer already.
pub(super) const LOOKS_AT_REST: u32 = 10;

/// Some fifty thousand entries. A token lives a day at most, so a longer list is a list of something else.
const MAX_BYTES: usize = 4 << 20;

/// The list in force, and the file that it came from.
#[derive(Debug)]
pub(super) struct Revocations {
    path: Option<PathBuf>,
    /// The names of the issuers, in the order of the configuration.
    issuers: Vec<Arc<str>>,
    list: ArcSwap<List>,
    last: Mutex<LastLook>,
}

/// What is revoked, by the place of the issuer in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List(Vec<OfIssuer>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfIssuer {
    tokens: HashSet<Box<str>>,
    subjects: HashSet<Box<str>>,
    keys: HashSet<Box<str>>,
}

/// What the last look saw, and how many looks in a row have seen it.
#[derive(Debug)]
struct LastLook {
    seen: Seen,
    looks: u32,
    /// What was seen last was told to be a mistake.
    is_bad: bool,
}

/// What the file is at a look. Content, not a date: mounted files change by swapped links.
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
                let seen = Seen::Content(Sha256::digest(&content).into());
                (List::parse(path, &content, &issuers)?, seen)
            }
        };
        let path = path.map(Path::to_owned);
        let last = LastLook { seen, looks: LOOKS_AT_REST, is_bad: false };
        Ok(Self { path, issuers, list: ArcSwap::from_pointee(list), last: Mutex::new(last) })
    }

    /// Whether there is a file that may change.
    pub(super) fn has_file(&self) -> bool {
        self.path.is_some()
    }

    /// Looks at the file: what it adds is in force at once, what it no longer lists only when [`LOOKS_AT_REST`] looks in
    /// a row have seen the same. Says whether the list in force is another now, or a mistake was mended. Blocks on the
    /// disk.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the file; each state of it is complained of once, and the list before stays in force.
    pub(super) fn look(&self) -> Result<bool, RevocationError> {
        let Some(path) = &self.path else { return Ok(false) };
        // Held to the end: of two who look at the same time the later one has seen the later file.
        let mut last = self.last();
        let content = content(path);
        match (last.look(Seen::of(&content)), content) {
            (1, content) => {
                let was_bad = mem::replace(&mut last.is_bad, true);
                let listed = self.read(path, content)?;
                last.is_bad = false;
                Ok(self.replace(self.list.load().with(&listed)) || was_bad)
            }
            // What is wrong with it was said at the first look.
            (LOOKS_AT_REST, content) => Ok(self.read(path, content).is_ok_and(|listed| self.replace(listed))),
            _ => Ok(false),
        }
    }

    /// Takes the file as it is, for whoever wants it knows that it is whole. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the file; then the list before stays in force.
    pub(super) fn reload(&self) -> Result<(), RevocationError> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut last = self.last();
        let content = content(path);
        *last = LastLook { seen: Seen::of(&content), looks: LOOKS_AT_REST, is_bad: true };
        self.replace(self.read(path, content)?);
        last.is_bad = false;
        Ok(())
    }

    fn read(&self, path: &Path, content: Result<Vec<u8>, io::ErrorKind>) -> Result<List, RevocationError> {
        let content = content.map_err(|reason| unreadable(path, reason))?;
        List::parse(path, &content, &self.issuers)
    }

    /// Puts a list in force, and says whether it is another.
    fn replace(&self, list: List) -> bool {
        let is_another = **self.list.load() != list;
        if is_another {
            self.list.store(Arc::new(list));
        }
        is_another
    }

    fn last(&self) -> MutexGuard<'_, LastLook> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
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

impl LastLook {
    /// Takes in what a look has seen. Returns how many in a row have seen that, this one included.
    fn look(&mut self, now: Seen) -> u32 {
        if self.seen == now {
            self.looks = self.looks.saturating_add(1);
        } else {
            self.seen = now;
            self.looks = 1;
        }
        self.looks
    }
}

impl Seen {
    fn of(content: &Result<Vec<u8>, io::ErrorKind>) -> Self {
        match content {
            Ok(content) => Self::Content(Sha256::digest(content).into()),
            Err(reason) => Self::Unreadable(*reason),
        }
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

    /// All of this list and of another for the same issuers.
    fn with(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (one, other) in all.0.iter_mut().zip(&other.0) {
            one.tokens.extend(other.tokens.iter().cloned());
            one.subjects.extend(other.subjects.iter().cloned());
            one.keys.extend(other.keys.iter().cloned());
        }
        all
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
mod tests;
