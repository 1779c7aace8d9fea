//! From when until when a token counts. Checked when it is verified, and again each time it is recognised.

use std::time::{Duration, SystemTime};

use super::{Reason, Rules};

/// The claims `exp`, `nbf` and `iat`, without leeway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// `exp`.
    pub expires_at: SystemTime,
    /// `nbf`.
    pub not_before: Option<SystemTime>,
    /// `iat`.
    pub issued_at: Option<SystemTime>,
}

impl Times {
    /// Whether the token counts at `now`.
    ///
    /// # Errors
    ///
    /// [`Reason::Expired`], [`Reason::LifeTooLong`], [`Reason::NotYetValid`] or [`Reason::IssuedInFuture`]. A wall clock
    /// that steps back can bring about each but the first for a token that counted before.
    pub fn check(&self, rules: &Rules, now: SystemTime) -> Result<(), Reason> {
        if now.duration_since(self.expires_at).is_ok_and(|late| late >= rules.leeway) {
            return Err(Reason::Expired);
        }
        if left(self.expires_at, now) > rules.max_token_life {
            return Err(Reason::LifeTooLong);
        }
        let is_ahead = |moment: SystemTime| left(moment, now) > rules.leeway;
        if self.not_before.is_some_and(is_ahead) {
            return Err(Reason::NotYetValid);
        }
        if self.issued_at.is_some_and(is_ahead) {
            return Err(Reason::IssuedInFuture);
        }
        Ok(())
    }
}

/// Time until `moment`; none where it is past.
fn left(moment: SystemTime, now: SystemTime) -> Duration {
    moment.duration_since(now).unwrap_or_default()
}
