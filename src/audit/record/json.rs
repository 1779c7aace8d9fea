//! JSON as records need it: members of one flat object, written straight into the line.
//!
//! What it writes stands on one line for every reader: not only the line feed is escaped, but whatever anybody takes
//! for the end of a line.

use crate::domain::decimal::push_decimal;

/// What stands in a record before the value of a member that is not the first: `,"name":`.
macro_rules! member {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(super) use member;

/// Appends a [`member!`]'s name. Inlined, as are those below, so that a name is a store or two and no call.
#[inline]
pub(super) fn name(out: &mut Vec<u8>, member: &'static str) {
    out.extend_from_slice(member.as_bytes());
}

/// Appends a member whose text holds nothing that JSON escapes, or `null`.
#[inline]
pub(super) fn plain(out: &mut Vec<u8>, member: &'static str, text: Option<&str>) {
    name(out, member);
    match text {
        Some(text) => {
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a member with any text, or `null`.
#[inline]
pub(super) fn free(out: &mut Vec<u8>, member: &'static str, text: Option<&str>) {
    name(out, member);
    match text {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a member that is a number, or `null`.
#[inline]
pub(super) fn number(out: &mut Vec<u8>, member: &'static str, number: Option<u32>) {
    name(out, member);
    match number {
        Some(number) => push_decimal(out, number.into()),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a member that is a list of any texts.
#[inline]
pub(super) fn list<T: AsRef<str>>(out: &mut Vec<u8>, member: &'static str, texts: &[T]) {
    name(out, member);
    out.push(b'[');
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, text.as_ref());
    }
    out.push(b']');
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(may_be_escaped) {
        let (clear, special) = rest.split_at(at);
        out.extend_from_slice(clear.as_bytes());
        let mut chars = special.chars();
        if let Some(char) = chars.next() {
            character(out, char);
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// Whether a character that begins with this byte may have to be escaped. Such a byte never stands inside a character.
fn may_be_escaped(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            // 0xc2 begins U+0080 to U+00BF, 0xe2 begins U+2000 to U+2FFF.
            table[byte] = matches!(byte, 0..0x20 | 0x22 | 0x5c | 0x7f | 0xc2 | 0xe2);
            byte += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}

fn character(out: &mut Vec<u8>, char: char) {
    let short = match char {
        '"' => b"\\\"",
        '\\' => b"\\\\",
        '\n' => b"\\n",
        '\r' => b"\\r",
        '\t' => b"\\t",
        '\u{2028}' | '\u{2029}' => return escape(out, char),
        char if char.is_control() => return escape(out, char),
        char => {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
    };
    out.extend_from_slice(short);
}

fn escape(out: &mut Vec<u8>, char: char) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let code = u32::from(char);
    out.extend_from_slice(b"\\u");
    out.extend([12, 8, 4, 0].map(|shift| DIGITS[(code >> shift) as usize & 0xf]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rendered(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_anybody_takes_for_the_end_of_a_line_is_escaped() {
        let text = "a\n\r\u{b}\u{c}\u{1c}\u{85}\u{2028}\u{2029}b\"\\\t\0\u{7f}";

        assert_eq!(rendered(text), r#""a\n\r\u000b\u000c\u001c\u0085\u2028\u2029b\"\\\t\u0000\u007f""#);
    }

    #[test]
    fn other_letters_stand_as_they_are() {
        assert_eq!(rendered("Störung – 备份 «£»"), "\"Störung – 备份 «£»\"");
    }

    proptest! {
        #[test]
        fn any_text_reads_back_as_it_was(text in "\\PC{0,40}|[\0-\u{ff}\u{2020}-\u{2030}\"\\\\]{0,40}|.{0,40}") {
            let json = rendered(&text);

            let read: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read, text);
            prop_assert!(!json.chars().any(char::is_control));
        }
    }
}
