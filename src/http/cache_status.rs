//! `Cache-Status` (RFC 9211): where an answer came from, in one line.

use std::fmt::Write as _;

use crate::broker::{Source, Why};

/// The header's value.
pub(super) fn cache_status(source: Source, ttl_seconds: i64) -> String {
    let mut text = String::from("redis-backup-gateway");
    match source {
        Source::Hit => text.push_str("; hit"),
        Source::Forwarded { why, stored, collapsed } => {
            forwarded(&mut text, why);
            if stored {
                text.push_str("; stored");
            }
            if collapsed {
                text.push_str("; collapsed");
            }
            return text;
        }
        Source::StaleIfError { why } => forwarded(&mut text, why),
    }
    let _ = write!(text, "; ttl={ttl_seconds}");
    if let Source::StaleIfError { .. } = source {
        text.push_str("; detail=stale-if-error");
    }
    text
}

fn forwarded(text: &mut String, why: Why) {
    text.push_str(match why {
        Why::Miss => "; fwd=miss",
        Why::Stale => "; fwd=stale",
        Why::Request => "; fwd=request",
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
