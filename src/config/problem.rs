//! What is wrong with a configuration, where that stands, and what would be right.
//!
//! A problem never repeats a value at length: what stands in the wrong place may be a secret.

use std::{cell::RefCell, fmt, path::Path, sync::Arc};

/// The longest part of a wrong value that is repeated to the person who wrote it.
const SHOWN_CHARACTERS: usize = 40;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the built-in default.
    Default,
    /// In the configuration file.
    File {
        /// The file as it was named on the command line.
        path: Arc<Path>,
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
    },
    /// In the environment variable of this name.
    Variable(Arc<str>),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    key: Option<String>,
    origin: Option<Origin>,
    message: String,
}

/// Everything that is wrong with a configuration, in the order of the documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// Collects problems while a configuration is read.
///
/// The readers of a whole tree share it, hence the cell; it never leaves the thread that reads.
#[derive(Default)]
pub(super) struct Notes(RefCell<Vec<Problem>>);

impl Problem {
    pub(super) fn new(key: Option<String>, origin: Option<Origin>, message: String) -> Self {
        Self { key, origin, message }
    }

    /// The dotted path of the key, `auth.issuers[0].name`; nothing where the file as a whole is wrong.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Where the value was written; nothing where it is missing.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// What would be right, and what was found instead.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl Problems {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems, one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// Adds a problem that was found later.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }
}

impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

impl std::error::Error for Problems {}

impl Notes {
    pub(super) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    pub(super) fn take(&self) -> Vec<Problem> {
        self.0.take()
    }

    /// Whether `key`, or a table around it, was found wrong already: its absence is then a consequence, not a mistake.
    pub(super) fn covers(&self, key: &str) -> bool {
        self.0
            .borrow()
            .iter()
            .filter_map(Problem::key)
            .any(|noted| key.strip_prefix(noted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => {
                write!(f, "{}:{line}:{column}", path.display().to_string().escape_debug())
            }
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// `key (origin): message`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, &self.origin) {
            (Some(key), Some(origin)) => write!(f, "{key} ({origin}): {}", self.message),
            (Some(key), None) => write!(f, "{key}: {}", self.message),
            (None, Some(origin)) => write!(f, "{origin}: {}", self.message),
            (None, None) => f.write_str(&self.message),
        }
    }
}

/// One problem a line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// A text in quotes, escaped and cut short, so that one problem stays one line of a terminal.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
    let rest = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{rest}\"", shown.escape_debug())
}

/// `path.name`, with a name in quotes where it could not stand bare in TOML.
pub(super) fn join(path: &str, name: &str) -> String {
    let bare = (1..=SHOWN_CHARACTERS).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let name = if bare { name.to_owned() } else { quoted(name) };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}
