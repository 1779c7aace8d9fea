//! The table of tokens: what is accepted, what is refused, and why.
//!
//! The kinds come from RFC 8725, from the flaws that JWT libraries have had (their CVE numbers stand beside the cases)
//! and from what issuers really send. Every token is built by hand, so that no library's encoder is in the way.

mod claims;
mod form;
mod keys;
mod secret;

use std::sync::{Arc, LazyLock};

use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use super::*;
use crate::identity::testing::{self, ED25519, P256, RSA};

/// One row: a token for an issuer with these keys, and whether it is accepted.
struct Case {
    name: &'static str,
    token: String,
    issuer: IssuerSettings,
    keys: Arc<KeySet>,
    outcome: Result<(), Reason>,
}

impl Case {
    fn accepted(name: &'static str, token: String) -> Self {
        Self { name, token, issuer: testing::issuer(), keys: Arc::clone(&KEYS), outcome: Ok(()) }
    }

    fn refused(name: &'static str, reason: Reason, token: String) -> Self {
        Self { outcome: Err(reason), ..Self::accepted(name, token) }
    }

    fn with_keys(self, keys: &[Value]) -> Self {
        Self { keys: testing::key_set(keys), ..self }
    }

    fn with_groups_at(mut self, path: &[&str]) -> Self {
        self.issuer.groups_claim = path.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    fn verdict(&self) -> Result<VerifiedToken, Reason> {
        UnverifiedToken::read(&Parts::of(&self.token)?)?.verify(
            &self.issuer,
            &self.keys,
            &testing::rules(),
            testing::now(),
        )
    }
}

static KEYS: LazyLock<Arc<KeySet>> = LazyLock::new(|| testing::key_set(&testing::jwks()));

fn verify(token: &str) -> Result<VerifiedToken, Reason> {
    UnverifiedToken::read(&Parts::of(token)?)?.verify(&testing::issuer(), &KEYS, &testing::rules(), testing::now())
}

#[test]
fn every_token_of_the_table_is_accepted_or_refused_for_its_reason() {
    let table: Vec<Case> =
        [form::cases(), keys::cases(), claims::cases(), secret::cases()].into_iter().flatten().collect();

    let wrong: Vec<String> = table
        .iter()
        .filter_map(|case| {
            let verdict = case.verdict().map(drop);
            (verdict != case.outcome).then(|| format!("{}: {verdict:?} in place of {:?}", case.name, case.outcome))
        })
        .collect();

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let accepted = table.iter().filter(|case| case.outcome.is_ok()).count();
    let refused = table.len() - accepted;
    assert!(accepted >= 40 && refused >= 190, "{accepted} accepted, {refused} refused");
}

#[test]
fn the_caller_is_read_from_the_claims() {
    let claims = testing::with(
        testing::claims(),
        json!({
            "email": "alice@example.internal", "scope": "backups:read  backups:list", "azp": "console",
            "jti": "t-1", "nbf": testing::NOW - 5, "exp": testing::NOW as f64 + 600.5,
        }),
    );

    let verified = verify(&P256.token(&claims)).unwrap();

    assert_eq!(
        verified,
        VerifiedToken {
            caller: Arc::new(Caller {
                issuer: "sso".into(),
                prefix: "".into(),
                subject: "alice".into(),
                groups: vec!["dba".into(), "on-call".into()],
                email: Some("alice@example.internal".into()),
                scopes: vec!["backups:read".into(), "backups:list".into()],
                client: Some("console".into()),
            }),
            times: Times {
                expires_at: testing::now() + Duration::from_millis(600_500),
                not_before: Some(testing::now() - Duration::from_secs(5)),
                issued_at: Some(testing::now()),
            },
            jti: Some("t-1".into()),
            kid: Some("ec-1".into()),
        }
    );
}

#[test]
fn an_address_counts_unless_the_issuer_says_that_it_is_not_verified() {
    for (email_verified, counts) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!(null), false),
        (json!(1), false),
    ] {
        let claims = testing::with(testing::claims(), json!({"email": "a@b", "email_verified": email_verified}));

        let verified = verify(&P256.token(&claims)).unwrap();

        assert_eq!(verified.caller.email.is_some(), counts, "{email_verified}");
    }
}

#[test]
fn the_client_is_client_id_and_else_azp() {
    let both = testing::with(testing::claims(), json!({"client_id": "cli", "azp": "console"}));
    let empty = testing::with(testing::claims(), json!({"client_id": "", "azp": null, "email": ""}));

    assert_eq!(verify(&P256.token(&both)).unwrap().caller.client.as_deref(), Some("cli"));
    assert_eq!(verify(&P256.token(&empty)).unwrap().caller.client, None);
    assert_eq!(verify(&P256.token(&empty)).unwrap().caller.email, None);
}

