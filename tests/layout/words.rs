//! Rust as words: what is left of a source without its comments, strings and character literals.
//!
//! It knows no grammar, and never fails: of a source that is none it makes words all the same.

/// A word of Rust: an identifier, a number, `::`, or any other single character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'s> {
    /// As it is written.
    pub(crate) text: &'s str,
    /// The line that it stands on, counted from 1.
    pub(crate) line: usize,
}

/// The words of `source` without comments, strings and character literals.
pub(crate) fn words(source: &str) -> impl Iterator<Item = Word<'_>> {
    let mut rest = source;
    let mut line = 1;
    std::iter::from_fn(move || {
        while let Some(first) = rest.chars().next() {
            let skipped = length_of_what_says_nothing(rest);
            let length = match skipped {
                0 if rest.starts_with("::") => 2,
                0 if first.is_alphanumeric() || first == '_' => length_of_name(rest),
                0 => first.len_utf8(),
                length => length,
            };
            let (text, tail) = rest.split_at(length);
            let word = Word { text, line };
            line += text.matches('\n').count();
            rest = tail;
            if skipped == 0 {
                return Some(word);
            }
        }
        None
    })
}

fn length_of_name(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// The length of the blank, comment, string or character literal that `text` starts with, 0 if with none of them.
fn length_of_what_says_nothing(text: &str) -> usize {
    let first = text.chars().next().unwrap_or_default();
    if first.is_whitespace() {
        return first.len_utf8();
    }
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return length_of_block_comment(text);
    }
    if first == '\'' {
        return length_of_character(text);
    }
    length_of_string(text)
}

/// Block comments nest.
fn length_of_block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// `'a'` and `'\n'` are characters; of a lifetime only the quote is dropped.
fn length_of_character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            text[escaped + 1..].find('\'').map_or(text.len(), |quote| escaped + 1 + quote + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// Strings of every kind: plain, byte, C, and the raw forms of them.
fn length_of_string(text: &str) -> usize {
    let prefix = ["br", "cr", "r", "b", "c", ""]
        .into_iter()
        .find(|prefix| text.strip_prefix(*prefix).is_some_and(|after| after.trim_start_matches('#').starts_with('"')))
        .unwrap_or("none");
    let Some(after) = text.strip_prefix(prefix) else { return 0 };
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = prefix.len() + hashes + 1;
    if prefix.ends_with('r') {
        let end = format!("\"{}", "#".repeat(hashes));
        return text[body..].find(&end).map_or(text.len(), |at| body + at + end.len());
    }
    if hashes > 0 {
        return 0;
    }
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(body) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
