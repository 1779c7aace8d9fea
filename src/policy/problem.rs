//! What is wrong with a set of policies, told so that an editor can jump to it.
//!
//! Texts from the files appear in messages, so nothing that could move a terminal's cursor or reverse a line does.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// The longest message, in characters. Cedar repeats what it found, which may be a whole file in quotes.
const MAX_MESSAGE: usize = 400;

/// Everything that is wrong, in the order of files and lines; never empty.
#[derive(Debug, thiserror::Error)]
pub struct PolicyErrors(Vec<PolicyError>);

/// One mistake. Prints as `file:line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct PolicyError {
    /// The file, or the folder where the mistake is not in one file.
    pub file: PathBuf,
    /// Where in the file, unless the whole file is meant.
    pub position: Option<Position>,
    /// What is wrong and, where that is known, what would be right.
    pub message: String,
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl PolicyErrors {
    /// The mistakes in order and each once, or `None` if there are none.
    pub(super) fn from_list(mut errors: Vec<PolicyError>) -> Option<Self> {
        errors.sort_unstable();
        errors.dedup();
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// The mistakes, at least one.
    pub fn iter(&self) -> impl Iterator<Item = &PolicyError> {
        self.0.iter()
    }
}

impl IntoIterator for PolicyErrors {
    type Item = PolicyError;
    type IntoIter = std::vec::IntoIter<PolicyError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl PolicyError {
    /// A mistake of a whole file or folder.
    pub(super) fn new(file: &Path, message: impl AsRef<str>) -> Self {
        Self { file: file.to_owned(), position: None, message: printable(message.as_ref()) }
    }

    /// A mistake at a place.
    pub(super) fn at(file: &Path, position: Option<Position>, message: impl AsRef<str>) -> Self {
        Self { position, ..Self::new(file, message) }
    }

    /// A mistake that Cedar found in a file with this text.
    pub(super) fn from_diagnostic(file: &Path, text: &str, diagnostic: &dyn miette::Diagnostic) -> Self {
        let label = diagnostic.labels().and_then(|mut labels| labels.next());
        let mut message = diagnostic.to_string();
        if let Some(label) = label.as_ref().and_then(|label| label.label()) {
            message.push_str(": ");
            message.push_str(label);
        }
        if let Some(help) = diagnostic.help() {
            message.push_str(&format!(" ({help})"));
        }
        Self::at(file, label.map(|label| Position::of(text, label.offset())), message)
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file.to_string_lossy()))?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl Position {
    /// The place `offset` bytes into `text`; past its end is its end.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: 1 + before.matches('\n').count(), column: 1 + before[line_start..].chars().count() }
    }
}

/// Escapes what does not print (line ends, control and direction characters) and cuts what is too long.
fn printable(text: &str) -> String {
    let mut printed = String::with_capacity(text.len().min(MAX_MESSAGE));
    for (n, character) in text.chars().enumerate() {
        match character {
            _ if n == MAX_MESSAGE => {
                printed.push('…');
                break;
            }
            '\'' | '"' | '\\' => printed.push(character),
            _ => printed.extend(character.escape_debug()),
        }
    }
    printed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters_from_one() {
        let text = "ab\n数据x\r\n\n";
        for (offset, line, column) in
            [(0, 1, 1), (2, 1, 3), (3, 2, 1), (6, 2, 2), (9, 2, 3), (12, 3, 1), (13, 4, 1), (99, 4, 1)]
        {
            assert_eq!(Position::of(text, offset), Position { line, column }, "offset {offset}");
        }
    }

    #[test]
    fn mistakes_come_in_order_and_each_once() {
        let at = |line, file: &str| PolicyError::at(Path::new(file), Some(Position { line, column: 1 }), "wrong");
        let whole = PolicyError::new(Path::new("a.cedar"), "unreadable");

        let errors = PolicyErrors::from_list(vec![at(10, "b"), at(9, "b"), whole, at(2, "a.cedar"), at(9, "b")]);

        assert_eq!(
            errors.map(|errors| errors.to_string()).as_deref(),
            Some("a.cedar: unreadable\na.cedar:2:1: wrong\nb:9:1: wrong\nb:10:1: wrong")
        );
        assert!(PolicyErrors::from_list(Vec::new()).is_none());
    }

    #[test]
    fn nothing_that_moves_a_cursor_or_turns_a_line_is_printed() {
        let error = PolicyError::new(Path::new("a\nb"), "x\u{1b}[2J\r\n\u{202e}'\"\\数");
        assert_eq!(error.to_string(), "a\\nb: x\\u{1b}[2J\\r\\n\\u{202e}'\"\\数");

        let long = PolicyError::new(Path::new("a"), "x".repeat(100_000));
        assert_eq!(long.message.chars().count(), MAX_MESSAGE + 1);
    }
}
