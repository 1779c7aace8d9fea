//! One JWK: the members of RFC 7517 section 4, RFC 7518 section 6 and RFC 8037 section 2, strictly.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Key, Kind, Material, ed25519, verifier::Verifier};
use crate::identity::{
    Algorithm,
    json::{Json, Object},
};

/// RFC 7518 section 3.3 asks for 2048 bits; beyond 8192 a signature costs more than a caller may cost us.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// 33 bits, the most that the library computes with.
const MAX_RSA_EXPONENT: u64 = (1 << 33) - 1;
const MAX_KID_BYTES: usize = 1024;

/// Why a key of a key set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unusable {
    /// Not an object, or a member of the wrong type or in a wrong encoding.
    Malformed,
    /// A symmetric key (`oct`): whoever can read the key set could sign with it.
    Symmetric,
    /// A private key: whoever can read the key set can sign with it.
    Private,
    /// A `kty` or `crv` that is not known here.
    Type,
    /// `alg` is not a signature algorithm that is known here, or not one for this type of key.
    Algorithm,
    /// `use` is not `sig`.
    Use,
    /// `key_ops` does not allow `verify`.
    Operations,
    /// An RSA modulus that is not an odd number of 2048 to 8192 bits.
    Modulus,
    /// An RSA exponent that is not an odd number from 3 to 2^33.
    Exponent,
    /// A point of small order, or a second spelling of another point.
    SmallOrder,
}

impl Unusable {
    /// The words for a log line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Symmetric => "a symmetric key does not belong in a key set",
            Self::Private => "a private key does not belong in a key set",
            Self::Type => "unknown key type or curve",
            Self::Algorithm => "alg does not fit",
            Self::Use => "not for signatures (use)",
            Self::Operations => "not for signatures (key_ops)",
            Self::Modulus => "RSA modulus is not an odd number of 2048 to 8192 bits",
            Self::Exponent => "RSA exponent is not an odd number from 3 to 2^33",
            Self::SmallOrder => "Ed25519 point of small order",
        }
    }
}

/// Reads one entry of `keys`.
pub(super) fn read(entry: &Json<'_>) -> Result<Key, Unusable> {
    let Json::Object(members) = entry else {
        return Err(Unusable::Malformed);
    };
    let kty = text(members, "kty")?.ok_or(Unusable::Malformed)?;
    if kty == "oct" || members.contains_key("k") {
        return Err(Unusable::Symmetric);
    }
    if members.contains_key("d") {
        return Err(Unusable::Private);
    }
    check_purpose(members)?;
    let (kind, key) = match kty {
        "RSA" => (Kind::Rsa, rsa(members)?),
        "EC" => ec(members)?,
        "OKP" => (Kind::Ed25519, okp(members)?),
        _ => return Err(Unusable::Type),
    };
    let algorithm = match text(members, "alg")? {
        None => None,
        Some(name) => {
            let algorithm = Algorithm::from_name(name).filter(|algorithm| kind.suits(*algorithm));
            Some(algorithm.ok_or(Unusable::Algorithm)?)
        }
    };
    if members.contains_key("kid") && kid(entry).is_none() {
        return Err(Unusable::Malformed);
    }
    Ok(Key { kid: kid(entry), kind, algorithm, material: Material::Public(key) })
}

/// The id of an entry, where it has one that a token could name.
pub(super) fn kid(entry: &Json<'_>) -> Option<Arc<str>> {
    let Json::Object(members) = entry else {
        return None;
    };
    match members.get("kid") {
        Some(Json::String(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.as_ref().into()),
        _ => None,
    }
}

/// RFC 7517 sections 4.2 and 4.3: where the issuer says what the key is for, it is for verifying signatures.
fn check_purpose(members: &Object<'_>) -> Result<(), Unusable> {
    if text(members, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(Unusable::Use);
    }
    match members.get("key_ops") {
        None => Ok(()),
        Some(Json::Array(operations)) if operations.iter().any(|name| *name == Json::String("verify".into())) => Ok(()),
        Some(Json::Array(_)) => Err(Unusable::Operations),
        Some(_) => Err(Unusable::Malformed),
    }
}

fn rsa(members: &Object<'_>) -> Result<Verifier, Unusable> {
    let (n, e) = (bytes(members, "n")?, bytes(members, "e")?);
    // RFC 7518 section 6.3.1.1 forbids a leading zero octet and notes that some write it all the same.
    let (n, e) = (without_leading_zeros(&n), without_leading_zeros(&e));
    let n_bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&n_bits) || !is_odd(n) {
        return Err(Unusable::Modulus);
    }
    let is_sane = e.len() <= 5 && is_odd(e) && {
        let exponent = e.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        (3..=MAX_RSA_EXPONENT).contains(&exponent)
    };
    if !is_sane {
        return Err(Unusable::Exponent);
    }
    Ok(Verifier::rsa(n, e))
}

/// Coordinates of exactly the field's length (RFC 7518 section 6.2.1.2). Whether the point lies on its curve is the
/// library's to check; a key that does not verifies nothing.
fn ec(members: &Object<'_>) -> Result<(Kind, Verifier), Unusable> {
    let (kind, length, verifier): (_, _, fn(&[u8]) -> Verifier) = match text(members, "crv")? {
        Some("P-256") => (Kind::P256, 32, Verifier::p256),
        Some("P-384") => (Kind::P384, 48, Verifier::p384),
        Some(_) => return Err(Unusable::Type),
        None => return Err(Unusable::Malformed),
    };
    let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
    if x.len() != length || y.len() != length {
        return Err(Unusable::Malformed);
    }
    // SEC 1 section 2.3.3: 4 stands for an uncompressed point.
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    Ok((kind, verifier(&point)))
}

fn okp(members: &Object<'_>) -> Result<Verifier, Unusable> {
    match text(members, "crv")? {
        Some("Ed25519") => {}
        Some(_) => return Err(Unusable::Type),
        None => return Err(Unusable::Malformed),
    }
    let x: [u8; 32] = bytes(members, "x")?.try_into().map_err(|_| Unusable::Malformed)?;
    if !ed25519::is_sound(x) {
        return Err(Unusable::SmallOrder);
    }
    Ok(Verifier::ed25519(&x))
}

fn text<'a>(members: &'a Object<'_>, name: &str) -> Result<Option<&'a str>, Unusable> {
    match members.get(name) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(Unusable::Malformed),
    }
}

fn bytes(members: &Object<'_>, name: &str) -> Result<Vec<u8>, Unusable> {
    let text = text(members, name)?.ok_or(Unusable::Malformed)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Unusable::Malformed)
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last % 2 == 1)
}
