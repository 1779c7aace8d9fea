//! Identifiers, parsed once at the edge.
//!
//! A value of one of these types has passed its grammar; nobody checks it again.

use std::{fmt, sync::Arc};

use super::random;

/// Why a text is not an identifier. It never repeats the text: what a caller sent may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must match {grammar}")]
pub struct InvalidId {
    /// The identifier's name in the API, for example `instance_id`.
    pub what: &'static str,
    /// The grammar as a regular expression, for the person who reads the answer.
    pub grammar: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $grammar:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The same text, shared.
            pub fn to_shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidId;

            fn try_from(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&[u8]) -> bool = $valid;
                if !valid(text.as_bytes()) {
                    return Err(InvalidId { what: $what, grammar: $grammar });
                }
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

identifier!(
    /// A Redis instance at Tencent Cloud, for example `crs-4y9t57vt`.
    InstanceId,
    "instance_id",
    "[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
    |text| is_word(text, 64)
);

identifier!(
    /// A backup of an instance. Opaque: the vendor's samples are 24 digits, and three numbers joined by hyphens.
    BackupId,
    "backup_id",
    "[A-Za-z0-9][A-Za-z0-9_-]{0,127}",
    |text| is_word(text, 128)
);

identifier!(
    /// A region of Tencent Cloud, for example `ap-chengdu` or `ap-shanghai-fsi`. The vendor's list grows, so the
    /// grammar is checked here and membership against the operator's own list.
    Region,
    "region",
    "[a-z]{2}-[a-z]+(-[a-z0-9]+)*",
    is_region
);

identifier!(
    /// What ties a request to its answer, its log lines and its audit record.
    RequestId,
    "X-Request-Id",
    "[A-Za-z0-9._-]{1,128}",
    |text| {
        (1..=128).contains(&text.len())
            && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
    }
);

impl Region {
    /// Whether this is a financial zone, which the vendor isolates and serves from its own host.
    pub fn is_financial(&self) -> bool {
        self.0.ends_with("-fsi")
    }
}

impl RequestId {
    /// A new id of 128 random bits.
    pub fn random() -> Self {
        Self::from_bits(random::bits())
    }

    /// The id that these bits make: 32 hexadecimal digits.
    pub fn from_bits(bits: u128) -> Self {
        Self(EventId::from_bits(bits).as_str().into())
    }
}

/// The gateway's own id of one event: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventId([u8; 32]);

impl EventId {
    /// A new id of 128 random bits.
    pub fn random() -> Self {
        Self::from_bits(random::bits())
    }

    /// The id that these bits make.
    pub fn from_bits(bits: u128) -> Self {
        let bytes = bits.to_be_bytes();
        let half = |at: usize| if at.is_multiple_of(2) { bytes[at / 2] >> 4 } else { bytes[at / 2] & 0xf };
        Self(std::array::from_fn(|at| b"0123456789abcdef"[usize::from(half(at))]))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are text")
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_word(text: &[u8], longest: usize) -> bool {
    text.len() <= longest
        && text.first().is_some_and(u8::is_ascii_alphanumeric)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_region(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'-');
    let area = parts.next().unwrap_or_default();
    let place = parts.next().unwrap_or_default();
    text.len() <= 64
        && area.len() == 2
        && area.iter().all(u8::is_ascii_lowercase)
        && !place.is_empty()
        && place.iter().all(u8::is_ascii_lowercase)
        && parts
            .all(|part| !part.is_empty() && part.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_vendors_own_ids_are_accepted() {
        for text in ["crs-4y9t57vt", "c", "A_-9"] {
            assert_eq!(InstanceId::try_from(text).map(|id| id.to_string()).as_deref(), Ok(text));
        }
        for text in ["678362566696298532848117", "165706342-5832225-1641692389"] {
            assert_eq!(BackupId::try_from(text).map(|id| id.to_string()).as_deref(), Ok(text));
        }
        for text in ["ap-guangzhou", "ap-shanghai-fsi", "na-siliconvalley"] {
            assert_eq!(Region::try_from(text).map(|id| id.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_too_long_or_begins_badly_is_refused() {
        for text in ["", "-a", "_a", "a.b", "a/b", "a b", "a\0", "ä", "a%41", &"a".repeat(65)] {
            assert!(InstanceId::try_from(text).is_err(), "{text:?}");
        }
        assert!(InstanceId::try_from("a".repeat(64).as_str()).is_ok());
        assert!(BackupId::try_from("a".repeat(128).as_str()).is_ok());
        assert!(BackupId::try_from("a".repeat(129).as_str()).is_err());
        for text in ["", "ap", "ap-", "AP-x", "ap-x-", "ap--x", "a-x", "ap-x.evil.example", "ap-x/"] {
            assert!(Region::try_from(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn bits_are_written_as_hexadecimal_digits() {
        for bits in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef << 1] {
            assert_eq!(RequestId::from_bits(bits).as_str(), format!("{bits:032x}"));
        }
    }

    proptest! {
        #[test]
        fn an_accepted_id_is_plain_ascii_and_comes_back_as_written(text in "\\PC{0,140}") {
            if let Ok(id) = BackupId::try_from(text.as_str()) {
                prop_assert!(id.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(id.as_str(), text.as_str());
            }
        }
    }
}
