//! W3C Trace Context (<https://www.w3.org/TR/trace-context-2/>): which trace a request is part of.
//!
//! Read strictly, for whatever stands there comes from strangers: a header that is not exactly right counts as none.

use std::{
    fmt,
    num::{NonZeroU64, NonZeroU128},
    str,
    sync::Arc,
};

/// The id of a trace: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

/// The id of a span in a trace: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

/// What `traceparent` says of the caller's own span (section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace that the caller is part of.
    pub trace_id: TraceId,
    /// The caller's span.
    pub span_id: SpanId,
    /// Whether the caller records its part of the trace, and wishes others to.
    pub is_sampled: bool,
}

/// What `tracestate` says (section 3.3): whose meaning is none of ours, and whose form has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceState(Arc<str>);

/// Members beyond this make a `tracestate` invalid.
const MOST_MEMBERS: usize = 32;

/// Section 3.3.1.5 asks for this much to be passed on, and for no more.
const LONGEST_STATE: usize = 512;

/// The longest key, and the longest value, of a member.
const LONGEST_PART: usize = 256;

impl TraceId {
    /// The id of these bits; one for zero, which is no id.
    pub fn from_bits(bits: u128) -> Self {
        Self(NonZeroU128::new(bits).unwrap_or(NonZeroU128::MIN))
    }

    /// The id as bytes, most significant first.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }
}

impl SpanId {
    /// The id of these bits; one for zero, which is no id.
    pub fn from_bits(bits: u64) -> Self {
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    /// The id as bytes, most significant first.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl TraceParent {
    /// Reads the value of the header; nothing where it is not valid.
    ///
    /// A version above 00 may carry more fields; the first four read the same.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(55)?;
        let [v0, v1, b'-', trace_id @ .., b'-', f0, f1] = head else { return None };
        let (trace_id, span_id) = trace_id.split_at_checked(32)?;
        let [b'-', span_id @ ..] = span_id else { return None };
        let version = hex(&[*v0, *v1])?;
        let is_whole = match version {
            0xff => false,
            0 => rest.is_empty(),
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if !is_whole {
            return None;
        }
        let flags = hex(&[*f0, *f1])?;
        Some(Self {
            trace_id: TraceId(NonZeroU128::new(hex(trace_id)?)?),
            span_id: SpanId(NonZeroU64::new(u64::try_from(hex(span_id)?).ok()?)?),
            is_sampled: flags & 1 == 1,
        })
    }
}

impl TraceState {
    /// Reads the values of all fields of that name, as one list; nothing where that is empty, or not valid.
    pub fn parse<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut keys: Vec<&str> = Vec::new();
        let mut text = String::new();
        for field in fields {
            for member in str::from_utf8(field).ok()?.split(',') {
                let member = member.trim_matches([' ', '\t']);
                if member.is_empty() {
                    continue;
                }
                let (key, value) = member.split_once('=')?;
                if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() == MOST_MEMBERS {
                    return None;
                }
                keys.push(key);
                if !text.is_empty() {
                    text.push(',');
                }
                text.push_str(member);
            }
        }
        (!text.is_empty() && text.len() <= LONGEST_STATE).then(|| Self(text.into()))
    }

