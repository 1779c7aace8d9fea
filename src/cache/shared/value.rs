//! A value as it is written before it is sealed, and what is read of its times: pure.

use std::time::{Duration, SystemTime};

use secrecy::zeroize::Zeroizing;

use super::keys::Stamp;

/// A value, and how long it may be of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// When it was fetched, by the clock of the replica that did, in whole milliseconds.
    pub fetched_at: SystemTime,
    /// When it dies, by its own word, in whole milliseconds.
    pub expires_at: SystemTime,
    /// How long the store is told to keep it.
    pub kept_for: Duration,
    /// What was fetched.
    pub body: Body,
}

/// What was fetched: a bearer secret. It shows nothing of itself and is wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(Zeroizing<Vec<u8>>);

/// A value that was found, with its age by the store's clock: another opinion beside the clocks of two replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub value: Value,
    /// Since when the store has kept it.
    pub age_in_store: Duration,
}

/// How far the store's clock may have been set back since the value came. More is somebody who prolonged its life.
const MOST_STEP: Duration = Duration::from_secs(1);

impl Value {
    /// What stands in the clear before it, by which a replica knows that it has it.
    pub(super) fn stamp(&self) -> Stamp {
        stamp_of(self.fetched_at)
    }

    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(16 + self.body.0.len() + 16));
        text.extend_from_slice(&millis_of(self.expires_at).to_be_bytes());
        text.extend_from_slice(&whole_millis(self.kept_for).to_be_bytes());
        text.extend_from_slice(&self.body.0);
        text
    }

    pub(super) fn decode(stamp: Stamp, text: &[u8]) -> Option<Self> {
        let (expires_at, rest) = text.split_first_chunk()?;
        let (kept_for, body) = rest.split_first_chunk()?;
        Some(Self {
            fetched_at: moment(u64::from_be_bytes(stamp))?,
            expires_at: moment(u64::from_be_bytes(*expires_at))?,
            kept_for: Duration::from_millis(u64::from_be_bytes(*kept_for)),
            body: Body::from(body.to_vec()),
        })
    }
}

impl Found {
    /// A value that the store will keep for `millis_left` more. `None` where nobody of us can have put it there so: it
    /// never ends, or later than it was told to.
    pub(super) fn new(value: Value, millis_left: i64) -> Option<Self> {
        let left = Duration::from_millis(u64::try_from(millis_left).ok()?);
        if left > value.kept_for.saturating_add(MOST_STEP) {
            return None;
        }
        Some(Self { age_in_store: value.kept_for.saturating_sub(left), value })
    }
}

impl Body {
    /// What was fetched, for whoever is entitled to it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

/// The stamp of whatever was fetched at that moment.
pub(super) fn stamp_of(fetched_at: SystemTime) -> Stamp {
    millis_of(fetched_at).to_be_bytes()
}

fn millis_of(moment: SystemTime) -> u64 {
    whole_millis(moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn moment(millis: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(kept_for: Duration) -> Value {
        let fetched_at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_551_952_863_123);
        let expires_at = fetched_at + Duration::from_secs(21_600);
        Value { fetched_at, expires_at, kept_for, body: Body::from(b"https://h/k?sign=x".to_vec()) }
    }

    #[test]
    fn a_value_is_read_as_it_was_written() {
        let value = value(Duration::from_secs(21_540));

        assert_eq!(Value::decode(value.stamp(), &value.encode()), Some(value));
    }

    #[test]
    fn its_age_is_what_the_store_has_used_up_of_its_time() {
        let found = Found::new(value(Duration::from_secs(60)), 59_000).expect("it is ours");

        assert_eq!(found.age_in_store, Duration::from_secs(1));
    }

    #[test]
    fn a_value_that_never_ends_or_ends_too_late_is_not_ours() {
        for (millis_left, is_ours) in
            [(-2, false), (-1, false), (0, true), (60_000, true), (61_000, true), (61_001, false), (i64::MAX, false)]
        {
            assert_eq!(Found::new(value(Duration::from_secs(60)), millis_left).is_some(), is_ours, "{millis_left}");
        }
    }

    #[test]
    fn a_body_shows_its_length_alone() {
        assert_eq!(format!("{:?}", value(Duration::ZERO).body), "Body(18 bytes)");
    }

    proptest! {
        #[test]
        fn whatever_is_decoded_does_no_harm(stamp in any::<[u8; 8]>(), text in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(value) = Value::decode(stamp, &text) {
                prop_assert_eq!(value.body.expose().len() + 16, text.len());
            }
        }
    }
}
