//! Rows about keys and signatures.

use serde_json::{Value, json};

use super::Case;
use crate::identity::{
    reason::Reason,
    testing::{self, ED25519, P256, P384, RSA, STRANGER, SigningKey, b64, with, without},
};

pub(super) fn cases() -> Vec<Case> {
    [signatures(), names(), purposes(), strength()].into_iter().flatten().collect()
}

/// A token of this key under a header with these members in place of the usual.
fn under(key: &SigningKey, members: Value) -> String {
    key.token_of(&with(key.header(), members).to_string(), &testing::claims().to_string())
}

fn unnamed(key: &SigningKey) -> String {
    key.token_of(&without(key.header(), "kid").to_string(), &testing::claims().to_string())
}

/// A token of this key with another signature in place of its own.
fn signed_with(key: &SigningKey, signature: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let token = key.token(&testing::claims());
    let (signed, _) = token.rsplit_once('.').unwrap();
    format!("{signed}.{}", b64(&signature(key.signature(key.algorithm(), signed.as_bytes()))))
}

fn signatures() -> Vec<Case> {
    let refused = |name, token| Case::refused(name, Reason::Signature, token);
    let another_subject = with(testing::claims(), json!({"sub": "root"}));
    let swapped = {
        let (token, other) = (P256.token(&testing::claims()), P256.token(&another_subject));
        let ((signed, _), (_, signature)) = (other.rsplit_once('.').unwrap(), token.rsplit_once('.').unwrap());
        format!("{signed}.{signature}")
    };
    vec![
        Case::accepted("RS256", RSA.token(&testing::claims())),
        Case::accepted("PS256", under(&RSA, json!({"alg": "PS256"}))),
        Case::accepted("ES256", P256.token(&testing::claims())),
        Case::accepted("ES384", P384.token(&testing::claims())),
        Case::accepted("EdDSA", ED25519.token(&testing::claims())),
        refused("a stranger's key under our kid", STRANGER.token(&testing::claims())),
        refused("the signature of another token", swapped),
        refused("a stranger's token whose claims would be refused too", {
            STRANGER.token(&with(testing::claims(), json!({"exp": 0, "aud": "x", "sub": ""})))
        }),
        refused("r and s zero (CVE-2022-21449)", signed_with(&P256, |_| vec![0; 64])),
        refused(
            "r and s one",
            signed_with(&P256, |_| {
                let mut signature = vec![0; 64];
                (signature[31], signature[63]) = (1, 1);
                signature
            }),
        ),
        refused(
            "r and s the group's order",
            signed_with(&P256, |_| {
                let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
                let order: Vec<u8> =
                    (0..32).map(|at| u8::from_str_radix(&order[2 * at..2 * at + 2], 16).unwrap()).collect();
                [order.as_slice(), &order].concat()
            }),
        ),
        refused(
            "an ECDSA signature in DER",
            signed_with(&P256, |signature| {
                let integer = |bytes: &[u8]| [&[2, 33, 0], bytes].concat();
                [&[0x30, 70], integer(&signature[..32]).as_slice(), &integer(&signature[32..])].concat()
            }),
        ),
        refused("an ECDSA signature for another curve", signed_with(&P256, |_| vec![1; 96])),
        refused(
            "an ECDSA signature with zeros before it",
            signed_with(&P256, |signature| [&[0], &signature[..32], &[0], &signature[32..]].concat()),
        ),
        refused(
            "EdDSA with S beyond the order",
            signed_with(&ED25519, |mut signature| {
                add_order(&mut signature[32..]);
                signature
            }),
        ),
        refused("EdDSA of zeros", signed_with(&ED25519, |_| vec![0; 64])),
        refused("an RSA signature of zeros", signed_with(&RSA, |_| vec![0; 256])),
        refused(
            "an RSA signature of one",
            signed_with(&RSA, |mut signature| {
                signature.fill(0);
                signature[255] = 1;
                signature
            }),
        ),
        refused("an RSA signature with a zero before it", signed_with(&RSA, |signature| [&[0], &*signature].concat())),
        refused("an RSA signature cut short", signed_with(&RSA, |signature| signature[1..].to_vec())),
        refused("RS256 in place of PS256", {
            let header = with(RSA.header(), json!({"alg": "PS256"})).to_string();
            let signed = format!("{}.{}", b64(header.as_bytes()), b64(testing::claims().to_string().as_bytes()));
            format!("{signed}.{}", b64(&RSA.signature("RS256", signed.as_bytes())))
        }),
        refused("PS256 in place of RS256", signed_with(&RSA, |_| RSA.signature("PS256", b"x"))),
        refused("RS512 in place of RS256", {
            let header = RSA.header().to_string();
            let signed = format!("{}.{}", b64(header.as_bytes()), b64(testing::claims().to_string().as_bytes()));
            format!("{signed}.{}", b64(&RSA.signature("RS512", signed.as_bytes())))
        }),
    ]
}

