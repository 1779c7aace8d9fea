//! TC3-HMAC-SHA256 from the side of the cloud: checks a signature that somebody else made.
//!
//! Pure: the time and the keys are arguments. It shares no line with the gateway's signer, not even the hash, so a
//! bug there is not mirrored here. Rules: vendor document 1278/46710 and the official Python SDK 3.1.195.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};

use crate::api_error::ApiError;
use crate::http::Head;
use crate::text::{hex, utc_date};

/// The vendor refuses a timestamp more than five minutes from its own clock, either way.
const LARGEST_SKEW_S: u64 = 300;
const ALGORITHM: &str = "TC3-HMAC-SHA256";
const TERMINATOR: &str = "tc3_request";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The key that belongs to a secret id.
#[derive(Clone)]
pub(crate) struct Key {
    /// The HMAC key.
    pub(crate) secret_key: String,
    /// The session token that must come along, for a temporary key; no token may come along for another.
    pub(crate) token: Option<String>,
    /// When a temporary key ends, in seconds since 1970.
    pub(crate) expires_at: Option<i64>,
}

/// Checks the signature of `head` and `body` at the cloud's time `now` (seconds since 1970) for `service`.
/// `find` gives the key of a secret id.
pub(crate) fn verify(
    head: &Head,
    body: &[u8],
    service: &str,
    now: i64,
    find: impl FnOnce(&str) -> Option<Key>,
) -> Result<(), ApiError> {
    let authorization = Authorization::of(head)?;
    if authorization.service != service || authorization.terminator != TERMINATOR {
        return Err(invalid("the credential scope must be <date>/<service>/tc3_request"));
    }
    check_signed_headers(&authorization.signed_headers)?;

    let written = single(head, "x-tc-timestamp")?.ok_or_else(|| ApiError::missing_parameter("Timestamp"))?;
    let timestamp: i64 = written.parse().map_err(|_| ApiError::invalid_type("Timestamp"))?;
    if now.abs_diff(timestamp) > LARGEST_SKEW_S {
        return Err(ApiError::new(
            "AuthFailure.SignatureExpire",
            "The provided signature has expired: the timestamp is more than 5 minutes from the server's time.",
        ));
    }

    let key = find(authorization.secret_id).ok_or_else(|| {
        ApiError::new(
            "AuthFailure.SecretIdNotFound",
            "The SecretId is not found, please ensure that your SecretId is correct.",
        )
    })?;
    let has_ended = key.expires_at.is_some_and(|end| now >= end);
    if has_ended || single(head, "x-tc-token")? != key.token.as_deref() {
        return Err(ApiError::new("AuthFailure.TokenFailure", "Token verification failed."));
    }
    // A scope of another day is no signature of this day, whatever key it was made with.
    if authorization.date != utc_date(timestamp) {
        return Err(signature_failure());
    }

    let canonical = canonical_request(head, &authorization.signed_headers, body)?;
    let scope = format!("{}/{service}/{TERMINATOR}", authorization.date);
    let expected =
        signature(&key.secret_key, authorization.date, service, &string_to_sign(timestamp, &scope, &canonical));
    if authorization.signature == expected { Ok(()) } else { Err(signature_failure()) }
}

/// The secret id that a request claims, before anything of it is believed: to whom an arrival is counted.
pub(crate) fn claimed_secret_id(head: &Head) -> Option<&str> {
    Authorization::of(head).ok().map(|authorization| authorization.secret_id)
}

