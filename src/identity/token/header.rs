//! The JOSE header: which key and algorithm the token claims, and nothing that would make us fetch one.
//!
//! `jwk`, `jku`, `x5c`, `x5u` and the thumbprints are never looked at: keys come from the issuer's key set alone
//! (RFC 8725 sections 3.9 and 3.10). What would change the meaning of the parts is refused, not skipped.

use std::borrow::Cow;

use super::Reason;
use crate::identity::{
    Algorithm,
    json::{Json, Object},
};

/// What the header claims; nothing of it is verified.
#[derive(Debug)]
pub(super) struct Header<'a> {
    /// A known algorithm; whether the issuer may use it is checked with the issuer's list.
    pub(super) algorithm: Algorithm,
    /// The key that it names.
    pub(super) kid: Option<Cow<'a, str>>,
}

/// The types of RFC 7519 section 5.1 and RFC 9068 section 2.1. A token made for another purpose (`logout+jwt`,
/// `dpop+jwt`) says so in `typ` and is not accepted (RFC 8725 section 3.11).
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// `crit` lists extensions that must be understood (RFC 7515 section 4.1.11), `b64` unencodes the payload (RFC 7797),
/// `zip` compresses and `cty` nests it (RFC 7519 section 5.2). A token of ours has none of them.
const EXTENSIONS: [&str; 4] = ["crit", "b64", "zip", "cty"];

impl<'a> Header<'a> {
    pub(super) fn read(mut members: Object<'a>) -> Result<Self, Reason> {
        if EXTENSIONS.iter().any(|name| members.contains_key(*name)) {
            return Err(Reason::Extension);
        }
        match members.get("typ") {
            None => {}
            Some(Json::String(text)) if TYPES.iter().any(|known| known.eq_ignore_ascii_case(text)) => {}
            Some(Json::String(_)) => return Err(Reason::Type),
            Some(_) => return Err(Reason::Header),
        }
        let Some(Json::String(algorithm)) = members.get("alg") else {
            return Err(Reason::Header);
        };
        // The parse is exact: "none", "NONE" and HS256 are no algorithms here, whatever an issuer's list says.
        let algorithm = Algorithm::from_name(algorithm).ok_or(Reason::Algorithm)?;
        let kid = match members.remove("kid") {
            None => None,
            Some(Json::String(kid)) => Some(kid),
            Some(_) => return Err(Reason::Header),
        };
        Ok(Self { algorithm, kid })
    }
}