fn names() -> Vec<Case> {
    let refused = |name, reason, token| Case::refused(name, reason, token);
    let (p256, p384) = (P256.jwk(), P384.jwk());
    vec![
        refused("a kid that nobody has", Reason::KeyUnknown, under(&P256, json!({"kid": "ec-9"}))),
        refused("an empty kid", Reason::KeyUnknown, under(&P256, json!({"kid": ""}))),
        refused("a kid in other letters", Reason::KeyUnknown, under(&P256, json!({"kid": "EC-1"}))),
        refused("a kid that is a path (RFC 8725 section 3.10)", Reason::KeyUnknown, {
            under(&P256, json!({"kid": "../../../dev/null"}))
        }),
        refused("a kid that is SQL", Reason::KeyUnknown, under(&P256, json!({"kid": "x' UNION SELECT 'k'--"}))),
        refused("a kid with a NUL", Reason::KeyUnknown, under(&P256, json!({"kid": "ec-1\0"}))),
        refused("the kid of another key of the same type", Reason::Signature, under(&P256, json!({"kid": "other"})))
            .with_keys(&[p256.clone(), STRANGER.jwk_with(json!({"kid": "other"}))]),
        refused("the kid of a key of another type", Reason::KeyUnsuitable, under(&P256, json!({"kid": "rsa-1"}))),
        refused("ES256 with a P-384 key", Reason::KeyUnsuitable, under(&P256, json!({"kid": "ec-2"}))),
        refused("ES384 with a P-256 key", Reason::KeyUnsuitable, under(&P384, json!({"kid": "ec-1"}))),
        refused("RS256 with an Ed25519 key", Reason::KeyUnsuitable, under(&RSA, json!({"kid": "ed-1"}))),
        refused("EdDSA with an RSA key", Reason::KeyUnsuitable, under(&ED25519, json!({"kid": "rsa-1"}))),
        refused("a kid that names two keys", Reason::KeyAmbiguous, P256.token(&testing::claims()))
            .with_keys(&[p256.clone(), STRANGER.jwk()]),
        refused("a kid that names one key twice", Reason::KeyAmbiguous, P256.token(&testing::claims()))
            .with_keys(&[p256.clone(), p256.clone()]),
        Case::accepted("a kid that names two types of key", P256.token(&testing::claims()))
            .with_keys(&[RSA.jwk_with(json!({"kid": "ec-1"})), p256.clone()]),
        refused("no kid and two keys that fit", Reason::KeyAmbiguous, unnamed(&P256))
            .with_keys(&[p256.clone(), STRANGER.jwk_with(json!({"kid": "other"}))]),
        refused("no kid and no key that fits", Reason::KeyUnsuitable, unnamed(&P256)).with_keys(&[p384, RSA.jwk()]),
        refused("no kid and a stranger's signature", Reason::Signature, unnamed(&STRANGER)),
        refused("a kid, and keys without", Reason::KeyUnknown, P256.token(&testing::claims()))
            .with_keys(&[without(p256.clone(), "kid")]),
        Case::accepted("no kid and one key that fits", unnamed(&P256)),
        Case::accepted("no kid and one key without", unnamed(&P256)).with_keys(&[without(p256.clone(), "kid")]),
        Case::accepted("no kid and one key reserved for it", unnamed(&RSA))
            .with_keys(&[RSA.jwk_with(json!({"alg": "RS256"})), RSA.jwk_with(json!({"alg": "PS256", "kid": "rsa-2"}))]),
        Case::accepted("an unsuitable key beside it under the same kid", P256.token(&testing::claims()))
            .with_keys(&[p256, json!({"kty": "oct", "kid": "ec-1", "k": "AAAA"})]),
    ]
}

