//! Tokens that were verified before, on any connection and on the one that keeps bringing them.

use super::*;

#[test]
fn a_known_token_dies_when_its_time_has_come() {
    let clock = clock();
    let identity = ready(&clock);
    let token = ED25519.token(&testing::claims());
    let first = admit(&identity, &token).unwrap();

    clock.advance(Duration::from_secs(600 + 29));
    let alive = identity.recognise(token.as_bytes(), &LastToken::default());
    clock.advance(Duration::from_secs(1));
    let dead = identity.recognise(token.as_bytes(), &LastToken::default());

    assert!(Arc::ptr_eq(&alive.unwrap().unwrap().caller, &first.caller));
    assert_eq!(dead, Some(refused(Reason::Expired)));
    assert_eq!(identity.recognise(token.as_bytes(), &LastToken::default()), None);
    assert_eq!(admit(&identity, &token), refused(Reason::Expired));
}

#[test]
fn a_clock_that_steps_back_is_noticed_on_a_known_token() {
    let clock = clock();
    let identity = ready(&clock);
    let claims = with(testing::claims(), json!({"nbf": testing::NOW}));
    let [late, long] = [claims, testing::without(testing::claims(), "iat")].map(|claims| ED25519.token(&claims));
    assert!(admit(&identity, &late).is_ok() && admit(&identity, &long).is_ok());

    clock.step_wall_to(testing::now() - Duration::from_secs(31));
    let too_early = identity.recognise(late.as_bytes(), &LastToken::default());
    clock.step_wall_to(testing::now() - Duration::from_secs(86_400));
    let too_long = identity.recognise(long.as_bytes(), &LastToken::default());

    assert_eq!(too_early, Some(refused(Reason::NotYetValid)));
    assert_eq!(too_long, Some(refused(Reason::LifeTooLong)));
}

#[test]
fn a_known_token_is_forgotten_with_the_keys_that_verified_it() {
    let identity = ready(&clock());
    publish(&identity, 1, &[STRANGER.jwk()]);
    let token = P256.token(&testing::claims());
    assert!(admit(&identity, &token).is_ok());

    publish(&identity, 1, &testing::jwks());
    let others_keys_changed = identity.recognise(token.as_bytes(), &LastToken::default()).is_some();
    publish(&identity, 0, &testing::jwks());
    let same_keys_again = identity.recognise(token.as_bytes(), &LastToken::default()).is_some();
    publish(&identity, 0, &[ED25519.jwk()]);
    let key_is_gone = identity.recognise(token.as_bytes(), &LastToken::default());

    assert!(others_keys_changed && same_keys_again);
    assert_eq!(key_is_gone, None);
    assert_eq!(verify(&identity, &token), refused(Reason::KeyUnknown));
}

#[test]
fn what_a_connection_brings_again_is_checked_like_any_known_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked.txt");
    let revoke = |identity: &Identity, line: &str| {
        fs::write(&path, line).unwrap();
        // What is taken out of the list counts once it has stayed out for a while.
        (0..20).for_each(|_| assert_eq!(identity.reload_revocations(), Some(Ok(()))));
    };
    fs::write(&path, "").unwrap();
    let clock = clock();
    let identity = identity_with(&clock, |settings| settings.revoked_file = Some(path.clone()));
    publish(&identity, 0, &testing::jwks());
    let (token, other) = (P256.token(&testing::claims()), STRANGER.token(&testing::claims()));
    let last = LastToken::default();
    let again = |token: &str| identity.recognise(token.as_bytes(), &last).map(|verdict| verdict.map(drop));

    assert_eq!(again(&token), None, "nobody has verified it");
    assert!(admit(&identity, &token).is_ok());
    assert_eq!([again(&token), again(&token)], [const { Some(Ok(())) }; 2]);
    assert!(last.get(token.as_bytes()).is_some() && last.get(&token.as_bytes()[1..]).is_none());
    let [one, two] = ["1", "2"].map(|jti| P256.token(&with(testing::claims(), json!({"jti": jti}))));
    assert!(admit(&identity, &one).is_ok() && admit(&identity, &two).is_ok());
    assert_eq!([again(&one), again(&two), again(&one)], [const { Some(Ok(())) }; 3]);
    assert!([&one, &two].iter().all(|token| last.get(token.as_bytes()).is_none()), "no two in a row");
    assert_eq!([again(&other), again(&token[1..]), again("")], [None, None, None]);

    revoke(&identity, "sub:sso:alice\n");
    assert_eq!(again(&token), Some(refused(Reason::Revoked)));
    revoke(&identity, "");
    assert_eq!(again(&token), Some(Ok(())));

    publish(&identity, 0, &[ED25519.jwk()]);
    assert_eq!([again(&token), again(&token)], [None, None]);
    publish(&identity, 0, &testing::jwks());
    assert_eq!(again(&token), None, "it was forgotten");

    assert!(admit(&identity, &token).is_ok());
    assert_eq!(again(&token), Some(Ok(())));
    clock.step_wall_to(testing::now() - Duration::from_secs(86_400));
    assert!(matches!(again(&token), Some(Err(_))), "a clock that steps back is noticed, too");
    clock.step_wall_to(testing::now());
    assert_eq!(again(&token), Some(Ok(())));
    clock.advance(Duration::from_secs(600 + 30));
    assert_eq!([again(&token), again(&token)], [Some(refused(Reason::Expired)), None]);
}

#[test]
fn a_large_token_is_known_but_kept_for_no_connection() {
    let identity = ready(&clock());
    let groups: Vec<_> = (0..200).map(|number| format!("group-{number}")).collect();
    let token = P256.token(&with(testing::claims(), json!({"groups": groups})));
    let last = LastToken::default();
    assert!(admit(&identity, &token).is_ok());

    assert!((0..3).all(|_| identity.recognise(token.as_bytes(), &last).is_some()));

    assert!(last.get(token.as_bytes()).is_none());
    assert_eq!(format!("{last:?}"), "LastToken");
}

#[test]
fn only_what_was_accepted_is_known_and_only_to_the_last_character() {
    let identity = ready(&clock());
    let (good, bad) = (P256.token(&testing::claims()), STRANGER.token(&testing::claims()));
    assert!(admit(&identity, &good).is_ok() && admit(&identity, &bad).is_err());

    assert!(identity.recognise(good.as_bytes(), &LastToken::default()).is_some());
    assert_eq!(identity.recognise(bad.as_bytes(), &LastToken::default()), None);
    for at in 0..good.len() {
        let other = if good.as_bytes()[at] == b'A' { 'B' } else { 'A' };
        let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
        assert_eq!(identity.recognise(changed.as_bytes(), &LastToken::default()), None, "{at}");
    }
    assert_eq!(identity.recognise(&good.as_bytes()[..good.len() - 1], &LastToken::default()), None);
    assert_eq!(identity.recognise(format!("{good}=").as_bytes(), &LastToken::default()), None);
}
