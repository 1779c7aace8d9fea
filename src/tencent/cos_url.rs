//! How long a pre-signed URL of the vendor's object store (COS) is good, read from the URL itself.
//!
//! Pure, and it trusts nothing: whatever stands in a URL, it never panics and never makes a URL live longer than the
//! shortest time that the URL names.

use std::{
    str,
    time::{Duration, SystemTime},
};

use super::wire::SignedUrl;
use crate::domain::clock::from_unix_seconds;

/// The parameters that name a time: of the signature, and of the key that was derived for it.
const TIMES: [&[u8]; 2] = [b"q-sign-time", b"q-key-time"];

/// The parameter of a URL that was made with a temporary key, which dies with that key.
const SECURITY_TOKEN: &[u8] = b"x-cos-security-token";

/// The earliest end of validity among `urls`. A URL that names no time counts as
/// `fetched_at + unknown_lifetime`; one in which a time cannot be read counts as that too, or as the earliest time in it
/// that can be read, whichever comes first.
pub fn expires_at<'a>(
    urls: impl IntoIterator<Item = SignedUrl<'a>>,
    fetched_at: SystemTime,
    unknown_lifetime: Duration,
) -> SystemTime {
    let unknown = fetched_at + unknown_lifetime;
    let end = |url: &str| {
        let times = Times::of(url);
        match times.earliest_end {
            Some(end) if times.unreadable => end.min(unknown),
            Some(end) => end,
            None => unknown,
        }
    };
    urls.into_iter().map(|url| end(url.expose())).min().unwrap_or(unknown)
}

/// When the URL stops being valid: the smallest end among its `q-sign-time` and `q-key-time`, in either form (as
/// parameters of their own, or percent-encoded inside `sign`). `None` where there is none, or one that cannot be read.
pub fn validity_end(url: &str) -> Option<SystemTime> {
    let times = Times::of(url);
    times.earliest_end.filter(|_| !times.unreadable)
}

/// Whether the URL was made with a temporary key. Then it dies with that key, and nothing in it says when.
pub fn carries_security_token(url: &str) -> bool {
    let mut found = false;
    each_parameter(url, |name, _| found |= name.eq_ignore_ascii_case(SECURITY_TOKEN));
    found
}

#[derive(Default)]
struct Times {
    earliest_end: Option<SystemTime>,
    unreadable: bool,
}

impl Times {
    fn of(url: &str) -> Self {
        let mut times = Self::default();
        each_parameter(url, |name, value| {
            if !TIMES.iter().any(|time| name.eq_ignore_ascii_case(time)) {
                return;
            }
            match end_of(&percent_decode(value)) {
                Some(end) => times.earliest_end = Some(times.earliest_end.map_or(end, |earliest| earliest.min(end))),
                None => times.unreadable = true,
            }
        });
        times
    }
}

/// Calls `see` with the name and the still encoded value of every parameter of the query, and of those packed into a
/// parameter `sign`. Parameters are split at `&` alone: a bare `;` stands inside the values.
fn each_parameter(url: &str, mut see: impl FnMut(&[u8], &[u8])) {
    let query = url.split('#').next().and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
    for (name, value) in parameters(query.as_bytes()) {
        if name.eq_ignore_ascii_case(b"sign") {
            for (name, value) in parameters(&percent_decode(value)) {
                see(name, value);
            }
        } else {
            see(name, value);
        }
    }
}

fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').map(|parameter| {
        let name_end = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
        (&parameter[..name_end], parameter.get(name_end + 1..).unwrap_or_default())
    })
}

/// The end in `start;end`, both of 1 to 11 digits and the end after the start.
fn end_of(value: &[u8]) -> Option<SystemTime> {
    let seconds = |digits: &[u8]| -> Option<u64> {
        let plausible = (1..=11).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        if !plausible {
            return None;
        }
        str::from_utf8(digits).ok()?.parse().ok()
    };
    let separator = value.iter().position(|byte| *byte == b';')?;
    let (start, end) = (seconds(&value[..separator])?, seconds(&value[separator + 1..])?);
    (start < end).then(|| from_unix_seconds(end))
}

/// One percent-decoding; an escape that is none stays as it is.
fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        match rest {
            [b'%', high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(nibble(*high) << 4 | nibble(*low));
                rest = behind;
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

fn nibble(hex_digit: u8) -> u8 {
    match hex_digit {
        b'0'..=b'9' => hex_digit - b'0',
        _ => (hex_digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests;
