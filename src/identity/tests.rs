mod known;

use std::{fs, net::Ipv4Addr, time::Duration};

use serde_json::{Value, json};

use super::{
    testing::{self, ED25519, P256, STRANGER, with},
    *,
};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Two issuers, `sso` with the keys of the tests and `cluster` with a key of its own; the key sets stand still.
fn identity(clock: &Clock) -> Arc<Identity> {
    identity_with(clock, |_| {})
}

fn identity_with(clock: &Clock, change: impl FnOnce(&mut Settings)) -> Arc<Identity> {
    let cluster = IssuerSettings {
        name: "cluster".into(),
        prefix: "k8s:".into(),
        issuer: "https://cluster.example.internal".to_owned(),
        ..testing::issuer()
    };
    let mut settings = testing::settings(vec![testing::issuer(), cluster]);
    change(&mut settings);
    Identity::new(&settings, clock.clone()).unwrap().0
}

fn publish(identity: &Identity, issuer: usize, keys: &[Value]) {
    let keys = KeySet::parse(&testing::document(keys)).unwrap();
    identity.issuers[issuer].keys.publish(keys, identity.clock.monotonic());
}

fn clock() -> Clock {
    Clock::manual(testing::now())
}

/// The identity of `sso` alone matters, and it has its keys.
fn ready(clock: &Clock) -> Arc<Identity> {
    let identity = identity(clock);
    publish(&identity, 0, &testing::jwks());
    identity
}

/// What is said about a request with this token, from the address that all tests come from.
fn admit(identity: &Identity, token: &str) -> Result<Arc<VerifiedToken>, Denial> {
    let value = format!("Bearer {token}");
    futures_util::FutureExt::now_or_never(identity.admit([value.as_bytes()], CLIENT, &LastToken::default()))
        .expect("nothing to wait for")
}

/// What the keys at hand say about a token.
fn verify(identity: &Identity, token: &str) -> Result<Arc<VerifiedToken>, Denial> {
    let parts = Parts::of(token).map_err(Denial::Refused)?;
    let unverified = UnverifiedToken::read(&parts).map_err(Denial::Refused)?;
    identity.verify(&unverified).map(|known| known.token)
}

fn refused<T>(reason: Reason) -> Result<T, Denial> {
    Err(Denial::Refused(reason))
}

#[test]
fn the_token_decides_which_issuers_keys_it_is_checked_against() {
    let identity = identity(&clock());
    publish(&identity, 0, &testing::jwks());
    publish(&identity, 1, &[STRANGER.jwk()]);
    let of_cluster = with(testing::claims(), json!({"iss": "https://cluster.example.internal"}));

    let sso = verify(&identity, &P256.token(&testing::claims())).unwrap();
    let cluster = verify(&identity, &STRANGER.token(&of_cluster)).unwrap();
    let foreign = [P256.token(&of_cluster), STRANGER.token(&testing::claims())].map(|token| verify(&identity, &token));

    assert_eq!((&*sso.caller.issuer, &*sso.caller.prefix, &*sso.caller.subject), ("sso", "", "alice"));
    assert_eq!(
        (&*cluster.caller.issuer, &*cluster.caller.prefix, &*cluster.caller.subject),
        ("cluster", "k8s:", "alice")
    );
    assert_eq!(foreign, [const { Err(Denial::Refused(Reason::Signature)) }; 2]);
}

#[test]
fn an_issuer_without_keys_is_unavailable_and_the_other_is_not() {
    let identity = ready(&clock());
    let of_cluster = with(testing::claims(), json!({"iss": "https://cluster.example.internal"}));
    let of_nobody = with(testing::claims(), json!({"iss": "https://nobody.example"}));

    assert!(verify(&identity, &P256.token(&testing::claims())).is_ok());
    assert_eq!(verify(&identity, &STRANGER.token(&of_cluster)), Err(Denial::KeysUnavailable));
    assert_eq!(verify(&identity, &STRANGER.token(&of_nobody)), refused(Reason::IssuerUnknown));
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

    assert_eq!(verify(&identity, "a.b"), refused(Reason::Encoding));
    assert_eq!(verify(&identity, &unsigned), refused(Reason::Algorithm));
    assert_eq!(verify(&identity, &rs512), refused(Reason::Algorithm));
}

