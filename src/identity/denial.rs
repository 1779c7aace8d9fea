//! Why a request has no caller, as whoever sent it may know, and as metrics and logs name it.

use std::time::Duration;

use super::Reason;

/// Why a request has no caller. The text is for whoever sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// It carries no bearer token.
    #[error("the request carries no bearer token")]
    NoToken,
    /// It carries one that is not accepted.
    #[error("{0}")]
    Refused(Reason),
    /// The token's issuer is known, but its keys were never loaded, or too long ago: not the caller's fault.
    #[error("the keys of the token's issuer are not available")]
    KeysUnavailable,
    /// Its address has failed too often, and what it carries was not looked at.
    #[error("too many requests from this address carried no acceptable token")]
    TooManyFailures {
        /// When the address is heard again.
        retry_after: Duration,
    },
}

impl Denial {
    /// Every word of [`Self::as_str`] for a request that was looked at.
    pub fn reasons() -> Vec<&'static str> {
        let others = [Self::NoToken, Self::KeysUnavailable].map(Self::as_str);
        others.into_iter().chain(Reason::ALL.into_iter().map(Reason::as_str)).collect()
    }

    /// The reason as a word of a closed set, for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Refused(reason) => reason.as_str(),
            Self::KeysUnavailable => "keys_unavailable",
            Self::TooManyFailures { .. } => "too_many_failures",
        }
    }
}
