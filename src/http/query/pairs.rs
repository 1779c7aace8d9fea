//! Names and values of a query, each percent-decoded exactly once.

use std::borrow::Cow;

use crate::http::problem::Problem;

/// A name and a value.
pub(super) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The pairs in their order.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = Result<Pair<'_>, Problem>> {
    query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let pair = decode(name).zip(decode(value));
        pair.ok_or_else(|| Problem::invalid_request("the query is not percent-encoded UTF-8"))
    })
}

/// The name is the caller's own text: it is bounded, and what JSON cannot carry plainly is replaced.
pub(super) fn unknown(name: &str) -> Problem {
    let name: String =
        name.chars().take(64).map(|symbol| if symbol.is_control() { '\u{fffd}' } else { symbol }).collect();
    Problem::invalid_request(format!("parameter {name} is unknown"))
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high << 4 | low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_is_decoded_once_and_only_where_it_is_encoded_well() {
        assert_eq!(decode("a%2Bb+c").as_deref(), Some("a+b c"));
        assert_eq!(decode("%2541").as_deref(), Some("%41"));
        for text in ["%", "%4", "%zz", "%ff", "%c0%80", "%+1"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_through_encoding_and_decoding(text in "\\PC{0,40}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let decoded = decode(&encoded);
            prop_assert_eq!(decoded.as_deref(), Some(text.as_str()));
        }
    }
}
