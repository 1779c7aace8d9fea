use serde_json::json;

use super::{
    testing::{self, ED25519, P256, STRANGER},
    *,
};

/// Two issuers, `sso` with the keys of the tests and `cluster` with a key of its own; the key sets stand still.
fn identity(clock: &Clock) -> Identity {
    let cluster = IssuerSettings {
        name: "cluster".into(),
        prefix: "k8s:".into(),
        issuer: "https://cluster.example.internal".to_owned(),
        ..testing::issuer()
    };
    let issuers = [testing::issuer(), cluster].map(|settings| {
        let keys = Keys::new(Arc::clone(&settings.name), Duration::MAX, Duration::MAX, clock.monotonic());
        Issuer { settings, keys: Arc::new(keys) }
    });
    Identity { issuers: issuers.into(), rules: testing::rules(), clock: clock.clone() }
}

fn publish(identity: &Identity, issuer: usize, keys: &[serde_json::Value]) {
    identity.issuers[issuer].keys.publish(key_set::KeySet::parse(&testing::document(keys)).unwrap());
}

fn clock() -> Clock {
    Clock::manual(testing::now())
}

#[test]
fn the_token_decides_which_issuers_keys_it_is_checked_against() {
    let identity = identity(&clock());
    publish(&identity, 0, &testing::jwks());
    publish(&identity, 1, &[STRANGER.jwk()]);
    let of_cluster = testing::with(testing::claims(), json!({"iss": "https://cluster.example.internal"}));

    let sso = identity.authenticate_now(&P256.token(&testing::claims())).unwrap();
    let cluster = identity.authenticate_now(&STRANGER.token(&of_cluster)).unwrap();
    let foreign =
        [P256.token(&of_cluster), STRANGER.token(&testing::claims())].map(|token| identity.authenticate_now(&token));

    assert_eq!((&*sso.caller.issuer, &*sso.caller.prefix, &*sso.caller.subject), ("sso", "", "alice"));
    assert_eq!(
        (&*cluster.caller.issuer, &*cluster.caller.prefix, &*cluster.caller.subject),
        ("cluster", "k8s:", "alice")
    );
    assert_eq!(foreign, [const { Err(Denial::Refused(Reason::Signature)) }; 2]);
}

#[test]
fn an_issuer_without_keys_is_unavailable_and_the_other_is_not() {
    let identity = identity(&clock());
    publish(&identity, 0, &testing::jwks());
    let of_cluster = testing::with(testing::claims(), json!({"iss": "https://cluster.example.internal"}));
    let of_nobody = testing::with(testing::claims(), json!({"iss": "https://nobody.example"}));

    assert!(identity.authenticate_now(&P256.token(&testing::claims())).is_ok());
    assert_eq!(identity.authenticate_now(&STRANGER.token(&of_cluster)), Err(Denial::KeysUnavailable));
    assert_eq!(identity.authenticate_now(&STRANGER.token(&of_nobody)), Err(Denial::Refused(Reason::IssuerUnknown)));
    assert_eq!(
        identity.readiness().iter().map(|issuer| (&*issuer.name, issuer.has_keys)).collect::<Vec<_>>(),
        [("sso", true), ("cluster", false)]
    );
}

#[test]
fn what_is_wrong_with_the_token_itself_is_said_even_without_keys() {
    let identity = identity(&clock());
    let unsigned = P256.token_of(r#"{"alg":"none"}"#, &testing::claims().to_string());
    let rs512 = testing::RSA.token_of(r#"{"alg":"RS512","kid":"rsa-1"}"#, &testing::claims().to_string());

    assert_eq!(identity.authenticate_now("a.b"), Err(Denial::Refused(Reason::Encoding)));
    assert_eq!(identity.authenticate_now(&unsigned), Err(Denial::Refused(Reason::Algorithm)));
    assert_eq!(identity.authenticate_now(&rs512), Err(Denial::Refused(Reason::Algorithm)));
}

#[test]
fn a_token_dies_when_its_time_has_come() {
    let clock = clock();
    let identity = identity(&clock);
    publish(&identity, 0, &testing::jwks());
    let token = ED25519.token(&testing::claims());

    clock.advance(Duration::from_secs(600 + 29));
    let alive = identity.authenticate_now(&token);
    clock.advance(Duration::from_secs(1));
    let dead = identity.authenticate_now(&token);

    assert!(alive.is_ok());
    assert_eq!(dead, Err(Denial::Refused(Reason::Expired)));
}

#[test]
fn a_denial_has_a_name_of_its_own() {
    assert_eq!(Denial::NoToken.as_str(), "no_token");
    assert_eq!(Denial::KeysUnavailable.as_str(), "keys_unavailable");
    assert_eq!(Denial::Refused(Reason::Expired).as_str(), "expired");
    assert!(Reason::ALL.iter().all(|reason| !["no_token", "keys_unavailable"].contains(&reason.as_str())));
}

#[test]
fn an_algorithm_is_known_by_its_exact_name() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.as_str()), Some(algorithm));
        assert_eq!(Algorithm::from_name(&algorithm.as_str().to_lowercase()), None);
    }
    for name in ["none", "HS256", "HS384", "HS512", "ES512", "ES256K", "Ed448", ""] {
        assert_eq!(Algorithm::from_name(name), None);
    }
}

#[test]
fn identity_is_shared_by_workers() {
    fn is_shared<T: Send + Sync>() {}
    fn is_sent<T: Send>(_: &T) {}

    is_shared::<Identity>();
    let identity = identity(&clock());
    is_sent(&identity.authenticate("a.b.c"));
}