/// The parts of the `Authorization` field.
struct Authorization<'a> {
    secret_id: &'a str,
    date: &'a str,
    service: &'a str,
    terminator: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn of(head: &'a Head) -> Result<Self, ApiError> {
        let text = single(head, "authorization")?.ok_or_else(|| ApiError::missing_parameter("Authorization"))?;
        let parts = text
            .strip_prefix(ALGORITHM)
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or_else(|| invalid("the algorithm must be TC3-HMAC-SHA256"))?;

        let (mut credential, mut headers, mut signature) = (None, None, None);
        for part in parts.split(',') {
            let slot = match part.trim().split_once('=') {
                Some(("Credential", value)) => credential.replace(value),
                Some(("SignedHeaders", value)) => headers.replace(value),
                Some(("Signature", value)) => signature.replace(value),
                _ => return Err(invalid("expected Credential, SignedHeaders and Signature")),
            };
            if slot.is_some() {
                return Err(invalid("a part stands twice"));
            }
        }
        let (Some(credential), Some(headers), Some(signature)) = (credential, headers, signature) else {
            return Err(invalid("Credential, SignedHeaders and Signature are all needed"));
        };
        let scope: Vec<&str> = credential.split('/').collect();
        let [secret_id, date, service, terminator] = scope[..] else {
            return Err(invalid("the credential must be <id>/<date>/<service>/tc3_request"));
        };
        Ok(Self { secret_id, date, service, terminator, signed_headers: headers.split(';').collect(), signature })
    }
}

fn check_signed_headers(names: &[&str]) -> Result<(), ApiError> {
    if names.iter().any(|name| name.is_empty() || name.bytes().any(|byte| byte.is_ascii_uppercase())) {
        return Err(invalid("SignedHeaders must be lower-case names"));
    }
    if names.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(invalid("SignedHeaders must be sorted, each name once"));
    }
    if ["content-type", "host"].iter().any(|needed| !names.contains(needed)) {
        return Err(invalid("SignedHeaders must hold content-type and host"));
    }
    Ok(())
}

fn canonical_request(head: &Head, signed_headers: &[&str], body: &[u8]) -> Result<String, ApiError> {
    let mut headers = String::new();
    for name in signed_headers {
        let value = single(head, name)?.ok_or_else(|| invalid("a signed header is not there"))?;
        // These two are signed byte for byte as sent (the SDK does not touch them); the walk-through of the docs
        // lower-cases the values of the others.
        let value = if matches!(*name, "content-type" | "host") { value.into() } else { value.to_ascii_lowercase() };
        headers.push_str(&format!("{name}:{}\n", value.trim()));
    }
    let payload = match single(head, "x-tc-content-sha256")? {
        Some(UNSIGNED_PAYLOAD) => UNSIGNED_PAYLOAD.as_bytes(),
        _ => body,
    };
    let hash = hex(digest(&SHA256, payload).as_ref());
    // A GET carries its parameters in the query, a POST in the body; the path is always `/`.
    let query = if head.method() == "GET" { head.query() } else { "" };
    Ok(format!("{}\n/\n{query}\n{headers}\n{}\n{hash}", head.method(), signed_headers.join(";")))
}

fn string_to_sign(timestamp: i64, scope: &str, canonical_request: &str) -> String {
    format!("{ALGORITHM}\n{timestamp}\n{scope}\n{}", hex(digest(&SHA256, canonical_request.as_bytes()).as_ref()))
}

fn signature(secret_key: &str, date: &str, service: &str, string_to_sign: &str) -> String {
    let by_date = hmac(format!("TC3{secret_key}").as_bytes(), date);
    let by_service = hmac(&by_date, service);
    let signing = hmac(&by_service, TERMINATOR);
    hex(&hmac(&signing, string_to_sign))
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(HMAC_SHA256, key), message.as_bytes()).as_ref().to_vec()
}

/// The one value of a header; `None` when it is absent, an error when it stands twice.
fn single<'a>(head: &'a Head, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = head.header_values(name);
    let first = values.next();
    if values.next().is_some() { Err(invalid(&format!("{name} stands twice"))) } else { Ok(first) }
}

fn invalid(why: &str) -> ApiError {
    ApiError::new("AuthFailure.InvalidAuthorization", format!("The Authorization header is invalid: {why}."))
}

fn signature_failure() -> ApiError {
    ApiError::new(
        "AuthFailure.SignatureFailure",
        "The provided credentials could not be validated. Please check your signature is correct.",
    )
}

#[cfg(test)]
mod tests;
