//! The issuer: discovery, keys, rotation, tokens.

use std::collections::BTreeSet;

use sandbox::{Algorithm, OldKeys, Options, Sandbox, SigningKey, TokenSpec};
use serde_json::Value;

use crate::support::ask;

fn start() -> Sandbox {
    Sandbox::start(Options::default()).expect("starts")
}

fn key_ids(sandbox: &Sandbox) -> BTreeSet<String> {
    let set = ask("GET", &format!("{}/jwks", sandbox.issuer_url()), "").json();
    let id = |key: &Value| key["kid"].as_str().expect("an id").to_owned();
    set["keys"].as_array().expect("keys").iter().map(id).collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn discovery_leads_to_a_key_of_each_kind() {
    let sandbox = start();

    let discovery = ask("GET", &format!("{}/.well-known/openid-configuration", sandbox.issuer_url()), "").json();

    assert_eq!(discovery["issuer"], sandbox.issuer_url());
    assert_eq!(discovery["jwks_uri"], format!("{}/jwks", sandbox.issuer_url()));
    assert_eq!(key_ids(&sandbox), set(&["eddsa-1", "es256-1", "rs256-1"]));
}

#[test]
fn a_rotation_keeps_or_drops_the_old_keys() {
    let sandbox = start();
    let control = sandbox.control();

    control.rotate_keys(OldKeys::Keep);
    let kept = key_ids(&sandbox);
    control.rotate_keys(OldKeys::Drop);
    let dropped = key_ids(&sandbox);

    assert_eq!(kept, set(&["eddsa-1", "eddsa-2", "es256-1", "es256-2", "rs256-1", "rs256-2"]));
    assert_eq!(dropped, set(&["eddsa-3", "es256-3", "rs256-3"]));
}

#[test]
fn the_issuer_hands_out_tokens_over_http() {
    let sandbox = start();
    let order = serde_json::to_string(&TokenSpec::new("bob").group("dba").algorithm(Algorithm::Es256)).expect("JSON");

    let answer = ask("POST", &format!("{}/token", sandbox.issuer_url()), &order);

    let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(token.split('.').count(), 3);
    assert_eq!(answer.json()["expires_in"], 3600);
    assert_eq!(ask("POST", &format!("{}/token", sandbox.issuer_url()), r#"{"subject":"bob"}"#).status, 400);
}

#[test]
fn a_token_can_be_signed_with_a_key_that_nobody_knows() {
    let sandbox = start();
    let spec = TokenSpec::new("mallory").algorithm(Algorithm::EdDsa).issued_at(1000).claim("jti", "1");

    let (honest, again) = (sandbox.token(&spec), sandbox.token(&spec));
    let forged = sandbox.token(&spec.signed_by(SigningKey::Unpublished));

    // Ed25519 signatures are deterministic, so only another key makes another signature.
    assert_eq!(honest, again);
    assert_eq!(
        honest.rsplit_once('.').map(|(message, _)| message),
        forged.rsplit_once('.').map(|(message, _)| message)
    );
    assert_ne!(honest, forged);
}