#[test]
fn no_name_of_one_issuer_can_be_taken_for_a_name_of_another() {
    let identity = identity(&clock());
    publish(&identity, 0, &testing::jwks());
    publish(&identity, 1, &testing::jwks());
    let sso = |members| verify(&identity, &P256.token(&with(testing::claims(), members))).map(drop);
    let cluster = |members| {
        let claims = with(testing::claims(), json!({"iss": "https://cluster.example.internal"}));
        verify(&identity, &P256.token(&with(claims, members))).map(drop)
    };

    assert_eq!(sso(json!({"sub": "k8s:alice"})), refused(Reason::ForeignPrefix));
    assert_eq!(sso(json!({"sub": "k8s:"})), refused(Reason::ForeignPrefix));
    assert_eq!(sso(json!({"groups": ["dba", "k8s:admins"]})), refused(Reason::ForeignPrefix));
    assert_eq!(sso(json!({"sub": "k8s", "groups": ["K8s:admins", " k8s:admins"]})), Ok(()));
    assert_eq!(cluster(json!({"sub": "k8s:alice", "groups": ["k8s:admins"]})), Ok(()));
}

#[test]
fn a_revocation_takes_effect_on_known_tokens_and_on_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked.txt");
    fs::write(&path, "jti:sso:gone\n").unwrap();
    let identity = identity_with(&clock(), |settings| settings.revoked_file = Some(path.clone()));
    publish(&identity, 0, &testing::jwks());
    let token = |members| P256.token(&with(testing::claims(), members));
    let (gone, alice, bob) =
        (token(json!({"jti": "gone", "sub": "carol"})), token(json!({})), token(json!({"sub": "bob"})));
    let before = [&gone, &alice, &bob].map(|token| admit(&identity, token).map(drop));

    fs::write(&path, "sub:sso:alice\nkid:sso:ed-1\n").unwrap();
    let reloaded = identity.reload_revocations();
    let after = [&gone, &alice, &bob].map(|token| admit(&identity, token).map(drop));
    let by_key = admit(&identity, &ED25519.token_of(r#"{"alg":"EdDSA"}"#, &testing::claims().to_string()));

    assert_eq!(before, [refused(Reason::Revoked), Ok(()), Ok(())]);
    assert_eq!(reloaded, Some(Ok(())));
    assert_eq!(after, [Ok(()), refused(Reason::Revoked), Ok(())]);
    assert!(
        identity.recognise(alice.as_bytes(), &LastToken::default()).is_some(),
        "it was known, and is refused all the same"
    );
    assert_eq!(by_key, refused(Reason::Revoked));
}

#[test]
fn keys_that_were_not_confirmed_for_too_long_count_no_more() {
    let clock = clock();
    let identity = identity_with(&clock, |settings| settings.jwks_max_stale = Duration::from_secs(120));
    publish(&identity, 0, &testing::jwks());
    let (known, new) = (P256.token(&testing::claims()), ED25519.token(&testing::claims()));
    assert!(admit(&identity, &known).is_ok());

    clock.advance(Duration::from_millis(119_999));
    let just_before = admit(&identity, &known).is_ok() && identity.readiness()[0].has_keys;
    clock.advance(Duration::from_millis(1));
    let outlived = [&known, &new].map(|token| admit(&identity, token));
    let has_keys = identity.readiness()[0].has_keys;
    publish(&identity, 0, &testing::jwks());
    let confirmed = [&known, &new].map(|token| admit(&identity, token).is_ok());

    assert!(just_before && !has_keys);
    assert_eq!(outlived, [const { Err(Denial::KeysUnavailable) }; 2]);
    assert_eq!(confirmed, [true; 2]);
}

#[test]
fn beyond_the_limit_unknown_tokens_are_not_looked_at_and_known_callers_are_not_affected() {
    let clock = clock();
    let identity = ready(&clock);
    let (known, new) = (P256.token(&testing::claims()), ED25519.token(&testing::claims()));
    let forged = STRANGER.token(&testing::claims());
    assert!(admit(&identity, &known).is_ok());

    let verdicts: Vec<_> = (0..250).map(|_| admit(&identity, &forged)).collect();
    let retry_after = Duration::from_millis(20);
    let turned_away = Err(Denial::TooManyFailures { retry_after });

    assert!(verdicts[..200].iter().all(|verdict| *verdict == refused(Reason::Signature)));
    assert!(verdicts[200..].iter().all(|verdict| *verdict == turned_away));
    assert_eq!(admit(&identity, &new), turned_away);
    assert!(admit(&identity, &known).is_ok());
    clock.advance(retry_after);
    assert!(admit(&identity, &new).is_ok());
}

#[test]
fn whatever_carries_no_acceptable_token_counts_and_what_is_accepted_does_not() {
    let identity = ready(&clock());
    let bare = || futures_util::FutureExt::now_or_never(identity.admit([], CLIENT, &LastToken::default())).unwrap();

    for number in 0..500 {
        let claims = with(testing::claims(), json!({"jti": number.to_string()}));
        assert!(admit(&identity, &ED25519.token(&claims)).is_ok(), "{number}");
    }
    let refusals: Vec<_> = (0..100).flat_map(|_| [bare(), admit(&identity, "a b")]).collect();

    assert!(refusals.chunks(2).all(|pair| *pair == [Err(Denial::NoToken), refused(Reason::AuthorizationMalformed)]));
    assert!(matches!(admit(&identity, "a b"), Err(Denial::TooManyFailures { .. })));
}

#[test]
fn no_token_is_no_token_beyond_the_limit_too_and_keeps_nobody_out_for_longer() {
    let clock = clock();
    let identity = ready(&clock);
    let bare = || futures_util::FutureExt::now_or_never(identity.admit([], CLIENT, &LastToken::default())).unwrap();
    let forged = STRANGER.token(&testing::claims());
    for _ in 0..200 {
        assert!(admit(&identity, &forged).is_err());
    }

    let beyond: Vec<_> = (0..300).map(|_| bare()).collect();

    assert!(beyond.iter().all(|verdict| *verdict == Err(Denial::NoToken)), "{:?}", beyond.last());
    let retry_after = Duration::from_millis(20);
    assert_eq!(admit(&identity, &forged), Err(Denial::TooManyFailures { retry_after }));
    clock.advance(retry_after);
    assert!(admit(&identity, &P256.token(&testing::claims())).is_ok());
}

#[test]
fn missing_keys_are_not_the_callers_failure() {
    let identity = identity(&clock());

    let verdicts: Vec<_> = (0..300).map(|_| admit(&identity, &P256.token(&testing::claims()))).collect();

    assert!(verdicts.iter().all(|verdict| *verdict == Err(Denial::KeysUnavailable)));
}

#[test]
fn files_that_decide_who_is_let_in_must_be_fit_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let start = |issuer: IssuerSettings, revoked_file| {
        let settings = Settings { revoked_file, ..testing::settings(vec![issuer]) };
        let told = |errors: Vec<IdentityError>| errors.iter().map(ToString::to_string).collect::<String>();
        Identity::new(&settings, clock()).map(drop).map_err(told)
    };
    let secret = || IssuerSettings { keys: KeySource::Secret(path.clone()), ..testing::issuer() };
    let authority = || IssuerSettings { ca_file: Some(path.clone()), ..testing::issuer() };

    let missing = [start(secret(), None), start(authority(), None), start(testing::issuer(), Some(path.clone()))];
    fs::write(&path, "too short\n").unwrap();
    let unfit = [start(secret(), None), start(authority(), None), start(testing::issuer(), Some(path.clone()))];

    for (outcome, named) in
        missing.iter().chain(&unfit).zip(["hs256_secret_file", "ca_file", "the list of revocations"].repeat(2))
    {
        let told = outcome.as_ref().unwrap_err();
        assert!(told.contains(named) && !told.contains("too short"), "{told}");
    }
}

