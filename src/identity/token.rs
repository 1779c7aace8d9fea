//! One bearer token: bytes, an issuer's rules, its keys and the time in; a caller or a reason out.
//!
//! It follows RFC 8725. It does no I/O, asks no clock, and trusts no claim before the signature has held. Parsing and
//! rules are ours, because JWT libraries leave most of the checklist to their users; the signature is `aws-lc-rs`'s.

mod claims;
mod header;
mod times;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

pub use times::Times;

use self::header::Header;
use crate::{
    domain::Caller,
    identity::{
        IssuerSettings,
        json::{self, Json, JsonError, Object},
        key_set::KeySet,
        reason::Reason,
    },
};

/// A longer token is refused unread.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// What holds for the tokens of all issuers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Tolerated difference of clocks for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// The longest that a token may still be valid. No leeway: it is a bound, not a comparison of clocks.
    pub max_token_life: Duration,
}

/// A token that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken {
    /// Who calls. Shared, so that what others remember of a token can go by its address.
    pub caller: Arc<Caller>,
    /// From when until when it counts.
    pub times: Times,
    /// The token's own id, by which it can be revoked.
    pub jti: Option<Arc<str>>,
    /// The id that the key set gives the key that signed it, by which its key can be revoked.
    pub kid: Option<Arc<str>>,
}

/// A token's three parts, decoded, which [`UnverifiedToken`] reads and borrows from.
pub struct Parts<'a> {
    signed: &'a str,
    header: Vec<u8>,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

/// A token that was read and not verified. All that may be asked of it is whose rules and keys to apply.
pub struct UnverifiedToken<'a> {
    header: Header<'a>,
    claims: Object<'a>,
    signed: &'a str,
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Takes a token apart: at most 8 KiB, exactly three parts, canonical base64url.
    ///
    /// # Errors
    ///
    /// [`Reason::TooLarge`] and [`Reason::Encoding`].
    pub fn of(token: &'a str) -> Result<Self, Reason> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Reason::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Reason::Encoding)?;
        let (header, claims) = signed.split_once('.').ok_or(Reason::Encoding)?;
        // A dot too many is left in the claims, where base64url has no place for it.
        let (header, claims) = (decode(header)?, decode(claims)?);
        let signature = decode(signature)?;
        if signature.is_empty() {
            return Err(Reason::Encoding);
        }
        Ok(Self { signed, header, claims, signature })
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Reads header and claims: JSON objects without duplicate names, a header without extensions, and an `iss`.
    ///
    /// # Errors
    ///
    /// What is wrong with the first that is not so.
    pub fn read(parts: &'a Parts<'_>) -> Result<Self, Reason> {
        let Parts { signed, header, claims, signature } = parts;
        let header = Header::read(object(header)?)?;
        let claims = object(claims)?;
        if !matches!(claims.get("iss"), Some(Json::String(_))) {
            return Err(Reason::IssuerMissing);
        }
        Ok(Self { header, claims, signed, signature })
    }

    /// The value of `iss`: whose rules and keys to apply.
    pub fn issuer(&self) -> &str {
        match self.claims.get("iss") {
            Some(Json::String(issuer)) => issuer,
            _ => "",
        }
    }

    /// The key that the token names.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Checks the algorithm, the key and the signature, in this order, and then the claims.
    ///
    /// `issuer` must be the one that [`issuer`](Self::issuer) names; another one's is refused.
    pub fn verify(
        &self,
        issuer: &IssuerSettings,
        keys: &KeySet,
        rules: &Rules,
        now: SystemTime,
    ) -> Result<VerifiedToken, Reason> {
        if self.issuer() != issuer.issuer {
            return Err(Reason::IssuerUnknown);
        }
        self.check_algorithm(issuer)?;
        let key = keys.find(self.kid(), self.header.algorithm)?;
        if !key.verifies(self.header.algorithm, self.signed.as_bytes(), self.signature) {
            return Err(Reason::Signature);
        }
        claims::read(&self.claims, issuer, key.kid(), rules, now)
    }

    /// Checks the algorithm alone, for an issuer whose keys are not there yet.
    pub fn check_algorithm(&self, issuer: &IssuerSettings) -> Result<(), Reason> {
        if issuer.algorithms.contains(&self.header.algorithm) { Ok(()) } else { Err(Reason::Algorithm) }
    }
}

impl fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedToken").finish_non_exhaustive()
    }
}

/// Canonical base64url only: no padding, no blanks, no bits left over, so that a token has one spelling.
fn decode(part: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::Encoding)
}

fn object(bytes: &[u8]) -> Result<Object<'_>, Reason> {
    json::object(bytes).map_err(|error| match error {
        JsonError::Malformed => Reason::Json,
        JsonError::Duplicate => Reason::DuplicateMember,
    })
}
