//! TLS of the public listener: how handshakes end, and when the certificate does.

use std::time::SystemTime;

use prometheus::{IntCounter, IntGauge};

use super::families::Families;
use crate::domain::clock::unix_seconds;

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// With a connection, everything agreed on anew.
    Full,
    /// With a connection that goes on with an earlier session.
    Resumed,
    /// Not agreed on: no version, cipher or certificate that both sides accept.
    Failed,
    /// Not within its time.
    TimedOut,
    /// It was plain HTTP.
    PlainHttp,
    /// The other side went away.
    Closed,
}

impl Handshake {
    const ALL: [Self; 6] = [Self::Full, Self::Resumed, Self::Failed, Self::TimedOut, Self::PlainHttp, Self::Closed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Failed => "failed",
            Self::TimedOut => "timeout",
            Self::PlainHttp => "plain_http",
            Self::Closed => "closed",
        }
    }
}

/// All at zero where the listener speaks plain HTTP.
pub struct TlsMetrics {
    handshakes: [IntCounter; Handshake::ALL.len()],
    expiry: IntGauge,
}

impl TlsMetrics {
    pub(super) fn new(family: &Families<'_>) -> Self {
        let handshakes = family.counters(
            "gateway_tls_handshakes_total",
            "Handshakes on the public listener, by how they ended.",
            &["result"],
        );
        Self {
            handshakes: Handshake::ALL.map(|result| handshakes.with_label_values(&[result.as_str()])),
            expiry: family.gauge(
                "gateway_tls_certificate_expiry_timestamp_seconds",
                "When the first of the certificates in force ends, in seconds since 1970; 0 without TLS.",
            ),
        }
    }

    /// Counts a handshake.
    pub fn handshake(&self, result: Handshake) {
        if let Some(counter) = self.handshakes.get(result as usize) {
            counter.inc();
        }
    }

    /// Notes when the certificate in force ends.
    pub fn expires(&self, at: SystemTime) {
        self.expiry.set(i64::try_from(unix_seconds(at)).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_stands_at_its_own_index() {
        for (at, result) in Handshake::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, at);
        }
    }
}