#[test]
fn a_denial_has_a_name_of_its_own() {
    let others = [Denial::NoToken, Denial::KeysUnavailable, Denial::TooManyFailures { retry_after: Duration::ZERO }];

    assert_eq!(others.map(Denial::as_str), ["no_token", "keys_unavailable", "too_many_failures"]);
    assert_eq!(Denial::Refused(Reason::Expired).as_str(), "expired");
    assert_eq!(Denial::reasons().len(), 2 + Reason::ALL.len());
    assert!(Reason::ALL.iter().all(|reason| !others.map(Denial::as_str).contains(&reason.as_str())));
}

#[test]
fn debug_shows_no_token_that_is_known() {
    let identity = ready(&clock());
    let token = P256.token(&testing::claims());
    assert!(admit(&identity, &token).is_ok());

    let text = format!("{identity:?}");

    let parts: Vec<_> = token.split('.').collect();
    assert!(parts.iter().all(|part| !text.contains(part)), "{text}");
}

#[test]
fn identity_is_shared_by_workers() {
    fn is_shared<T: Send + Sync>() {}
    fn is_sent<T: Send>(_: &T) {}

    is_shared::<Identity>();
    let identity = identity(&clock());
    is_sent(&identity.admit([], CLIENT, &LastToken::default()));
}