fn purposes() -> Vec<Case> {
    let of = |name, reason, members| {
        let keys = [P256.jwk_with(members), RSA.jwk()];
        Case::refused(name, reason, P256.token(&testing::claims())).with_keys(&keys)
    };
    let accepted =
        |name, members| Case::accepted(name, P256.token(&testing::claims())).with_keys(&[P256.jwk_with(members)]);
    let unsuitable = Reason::KeyUnsuitable;
    vec![
        of("a key for encryption", unsuitable, json!({"use": "enc"})),
        of("a key for something unknown", unsuitable, json!({"use": "SIG"})),
        of("a use that is no text", unsuitable, json!({"use": ["sig"]})),
        of("a key to sign with", unsuitable, json!({"key_ops": ["sign"]})),
        of("a key to wrap keys with", unsuitable, json!({"key_ops": ["wrapKey", "deriveBits"]})),
        of("a key for nothing", unsuitable, json!({"key_ops": []})),
        of("operations that are no list", unsuitable, json!({"key_ops": "verify"})),
        of("a key for verifying whose use is another", unsuitable, json!({"use": "enc", "key_ops": ["verify"]})),
        of("a key reserved for another algorithm", unsuitable, json!({"alg": "ES384"})),
        of("a key reserved for an algorithm of another type", unsuitable, json!({"alg": "RS256"})),
        of("a key reserved for a symmetric algorithm", unsuitable, json!({"alg": "HS256"})),
        of("a key reserved for nothing", unsuitable, json!({"alg": "none"})),
        of("a key whose alg is no text", unsuitable, json!({"alg": null})),
        of("a private key in the set", unsuitable, json!({"d": "AAAA"})),
        of("a key of a type unknown here", unsuitable, json!({"kty": "XYZ"})),
        of("a curve unknown here", unsuitable, json!({"crv": "secp256k1"})),
        of("a point of the wrong length", unsuitable, json!({"x": b64(&[1; 31])})),
        of("a point with padding", unsuitable, json!({"y": format!("{}=", b64(&[1; 32]))})),
        of("a point off the curve", Reason::Signature, json!({"y": b64(&[1; 32])})),
        of("a key whose id is a number", Reason::KeyUnknown, json!({"kid": 1})),
        accepted("use sig", json!({"use": "sig"})),
        accepted("key_ops verify", json!({"key_ops": ["sign", "verify"]})),
        accepted("use, key_ops and alg together", json!({"use": "sig", "key_ops": ["verify"], "alg": "ES256"})),
        accepted("members that nobody knows", json!({"x5t": "AAAA", "exp": 1, "issuer": "x"})),
    ]
}

fn strength() -> Vec<Case> {
    let rsa = |name, members| {
        Case::refused(name, Reason::KeyUnsuitable, RSA.token(&testing::claims()))
            .with_keys(&[RSA.jwk_with(members), P256.jwk()])
    };
    let number = |bytes: usize| b64(&vec![0xff; bytes]);
    let small_order = |name, y: [u8; 32]| {
        let mut forged = vec![0; 64];
        forged[0] = 1;
        Case::refused(name, Reason::KeyUnsuitable, signed_with(&ED25519, |_| forged))
            .with_keys(&[ED25519.jwk_with(json!({"x": b64(&y)})), P256.jwk()])
    };
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    vec![
        rsa("an RSA key of 1024 bits", json!({"n": number(128)})),
        rsa("an RSA key of 2047 bits", json!({"n": b64(&[&[0x7f], [0xff; 255].as_slice()].concat())})),
        rsa("an RSA key of 1024 bits behind zeros", json!({"n": b64(&[[0; 128], [0xff; 128]].concat())})),
        rsa("an RSA key of 8200 bits", json!({"n": number(1025)})),
        rsa("an even modulus", json!({"n": b64(&[[0xff; 255].as_slice(), &[0xfe]].concat())})),
        rsa("no modulus", json!({"n": ""})),
        rsa("exponent one", json!({"e": "AQ"})),
        rsa("exponent two", json!({"e": "Ag"})),
        rsa("exponent zero", json!({"e": "AA"})),
        rsa("no exponent", json!({"e": ""})),
        rsa("an endless exponent", json!({"e": number(256)})),
        small_order("an Ed25519 key of order one", one),
        small_order("an Ed25519 key of order two", minus_one),
        small_order("an Ed25519 key of order four", [0; 32]),
        Case::refused("an Ed25519 key of 31 bytes", Reason::KeyUnsuitable, ED25519.token(&testing::claims()))
            .with_keys(&[ED25519.jwk_with(json!({"x": b64(&[7; 31])})), P256.jwk()]),
        Case::refused("an X25519 key", Reason::KeyUnsuitable, ED25519.token(&testing::claims()))
            .with_keys(&[ED25519.jwk_with(json!({"crv": "X25519"})), P256.jwk()]),
        Case::accepted("a modulus with a zero before it", RSA.token(&testing::claims())).with_keys(&[{
            use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
            let n = URL_SAFE_NO_PAD.decode(RSA.jwk()["n"].as_str().unwrap()).unwrap();
            RSA.jwk_with(json!({"n": b64(&[&[0], n.as_slice()].concat())}))
        }]),
    ]
}

/// Adds the order of the Ed25519 group, 2^252 + 27742317777372353535851937790883648493, to a little-endian number.
fn add_order(number: &mut [u8]) {
    const LOW: u128 = 27_742_317_777_372_353_535_851_937_790_883_648_493;
    let mut order = [0; 32];
    order[..16].copy_from_slice(&LOW.to_le_bytes());
    order[31] = 0x10;
    let mut carry = 0;
    for (digit, add) in number.iter_mut().zip(order) {
        let sum = u16::from(*digit) + u16::from(add) + carry;
        (*digit, carry) = ((sum & 0xff) as u8, sum >> 8);
    }
}
