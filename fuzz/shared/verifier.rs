//! What must hold for any bytes that could be a token, whatever they are; shared by the fuzz target and by the test that
//! replays its corpus.
//!
//! The first byte of an input says what the rest is: `t` a token; `c` a header and claims, a line each, which are signed
//! here so that the checks behind the signature are reached; `k` a key set; `h` values of `Authorization`, a line each.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use redis_backup_gateway::identity::{
    Algorithm, IssuerSettings, KeySetUrl, KeySource, Reason, VerifiedToken, b64token, bearer,
    key_set::KeySet,
    token::{Parts, Rules, UnverifiedToken},
};
use serde_json::Value;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: Duration = Duration::from_secs(1_764_000_000);
const RULES: Rules = Rules { leeway: Duration::from_secs(30), max_token_life: Duration::from_secs(86_400) };

/// Good tokens, a line each, of the keys in `keys.json`.
const GOOD: &str = include_str!("tokens.txt");

static KEYS: LazyLock<KeySet> =
    LazyLock::new(|| KeySet::parse(include_bytes!("keys.json")).expect("the keys are part of this"));
static SECRET_KEYS: LazyLock<KeySet> =
    LazyLock::new(|| KeySet::of_secret(SECRET.to_vec().into()).expect("the secret is long enough"));
static SSO: LazyLock<IssuerSettings> =
    LazyLock::new(|| issuer("sso", vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]));
static SHARED: LazyLock<IssuerSettings> = LazyLock::new(|| issuer("secret", vec![Algorithm::Hs256]));

/// Fails by a panic where something does not hold.
pub fn check(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind {
        b't' => check_token(rest),
        b'c' => check_claims(rest),
        b'k' => check_key_set(rest),
        b'h' => check_authorization(rest),
        _ => {}
    }
}

/// No token is accepted but those that were made with the keys. Their signatures may have another spelling (an ECDSA
/// signature has two), what they sign may not.
fn check_token(token: &[u8]) {
    let Ok(token) = std::str::from_utf8(token) else { return };
    assert!(verify(token, &SHARED, &SECRET_KEYS).is_err());
    if verify(token, &SSO, &KEYS).is_ok() {
        let signed = |token: &str| token.rsplit_once('.').map(|(signed, _)| signed.to_owned());
        assert!(GOOD.lines().any(|good| signed(good) == signed(token)), "forged: {token}");
    }
}

/// Whatever is accepted under a good signature is what RFC 8725 and the issuer's rules ask for.
fn check_claims(text: &[u8]) {
    let at = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let (header, claims) = (&text[..at], text.get(at + 1..).unwrap_or_default());
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).expect("any length will do").chain_update(&signed);
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    let Ok(VerifiedToken { caller, times, jti, kid }) = verify(&token, &SHARED, &SECRET_KEYS) else { return };

    let header: Value = serde_json::from_slice(header).expect("a header that was accepted is JSON");
    let claims: Value = serde_json::from_slice(claims).expect("claims that were accepted are JSON");
    assert_eq!(header["alg"], "HS256");
    assert!(["crit", "b64", "zip", "cty"].iter().all(|name| header.get(name).is_none()));
    assert_eq!(claims["iss"], SHARED.issuer);
    let is_ours = |value: &Value| value.as_str().is_some_and(|text| SHARED.audiences.iter().any(|ours| ours == text));
    assert!(is_ours(&claims["aud"]) || claims["aud"].as_array().is_some_and(|list| list.iter().any(is_ours)));
    let expires = claims["exp"].as_f64().expect("a number");
    let now = NOW.as_secs_f64();
    assert!(expires > now - 30.0 - 1e-3 && expires <= now + 86_400.0 + 1e-3);
    assert_eq!(times.check(&RULES, SystemTime::UNIX_EPOCH + NOW), Ok(()));
    assert_eq!(claims["sub"].as_str(), Some(&*caller.subject));
    assert_eq!(kid, None);
    let is_plain = |text: &str, most: usize| (1..=most).contains(&text.len()) && !text.chars().any(char::is_control);
    assert!(is_plain(&caller.subject, 256));
    assert!(caller.groups.len() <= 1000 && caller.groups.iter().all(|group| is_plain(group, 256)));
    let texts = caller.scopes.iter().chain(&caller.email).chain(&caller.client).chain(&jti);
    assert!(texts.into_iter().all(|text| is_plain(text, 1024)));
}

/// A key set is bounded and has a key, or is none.
fn check_key_set(document: &[u8]) {
    let Ok(keys) = KeySet::parse(document) else { return };
    assert!((1..=100).contains(&keys.key_count()));
    for algorithm in Algorithm::ALL {
        if let Ok(key) = keys.find(None, algorithm) {
            let _ = key.kid();
        }
        assert!(keys.find(None, Algorithm::Hs256).is_err(), "a key set lends no secret");
    }
    let _ = verify(GOOD.lines().next().unwrap_or_default(), &SSO, &keys);
}

/// What is taken for a token can stand in a header field and in nothing else.
fn check_authorization(values: &[u8]) {
    let values: Vec<_> = values.split(|byte| *byte == b'\n').collect();
    if let Ok(token) = bearer(values.iter().copied()).and_then(b64token) {
        assert_eq!(values.len(), 1);
        assert!(!token.is_empty() && token.len() <= 8192);
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)));
    }
}

fn verify(token: &str, issuer: &IssuerSettings, keys: &KeySet) -> Result<VerifiedToken, Reason> {
    UnverifiedToken::read(&Parts::of(token)?)?.verify(issuer, keys, &RULES, SystemTime::UNIX_EPOCH + NOW)
}

fn issuer(name: &str, algorithms: Vec<Algorithm>) -> IssuerSettings {
    let url = format!("https://{name}.example.internal");
    IssuerSettings {
        name: name.into(),
        prefix: "".into(),
        audiences: vec!["redis-backup-gateway".to_owned()],
        algorithms,
        keys: KeySource::Discovery(KeySetUrl::of_discovery(&url).expect("an https URL")),
        issuer: url,
        ca_file: None,
        bearer_token_file: None,
        groups_claim: vec!["groups".to_owned()],
    }
}