#[test]
fn groups_are_found_at_a_dotted_path() {
    let claims = testing::with(testing::claims(), json!({"realm_access": {"roles": ["dba"]}}));
    let groups_at = |path: &[&str]| {
        let verified = Case::accepted("", P256.token(&claims)).with_groups_at(path).verdict().unwrap();
        verified.caller.groups.iter().map(|group| group.to_string()).collect::<Vec<_>>()
    };

    assert_eq!(groups_at(&["realm_access", "roles"]), ["dba"]);
    assert_eq!(groups_at(&["groups"]), ["dba", "on-call"]);
    assert_eq!(groups_at(&["realm_access", "nothing"]), [""; 0]);
    assert_eq!(groups_at(&[]), [""; 0]);
}

#[test]
fn the_key_that_verified_is_named_even_if_the_token_does_not_name_it() {
    let token = P256.token_of(r#"{"alg":"ES256"}"#, &testing::claims().to_string());

    assert_eq!(verify(&token).unwrap().kid.as_deref(), Some("ec-1"));
}

#[test]
fn a_token_is_for_the_issuer_that_it_names_and_no_other() {
    let other = IssuerSettings { issuer: "https://other.example.internal".to_owned(), ..testing::issuer() };
    let token = P256.token(&testing::claims());
    let parts = Parts::of(&token).unwrap();

    let verdict = UnverifiedToken::read(&parts).unwrap().verify(&other, &KEYS, &testing::rules(), testing::now());

    assert_eq!(verdict, Err(Reason::IssuerUnknown));
}

#[test]
fn debug_shows_nothing_of_an_unverified_token() {
    let token = P256.token(&testing::claims());
    let parts = Parts::of(&token).unwrap();

    assert_eq!(format!("{:?}", UnverifiedToken::read(&parts).unwrap()), "UnverifiedToken { .. }");
    assert_eq!(format!("{parts:?}"), "Parts { .. }");
}

/// The last character of a part is where base64 has bits to spare; the property below samples the others.
#[test]
fn the_last_character_of_a_part_has_one_spelling() {
    for key in [&RSA, &P256, &ED25519] {
        let token = key.token(&testing::claims());
        assert!(verify(&token).is_ok());
        let ends: Vec<usize> =
            (0..token.len()).filter(|at| matches!(token.as_bytes().get(at + 1), None | Some(b'.'))).collect();
        for at in ends {
            for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
                let changed = replaced(&token, at, other);
                assert!(changed == token || verify(&changed).is_err(), "{at} {other}");
            }
        }
    }
}

fn replaced(token: &str, at: usize, character: char) -> String {
    format!("{}{character}{}", &token[..at], &token[at + 1..])
}

proptest! {
    #[test]
    fn a_valid_token_with_one_character_changed_is_refused(
        at in any::<Index>(),
        character in prop_oneof![proptest::char::range('\0', '\u{7f}'), any::<char>()],
    ) {
        static TOKENS: LazyLock<Vec<String>> =
            LazyLock::new(|| [&*RSA, &*P256, &*ED25519].map(|key| key.token(&testing::claims())).to_vec());
        for token in TOKENS.iter() {
            let changed = replaced(token, at.index(token.len()), character);
            prop_assert!(changed == *token || verify(&changed).is_err());
        }
    }

    #[test]
    fn a_valid_token_with_one_character_more_or_less_is_refused(at in any::<Index>(), character in any::<char>()) {
        let token = ED25519.token(&testing::claims());
        let at = at.index(token.len());
        let longer = format!("{}{character}{}", &token[..at], &token[at..]);
        let shorter = format!("{}{}", &token[..at], &token[at + 1..]);
        prop_assert!(verify(&longer).is_err());
        prop_assert!(verify(&shorter).is_err());
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,40}", 0..6)) {
        prop_assert!(verify(&text).is_err());
        prop_assert!(verify(&parts.join(".")).is_err());
    }

    #[test]
    fn no_json_makes_it_panic(
        header in prop::collection::vec(any::<u8>(), 0..60),
        claims in prop::collection::vec(any::<u8>(), 0..60),
        name in "(exp|nbf|iat|aud|sub|groups|email|scope|scp|azp|jti|_claim_names|email_verified)",
        value in prop_oneof![
            Just(json!(null)), any::<bool>().prop_map(|value| json!(value)), any::<f64>().prop_map(|value| json!(value)),
            any::<i64>().prop_map(|value| json!(value)), ".{0,40}".prop_map(|value| json!(value)),
            prop::collection::vec(".{0,10}", 0..4).prop_map(|value| json!(value)), Just(json!({"groups": {"a": [1]}})),
        ],
    ) {
        let bytes = format!("{}.{}.AAAA", testing::b64(&header), testing::b64(&claims));
        prop_assert!(verify(&bytes).is_err());
        // Whatever the verdict is, it is one.
        let _ = verify(&ED25519.token(&testing::with(testing::claims(), json!({ name: value }))));
    }
}
