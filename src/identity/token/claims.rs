//! The claims of a token whose signature has held: from JSON to a caller.
//!
//! Required claims must be there, optional ones may be missing, and none may have the wrong type: a claim that cannot
//! be read is refused, never read as absent, for a policy may forbid on its presence. Only for optional text do `null`
//! and the empty string mean absent, because issuers write them so.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Reason, Rules, Times, VerifiedToken};
use crate::{
    domain::Caller,
    identity::{
        IssuerSettings,
        json::{Json, Object},
    },
};

/// The end of the year 9999; a later moment is a mistake or an attack on somebody's arithmetic.
const LATEST_SECONDS: f64 = 253_402_300_799.0;
const MAX_SUBJECT_BYTES: usize = 256;
const MAX_GROUPS: usize = 1000;
const MAX_TEXT_BYTES: usize = 1024;

/// Reads and checks the claims. `kid` is the id of the key that verified the signature, not of the one that was named:
/// a token cannot slip past the revocation of its key by leaving the name out.
pub(super) fn read(
    claims: &Object<'_>,
    issuer: &IssuerSettings,
    kid: Option<Arc<str>>,
    rules: &Rules,
    now: SystemTime,
) -> Result<VerifiedToken, Reason> {
    let times = Times {
        expires_at: moment(claims, "exp")?.ok_or(Reason::Times)?,
        not_before: moment(claims, "nbf")?,
        issued_at: moment(claims, "iat")?,
    };
    times.check(rules, now)?;
    if !is_meant_for(claims.get("aud"), &issuer.audiences) {
        return Err(Reason::Audience);
    }

    let subject = match claims.get("sub") {
        Some(Json::String(subject)) => plain(subject, MAX_SUBJECT_BYTES).ok_or(Reason::Subject)?,
        _ => return Err(Reason::Subject),
    };
    let client = match text(claims, "client_id")? {
        Some(client) => Some(client),
        None => text(claims, "azp")?,
    };
    let caller = Caller {
        issuer: Arc::clone(&issuer.name),
        prefix: Arc::clone(&issuer.prefix),
        subject,
        groups: groups(claims, &issuer.groups_claim)?,
        email: email(claims)?,
        scopes: scopes(claims)?,
        client,
    };
    Ok(VerifiedToken { caller: Arc::new(caller), times, jti: text(claims, "jti")?, kid })
}

/// A `NumericDate` of RFC 7519: seconds since the epoch, with a fraction or without.
fn moment(claims: &Object<'_>, name: &str) -> Result<Option<SystemTime>, Reason> {
    match claims.get(name) {
        None => Ok(None),
        Some(Json::Number(seconds)) if (0.0..=LATEST_SECONDS).contains(seconds) => {
            Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(*seconds)))
        }
        Some(_) => Err(Reason::Times),
    }
}

/// Whether `aud`, a string or a list of nothing but strings, names one of ours.
fn is_meant_for(aud: Option<&Json<'_>>, ours: &[String]) -> bool {
    let is_ours = |name: &str| ours.iter().any(|ours| ours == name);
    match aud {
        Some(Json::String(name)) => is_ours(name),
        Some(Json::Array(names)) => {
            names.iter().all(|name| matches!(name, Json::String(_)))
                && names.iter().any(|name| matches!(name, Json::String(name) if is_ours(name)))
        }
        _ => false,
    }
}

/// The values at the dotted path: a string or a list of strings; none where the path leads nowhere.
fn groups(claims: &Object<'_>, path: &[String]) -> Result<Vec<Arc<str>>, Reason> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(Vec::new());
    };
    if stand_elsewhere(claims, first) {
        return Err(Reason::GroupsElsewhere);
    }
    let Some(mut value) = claims.get(first.as_str()) else {
        return Ok(Vec::new());
    };
    for name in rest {
        let Json::Object(members) = value else {
            return Err(Reason::Groups);
        };
        match members.get(name.as_str()) {
            Some(member) => value = member,
            None => return Ok(Vec::new()),
        }
    }
    let names = match value {
        Json::Array(names) => names.as_slice(),
        Json::String(_) => std::slice::from_ref(value),
        _ => return Err(Reason::Groups),
    };
    if names.len() > MAX_GROUPS {
        return Err(Reason::Groups);
    }
    let group = |name: &Json<'_>| match name {
        Json::String(name) => plain(name, MAX_SUBJECT_BYTES).ok_or(Reason::Groups),
        _ => Err(Reason::Groups),
    };
    names.iter().map(group).collect()
}

/// Whether the token says that the groups are to be fetched from another place because there are too many: distributed
/// claims (OpenID Connect Core section 5.6.2), or `hasgroups` as Microsoft Entra sends it in the implicit flow. Reading
/// either as "no groups" would let a member of a forbidden group pass.
fn stand_elsewhere(claims: &Object<'_>, claim: &str) -> bool {
    let distributed = match claims.get("_claim_names") {
        None => false,
        Some(Json::Object(names)) => names.contains_key(claim),
        Some(_) => true,
    };
    distributed || (claim == "groups" && !matches!(claims.get("hasgroups"), None | Some(Json::Bool(false))))
}

/// The address, unless the issuer says that it is not verified. Some issuers write the answer as a string; an answer
/// that is neither is no yes.
fn email(claims: &Object<'_>) -> Result<Option<Arc<str>>, Reason> {
    let email = text(claims, "email")?;
    let is_verified = match claims.get("email_verified") {
        None | Some(Json::Bool(true)) => true,
        Some(Json::String(answer)) => answer.eq_ignore_ascii_case("true"),
        Some(_) => false,
    };
    Ok(email.filter(|_| is_verified))
}

/// `scope`, else `scp`: names between blanks as in RFC 8693, or a list as some issuers write it.
fn scopes(claims: &Object<'_>) -> Result<Vec<Arc<str>>, Reason> {
    let scope = |name: &str| plain(name, MAX_TEXT_BYTES).ok_or(Reason::Claim);
    let claim = |name| claims.get(name).filter(|value| **value != Json::Null);
    match claim("scope").or_else(|| claim("scp")) {
        None => Ok(Vec::new()),
        Some(Json::String(names)) => names.split(' ').filter(|name| !name.is_empty()).map(scope).collect(),
        Some(Json::Array(names)) => names
            .iter()
            .map(|name| match name {
                Json::String(name) => scope(name),
                _ => Err(Reason::Claim),
            })
            .collect(),
        Some(_) => Err(Reason::Claim),
    }
}

/// An optional claim that is text.
fn text(claims: &Object<'_>, name: &str) -> Result<Option<Arc<str>>, Reason> {
    match claims.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) if text.is_empty() => Ok(None),
        Some(Json::String(text)) => plain(text, MAX_TEXT_BYTES).map(Some).ok_or(Reason::Claim),
        Some(_) => Err(Reason::Claim),
    }
}

/// Text that can stand in a log line, an audit record and a policy: not empty, bounded, no control characters.
fn plain(text: &str, max_bytes: usize) -> Option<Arc<str>> {
    let is_plain = (1..=max_bytes).contains(&text.len()) && !text.chars().any(char::is_control);
    is_plain.then(|| text.into())
}