    /// The list as it is passed on.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `key`, of lower-case letters, digits and `_-*/`, or `tenant@system` of such; the first a letter or a digit.
fn is_key(key: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    key.len() <= LONGEST_PART
        && match key.split_once('@') {
            Some((tenant, system)) => is_word(tenant) && is_word(system),
            None => is_word(key),
        }
}

/// Printable characters of ASCII without `,` and `=`; blanks have been taken off its end.
fn is_value(value: &str) -> bool {
    (1..=LONGEST_PART).contains(&value.len()) && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

/// Lower-case hexadecimal digits as a number.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// Hexadecimal digits without the formatter's machinery: an id is written into every record of the audit.
fn digits<const BYTES: usize, const DIGITS: usize>(bytes: [u8; BYTES]) -> [u8; DIGITS] {
    let mut text = [b'0'; DIGITS];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    text
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&digits::<16, 32>(self.to_bytes())).unwrap_or_default())
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&digits::<8, 16>(self.to_bytes())).unwrap_or_default())
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn state(fields: &[&str]) -> Option<String> {
        TraceState::parse(fields.iter().map(|field| field.as_bytes())).map(|state| state.as_str().to_owned())
    }

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let table = [
            (format!("00-{ID}-{SPAN}-01"), Some(true)),
            (format!("00-{ID}-{SPAN}-00"), Some(false)),
            (format!("00-{ID}-{SPAN}-03"), Some(true)),
            (format!("00-{ID}-{SPAN}-fe"), Some(false)),
            (format!("cc-{ID}-{SPAN}-01-future"), Some(true)),
            (format!("cc-{ID}-{SPAN}-01"), Some(true)),
            (format!("cc-{ID}-{SPAN}-01future"), None),
            (format!("00-{ID}-{SPAN}-01-more"), None),
            (format!("00-{ID}-{SPAN}-01-"), None),
            (format!("ff-{ID}-{SPAN}-01"), None),
            (format!("0-{ID}-{SPAN}-01"), None),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), None),
            (format!("00-{ID}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-{SPAN}-01", ID.to_uppercase()), None),
            (format!("00-{ID}-{SPAN}-0A"), None),
            (format!("00_{ID}-{SPAN}-01"), None),
            (format!("00-{ID}{SPAN}--01"), None),
            (format!(" 00-{ID}-{SPAN}-01"), None),
            (format!("00-{ID}"), None),
            (String::new(), None),
        ];

        for (header, is_sampled) in table {
            let parent = TraceParent::parse(header.as_bytes());

            assert_eq!(parent.map(|parent| parent.is_sampled), is_sampled, "{header}");
            if let Some(parent) = parent {
                assert_eq!((parent.trace_id.to_string(), parent.span_id.to_string()), (ID.to_owned(), SPAN.to_owned()));
            }
        }
    }

    #[test]
    fn a_tracestate_is_one_list_over_all_its_fields() {
        assert_eq!(state(&["rojo=00f067aa0ba902b7"]).as_deref(), Some("rojo=00f067aa0ba902b7"));
        assert_eq!(state(&["a=1 , b=2", "", "c=3,"]).as_deref(), Some("a=1,b=2,c=3"));
        assert_eq!(state(&["ot=th:8;rv:12", "fw529a3039@dt=x y"]).as_deref(), Some("ot=th:8;rv:12,fw529a3039@dt=x y"));
    }

    #[test]
    fn a_tracestate_that_breaks_a_rule_is_dropped_whole() {
        let many = (0..33).map(|number| format!("k{number}=v")).collect::<Vec<_>>().join(",");
        let long = format!("a={}", "v".repeat(257));
        let long_in_all = (0..4).map(|number| format!("k{number}={}", "v".repeat(200))).collect::<Vec<_>>().join(",");
        let table: [&[&str]; 14] = [
            &[],
            &[""],
            &["a"],
            &["a="],
            &["=v"],
            &["A=v"],
            &["a=1=2"],
            &["a=1", "a=2"],
            &["-a=1"],
            &["a@b@c=1"],
            &["a=\u{e4}"],
            &[&many],
            &[&long],
            &[&long_in_all],
        ];

        for fields in table {
            assert_eq!(state(fields), None, "{fields:?}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_written_as_it_is_read(trace in 1_u128.., span in 1_u64.., flags: u8) {
            let text = format!("00-{trace:032x}-{span:016x}-{flags:02x}");

            let parent = TraceParent::parse(text.as_bytes()).unwrap();

            let written = format!("00-{}-{}-{flags:02x}", parent.trace_id, parent.span_id);
            prop_assert_eq!(written, text);
            prop_assert_eq!(parent.is_sampled, flags % 2 == 1);
        }

        #[test]
        fn whatever_stands_there_is_read_or_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceParent::parse(&bytes);
            if let Some(state) = TraceState::parse([&bytes[..]]) {
                prop_assert!(state.as_str().is_ascii());
            }
        }
    }
}
