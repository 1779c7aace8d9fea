//! Bounds on the shape of a policy, checked before Cedar sees it.
//!
//! Cedar (4.14) parses by recursion without a limit: 200 nested brackets overflow a stack of 2 MiB and abort the
//! process, so that a bad reload would end a good gateway. Its validator does have a limit, and *accepts* what lies
//! beyond it; its evaluator has one too, and fails there. All three are met if a policy stays below what is checked
//! here and is compiled on the stack of [`on_a_deep_stack`]. Only the shape is looked at: what is wrong is Cedar's
//! to say.

use std::{io, panic, thread};

/// The deepest brackets.
const MAX_NESTING: usize = 32;

/// The most operators and clauses of one policy, each of which can stand inside the one before. Cedar still evaluated
/// 450 of each kind on a stack of 2 MiB (release build).
const MAX_LINKS: usize = 300;

/// Enough, in a build without optimisation, for ten times what the bounds let through. It is reserved, not used.
const STACK_BYTES: usize = 64 << 20;

/// The offset in bytes where a text goes out of bounds, and how.
pub(super) fn first_excess(text: &str) -> Option<(usize, String)> {
    let (mut nesting, mut links) = (0_usize, 0_usize);
    for (offset, token) in tokens(text) {
        match token {
            "(" | "[" | "{" => nesting += 1,
            ")" | "]" | "}" => nesting = nesting.saturating_sub(1),
            ";" => (nesting, links) = (0, 0),
            _ => {}
        }
        if matches!(token, "[" | "." | "+" | "-" | "*" | "!" | "&" | "|" | "if" | "when" | "unless") {
            links += 1;
        }
        if nesting > MAX_NESTING {
            return Some((offset, format!("brackets are nested more than {MAX_NESTING} deep")));
        }
        if links > MAX_LINKS {
            let message = format!(
                "this policy has more than {MAX_LINKS} operators: split it, or write `in [\u{2026}]` for a row of `||`"
            );
            return Some((offset, message));
        }
    }
    None
}

/// Runs `work` on a stack on which Cedar comes to its end for every text within the bounds.
///
/// # Errors
///
/// The system has no thread left to give.
pub(super) fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("policies".to_owned()).stack_size(STACK_BYTES);
        let running = thread.spawn_scoped(scope, work)?;
        running.join().or_else(|cause| panic::resume_unwind(cause))
    })
}

/// Words, strings in quotes, `&&`, `||`, and single characters, with their offsets; comments and blanks left out.
///
/// A quote without an end counts as a character, so that what follows it is looked at.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at = skip_blanks_and_comments(text, at);
        let rest = &text[at..];
        let first = rest.chars().next()?;
        let length = match first {
            '"' => string_length(rest).unwrap_or(1),
            '&' | '|' if rest[1..].starts_with(first) => 2,
            _ if is_word(first) => rest.find(|next| !is_word(next)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let start = at;
        at += length;
        // The doubled operators are one token, known by their first character.
        let token = if matches!(first, '&' | '|') { &rest[..1] } else { &rest[..length] };
        Some((start, token))
    })
}

/// The offset of the first character at or after `from` that says something. Cedar has line comments only, and a bare
/// carriage return ends them too.
pub(super) fn skip_blanks_and_comments(text: &str, from: usize) -> usize {
    let mut rest = text[from..].trim_start();
    while rest.starts_with("//") {
        rest = rest.find(['\n', '\r']).map_or("", |end| &rest[end..]).trim_start();
    }
    text.len() - rest.len()
}

fn string_length(text: &str) -> Option<usize> {
    let mut escaped = true; // The opening quote does not close.
    for (offset, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(offset + 1),
            _ => {}
        }
    }
    None
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn depth_and_links_are_counted_and_strings_and_comments_are_not() {
        let policy = |condition: &str| format!("permit (principal, action, resource) when {{ {condition} }};");
        let nested = |n: usize| policy(&format!("{}true{}", "(".repeat(n), ")".repeat(n)));
        let chained = |n: usize| policy(&format!("{}true", "true || ".repeat(n)));

        for (text, excess) in [
            (nested(31), None),
            (nested(32), Some(75)),
            (chained(299), None),
            (chained(300), Some(44 + 8 * 299 + 5)),
            (policy(&format!("context.reason == \"{}\"", "([{.".repeat(400))), None),
            (policy(&format!("context.reason == \"\\\"{}\"", "((".repeat(400))), None),
            (format!("// {}\n{}", "(((".repeat(400), policy("true")), None),
            (format!("// a comment\r{}", "(".repeat(400)), Some(45)),
            (format!("\"{}", "(".repeat(400)), Some(33)),
            (policy(&format!("resource in [{}Instance::\"z\"]", "Instance::\"a\", ".repeat(1000))), None),
            (policy("true && true").repeat(1000), None),
            (policy(&"(".repeat(20)).repeat(2), None),
            ("if ".repeat(301), Some(900)),
            ("when { true } ".repeat(301), Some(4200)),
            (String::new(), None),
        ] {
            assert_eq!(first_excess(&text).map(|(offset, _)| offset), excess, "{}", &text[..text.len().min(200)]);
        }
    }

    proptest! {
        #[test]
        fn tokens_and_what_is_skipped_between_them_are_the_text(text in "([\\[\\](){}.;a-c \n\"\\\\/&|]|\\PC){0,60}") {
            let mut end = 0;
            for (offset, token) in tokens(&text) {
                prop_assert_eq!(skip_blanks_and_comments(&text, end), offset);
                prop_assert!(text[offset..].starts_with(token));
                end = offset + token.len();
                if matches!(token, "&" | "|") && text[end..].starts_with(token) {
                    end += 1;
                }
            }
            prop_assert_eq!(skip_blanks_and_comments(&text, end), text.len());
        }
    }
}
