//! `Cache-Status` (RFC 9211): where an answer came from, in one line.

use actix_web::http::header::HeaderValue;
use bytes::Bytes;

use crate::{
    broker::{Source, Why},
    domain::decimal::push_decimal,
};

/// The header's value.
pub(super) fn cache_status(source: Source, ttl_seconds: i64) -> HeaderValue {
    let mut text = text(source, ttl_seconds);
    // Without room to spare it becomes the value as it lies there.
    text.shrink_to_fit();
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("words, digits and semicolons are what a field is made of")
}

fn text(source: Source, ttl_seconds: i64) -> Vec<u8> {
    let mut text = Vec::with_capacity(48);
    text.extend_from_slice(b"redis-backup-gateway");
    match source {
        Source::Hit => text.extend_from_slice(b"; hit"),
        Source::Forwarded { why, stored, collapsed } => {
            forwarded(&mut text, why);
            if stored {
                text.extend_from_slice(b"; stored");
            }
            if collapsed {
                text.extend_from_slice(b"; collapsed");
            }
            return text;
        }
        Source::StaleIfError { why } => forwarded(&mut text, why),
    }
    text.extend_from_slice(if ttl_seconds < 0 { b"; ttl=-".as_slice() } else { b"; ttl=" });
    push_decimal(&mut text, ttl_seconds.unsigned_abs());
    if let Source::StaleIfError { .. } = source {
        text.extend_from_slice(b"; detail=stale-if-error");
    }
    text
}

fn forwarded(text: &mut Vec<u8>, why: Why) {
    text.extend_from_slice(match why {
        Why::Miss => b"; fwd=miss".as_slice(),
        Why::Stale => b"; fwd=stale",
        Why::Request => b"; fwd=request",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_its_line() {
        let miss = |stored, collapsed| Source::Forwarded { why: Why::Miss, stored, collapsed };
        let table = [
            (Source::Hit, 42, "redis-backup-gateway; hit; ttl=42"),
            (miss(true, false), 42, "redis-backup-gateway; fwd=miss; stored"),
            (miss(true, true), 42, "redis-backup-gateway; fwd=miss; stored; collapsed"),
            (miss(false, false), 0, "redis-backup-gateway; fwd=miss"),
            (
                Source::StaleIfError { why: Why::Stale },
                -7,
                "redis-backup-gateway; fwd=stale; ttl=-7; detail=stale-if-error",
            ),
            (
                Source::StaleIfError { why: Why::Request },
                7,
                "redis-backup-gateway; fwd=request; ttl=7; detail=stale-if-error",
            ),
        ];

        for (source, ttl, expected) in table {
            assert_eq!(cache_status(source, ttl), expected);
        }
    }
}
