//! TC3-HMAC-SHA256, the signature of the vendor's API 3.0, stage by stage as its documents describe it.
//!
//! Pure: time and keys are arguments, and a signature is never kept.

use std::{fmt, time::SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox, SecretString, zeroize::Zeroizing};
use sha2::{Digest, Sha256};

use crate::domain::clock;

/// The algorithm's name in the string to sign and in `Authorization`.
const ALGORITHM: &str = "TC3-HMAC-SHA256";

/// What is hashed in place of a payload that is not signed, and the value of `X-TC-Content-SHA256` that says so.
const UNSIGNED_PAYLOAD: &[u8] = b"UNSIGNED-PAYLOAD";

/// The methods that the API answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Parameters in the query.
    Get,
    /// Parameters in a JSON body.
    Post,
}

/// The body, as far as it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// The body, byte for byte as it is sent.
    Signed(&'a [u8]),
    /// The body is not signed, and `X-TC-Content-SHA256: UNSIGNED-PAYLOAD` is sent.
    Unsigned,
}

/// What is signed of a request. Region, version, token and language are not.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The query, percent-encoded as it is sent; empty for `POST`.
    pub query: &'a str,
    /// The value of `Content-Type`, byte for byte as it is sent.
    pub content_type: &'a str,
    /// The value of `Host`, with the port where it is not the scheme's own.
    pub host: &'a str,
    /// The value of `X-TC-Action`, where it is to be signed too.
    pub action: Option<&'a str>,
    /// The body.
    pub payload: Payload<'a>,
}

/// When and for what a signature is good: the moment, its date in UTC, and the service.
///
/// The date must be the UTC date of the moment: a local date fails for hours of every day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    timestamp_s: u64,
    date: String,
    service: &'a str,
}

/// The key of one day and service, 32 bytes. Deriving it costs three HMACs, so nobody needs to keep it.
#[derive(Debug)]
pub struct SigningKey(SecretBox<[u8; 32]>);

impl Request<'_> {
    /// The first stage: what is signed of the request, a line each.
    pub fn canonical_request(&self) -> String {
        let Self { query, content_type, host, .. } = self;
        let method = match self.method {
            Method::Get => "GET",
            Method::Post => "POST",
        };
        // The vendor lower-cases the values of signed headers. It shows in this one: the others are lower case as sent.
        let action = self.action.map(|action| format!("x-tc-action:{}\n", action.to_lowercase())).unwrap_or_default();
        let signed_headers = self.signed_headers();
        let payload_hash = hex(&Sha256::digest(match self.payload {
            Payload::Signed(bytes) => bytes,
            Payload::Unsigned => UNSIGNED_PAYLOAD,
        }));
        format!(
            "{method}\n/\n{query}\ncontent-type:{content_type}\nhost:{host}\n{action}\n{signed_headers}\n{payload_hash}"
        )
    }

    /// The names of the signed headers, as `Authorization` lists them.
    pub fn signed_headers(&self) -> &'static str {
        match self.action {
            Some(_) => "content-type;host;x-tc-action",
            None => "content-type;host",
        }
    }

    /// All stages: the value of `Authorization`. It is a secret until it expires, 5 minutes later.
    pub fn authorization(&self, secret_id: &str, secret_key: &SecretString, scope: &Scope<'_>) -> String {
        let signature = SigningKey::derive(secret_key, scope).sign(&scope.string_to_sign(&self.canonical_request()));
        let signed_headers = self.signed_headers();
        format!("{ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders={signed_headers}, Signature={signature}")
    }
}

impl<'a> Scope<'a> {
    /// The scope of a request that leaves at `time`.
    pub fn at(time: SystemTime, service: &'a str) -> Self {
        let mut date = clock::rfc3339(time);
        date.truncate("2019-03-07".len());
        Self { timestamp_s: clock::unix_seconds(time), date, service }
    }

    /// Whole seconds since the Unix epoch, the value of `X-TC-Timestamp`.
    pub fn timestamp_s(&self) -> u64 {
        self.timestamp_s
    }

    /// The second stage: the hash of the canonical request, bound to the moment and the service.
    pub fn string_to_sign(&self, canonical_request: &str) -> String {
        let hash = hex(&Sha256::digest(canonical_request));
        format!("{ALGORITHM}\n{}\n{self}\n{hash}", self.timestamp_s)
    }
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/tc3_request", self.date, self.service)
    }
}

impl SigningKey {
    /// The third stage: the secret key, narrowed to a day and a service.
    pub fn derive(secret_key: &SecretString, scope: &Scope<'_>) -> Self {
        let start = Zeroizing::new(format!("TC3{}", secret_key.expose_secret()));
        let of_date = Zeroizing::new(hmac(start.as_bytes(), &scope.date));
        let of_service = Zeroizing::new(hmac(&*of_date, scope.service));
        Self(SecretBox::new(Box::new(hmac(&*of_service, "tc3_request"))))
    }

    /// The last stage: the signature in lower-case hexadecimal digits.
    pub fn sign(&self, string_to_sign: &str) -> String {
        hex(&hmac(self.0.expose_secret(), string_to_sign))
    }
}

fn hmac(key: &[u8], message: &str) -> [u8; 32] {
    Hmac::<Sha256>::new_from_slice(key)
        .expect("an HMAC key may have any length")
        .chain_update(message)
        .finalize()
        .into_bytes()
        .into()
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes whatever is written");
        text
    })
}

#[cfg(test)]
mod tests;
