//! What a chain of certificates says of itself: how long it is valid, and who issued whom (RFC 5280, section 4.1).
//!
//! Pure. rustls sends a chain as it is given and never looks at its times, so a mistake in it would first be seen by
//! every client at once. Signatures are the clients' business: they alone know whom they trust.

use std::time::{Duration, SystemTime};

use time::{PrimitiveDateTime, macros::format_description};

use super::Mistake;

/// From when to when something is valid, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

/// What of a certificate is looked at. Names are compared byte for byte, as RFC 5280 has issuers write them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Facts<'a> {
    subject: &'a [u8],
    issuer: &'a [u8],
    validity: Validity,
}

impl Validity {
    /// How long it lasts.
    pub(super) fn life(&self) -> Duration {
        self.not_after.duration_since(self.not_before).unwrap_or_default()
    }
}

/// The time in which all certificates are valid, of which `now` must be a part.
///
/// # Errors
///
/// On a certificate that is not valid, and on one behind the first that has issued none before it. Several ways from the
/// first to a root may stand there, one after the other.
pub(super) fn judge(chain: &[Facts<'_>], now: SystemTime) -> Result<Validity, Mistake> {
    let mut all = Validity { not_before: SystemTime::UNIX_EPOCH, not_after: SystemTime::UNIX_EPOCH };
    for (index, facts) in chain.iter().enumerate() {
        let (number, Validity { not_before, not_after }) = (index + 1, facts.validity);
        if index > 0 && chain[..index].iter().all(|earlier| earlier.issuer != facts.subject) {
            return Err(Mistake::OutOfOrder { number });
        }
        if not_after < now {
            return Err(Mistake::Expired { number, at: not_after });
        }
        if now < not_before {
            return Err(Mistake::NotYetValid { number, at: not_before });
        }
        if index == 0 || not_after < all.not_after {
            all = Validity { not_before, not_after };
        }
    }
    Ok(all)
}

/// Reads the part of a certificate that is needed; nothing where it is none.
pub(super) fn read(certificate: &[u8]) -> Option<Facts<'_>> {
    let (certificate, []) = expect(SEQUENCE, certificate)? else { return None };
    let (to_be_signed, _) = expect(SEQUENCE, certificate)?;
    let rest = match element(to_be_signed)? {
        (VERSION, _, rest) => rest,
        _ => to_be_signed,
    };
    let (_serial, rest) = expect(INTEGER, rest)?;
    let (_algorithm, rest) = expect(SEQUENCE, rest)?;
    let (issuer, rest) = expect(SEQUENCE, rest)?;
    let (validity, rest) = expect(SEQUENCE, rest)?;
    let (subject, _) = expect(SEQUENCE, rest)?;
    let (tag, not_before, rest) = element(validity)?;
    let not_before = moment(tag, not_before)?;
    let (tag, not_after, []) = element(rest)? else { return None };
    let validity = Validity { not_before, not_after: moment(tag, not_after)? };
    Some(Facts { subject, issuer, validity })
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(input)?;
    (found == tag).then_some((content, rest))
}

/// The first element of some DER: its tag, its content, and what follows it.
pub(super) fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, input) = input.split_first()?;
    let (&first, input) = input.split_first()?;
    let (length, input) = match first {
        ..=0x7f => (usize::from(first), input),
        // Longer lengths are of no certificate, and one without an end (0x80) is not DER.
        0x81..=0x84 => {
            let (bytes, input) = input.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), input)
        }
        _ => return None,
    };
    let (content, rest) = input.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A moment in one of the two forms that certificates use: years with two digits (until 2049) or with four.
fn moment(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    let century = match tag {
        GENERALIZED_TIME => "",
        UTC_TIME if text < "50" => "20",
        UTC_TIME => "19",
        _ => return None,
    };
    let form = format_description!("[year][month][day][hour][minute][second]Z");
    let moment = PrimitiveDateTime::parse(&format!("{century}{text}"), form).ok()?;
    Some(moment.assume_utc().into())
}

#[cfg(test)]
mod tests;
