use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::identity::testing::{self, ED25519, P256, P384, RSA};

fn parse(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(&testing::document(keys))
}

/// Why the second entry of a set is left out.
fn skipped(entry: Value) -> Option<Unusable> {
    let keys = parse(&[P384.jwk(), entry]).unwrap();
    keys.skipped().first().map(|skipped| skipped.why)
}

#[test]
fn every_suitable_key_is_taken() {
    let keys = parse(&testing::jwks()).unwrap();

    assert_eq!(keys.key_count(), 4);
    assert_eq!(keys.skipped(), []);
    assert!(keys.has("rsa-1") && !keys.has("rsa-2"));
}

#[test]
fn unsuitable_keys_are_left_out_with_a_reason_and_the_rest_is_used() {
    for (entry, why) in [
        (json!(null), Unusable::Malformed),
        (json!({}), Unusable::Malformed),
        (json!({"kty": 1}), Unusable::Malformed),
        (json!({"kty": "oct", "k": "AAAA"}), Unusable::Symmetric),
        (RSA.jwk_with(json!({"k": "AAAA"})), Unusable::Symmetric),
        (RSA.jwk_with(json!({"d": "AAAA"})), Unusable::Private),
        (RSA.jwk_with(json!({"use": "enc"})), Unusable::Use),
        (RSA.jwk_with(json!({"key_ops": ["encrypt"]})), Unusable::Operations),
        (RSA.jwk_with(json!({"alg": "RSA-OAEP"})), Unusable::Algorithm),
        (RSA.jwk_with(json!({"alg": "ES256"})), Unusable::Algorithm),
        (RSA.jwk_with(json!({"alg": "HS256"})), Unusable::Algorithm),
        (RSA.jwk_with(json!({"n": "AAAA"})), Unusable::Modulus),
        (RSA.jwk_with(json!({"e": "AQ"})), Unusable::Exponent),
        (RSA.jwk_with(json!({"n": "A+/="})), Unusable::Malformed),
        (RSA.jwk_with(json!({"n": null})), Unusable::Malformed),
        (P256.jwk_with(json!({"crv": "P-521"})), Unusable::Type),
        (P256.jwk_with(json!({"crv": null})), Unusable::Malformed),
        (P256.jwk_with(json!({"x": "AAAA"})), Unusable::Malformed),
        (P256.jwk_with(json!({"kid": ["ec-1"]})), Unusable::Malformed),
        (P256.jwk_with(json!({"kty": "OKP"})), Unusable::Type),
        (ED25519.jwk_with(json!({"crv": "Ed448"})), Unusable::Type),
        (ED25519.jwk_with(json!({"x": testing::b64(&[0; 32])})), Unusable::SmallOrder),
        (json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}), Unusable::Type),
    ] {
        assert_eq!(skipped(entry.clone()), Some(why), "{entry}");
        assert!(!why.as_str().is_empty());
    }
}

#[test]
fn a_set_without_a_usable_key_is_none() {
    assert_eq!(parse(&[]).err(), Some(KeySetError::NoUsableKey));
    assert_eq!(parse(&[json!({"kty": "oct", "k": "AAAA"})]).err(), Some(KeySetError::NoUsableKey));
}

#[test]
fn what_is_no_key_set_is_refused() {
    let key = P256.jwk();
    for text in [
        String::new(),
        "<html></html>".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        json!({"keys": key}).to_string(),
        format!(r#"{{"keys":[{key}],"keys":[]}}"#),
        format!(r#"{{"keys":[{key}]}} {{}}"#),
        format!(r#"{{"keys":[{key}]"#),
        r#"{"keys":[{"kty":"OKP","kty":"oct"}]}"#.to_owned(),
    ] {
        assert_eq!(KeySet::parse(text.as_bytes()).err(), Some(KeySetError::Malformed), "{text}");
    }
}

#[test]
fn a_set_is_bounded_in_keys_and_bytes() {
    let hundred = vec![P256.jwk(); 100];
    let more = vec![P256.jwk(); 101];
    let long = json!({"keys": [P256.jwk()], "x": "a".repeat(MAX_KEY_SET_BYTES)}).to_string();

    assert_eq!(parse(&hundred).map(|keys| keys.key_count()).ok(), Some(100));
    assert_eq!(parse(&more).err(), Some(KeySetError::TooMany));
    assert_eq!(KeySet::parse(long.as_bytes()).err(), Some(KeySetError::TooLarge));
}

#[test]
fn a_key_that_was_left_out_is_still_known_by_its_name() {
    let keys = parse(&[P256.jwk(), RSA.jwk_with(json!({"use": "enc"}))]).unwrap();

    assert!(keys.has("rsa-1"));
    assert_eq!(keys.find(Some("rsa-1"), Algorithm::Rs256).err(), Some(Reason::KeyUnsuitable));
    assert_eq!(keys.find(Some("rsa-2"), Algorithm::Rs256).err(), Some(Reason::KeyUnknown));
}

#[test]
fn two_readings_of_the_same_bytes_are_the_same_set() {
    let (one, other) = (parse(&testing::jwks()).unwrap(), parse(&testing::jwks()).unwrap());

    assert!(one.is_same_document(&other));
    assert!(!one.is_same_document(&parse(&[P256.jwk()]).unwrap()));
}

#[test]
fn a_secret_is_the_whole_set_and_verifies_hs256_under_any_name_and_nothing_else() {
    let keys = KeySet::of_secret(testing::SECRET.to_vec().into()).unwrap();
    let signature = testing::hmac(testing::SECRET, b"message");

    for kid in [None, Some("any")] {
        let key = keys.find(kid, Algorithm::Hs256).unwrap();
        assert!(key.verifies(Algorithm::Hs256, b"message", &signature));
        assert!(!key.verifies(Algorithm::Hs256, b"massage", &signature));
        assert!(!key.verifies(Algorithm::Hs256, b"message", &signature[..31]));
        assert!(!key.verifies(Algorithm::Hs256, b"message", b""));
        assert!(!key.verifies(Algorithm::Rs256, b"message", &signature));
        assert_eq!(keys.find(kid, Algorithm::Es256).err(), Some(Reason::KeyUnsuitable));
    }
}

#[test]
fn a_secret_is_as_long_as_its_hash_at_least() {
    let of_length = |length: usize| KeySet::of_secret(vec![7; length].into()).err();

    assert_eq!([0, 31, 4097].map(of_length), [Some(KeySetError::SecretLength); 3]);
    assert_eq!([32, 4096].map(of_length), [None; 2]);
}

#[test]
fn debug_shows_no_key_and_nothing_of_a_secret() {
    let public = format!("{:?}", parse(&testing::jwks()).unwrap());
    let secret = format!("{:?}", KeySet::of_secret(testing::SECRET.to_vec().into()).unwrap());

    assert!(public.contains("rsa-1") && !public.contains(RSA.jwk()["n"].as_str().unwrap()), "{public}");
    assert_eq!(secret, "KeySet { keys: [Key { kid: None, kind: Secret, algorithm: None, .. }], skipped: [], .. }");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = KeySet::parse(&bytes);
    }

    #[test]
    fn no_members_make_it_panic(
        kty in "(RSA|EC|OKP|oct|x)",
        crv in "(P-256|P-384|Ed25519|x)",
        texts in prop::array::uniform4("[A-Za-z0-9_-]{0,90}"),
    ) {
        let [n, e, x, y] = texts;
        let _ = parse(&[json!({"kty": kty, "crv": crv, "n": n, "e": e, "x": x, "y": y, "kid": "k"})]);
    }
}
