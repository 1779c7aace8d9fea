use super::*;
use serde_json::Value;

/// The vectors were made with the official Python SDK; none of them with a line of this project.
fn vectors() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../tests/signing-vectors.json")).expect("JSON");
    all["tc3"].as_array().expect("a list").clone()
}

fn text<'a>(vector: &'a Value, member: &str) -> &'a str {
    vector[member].as_str().unwrap_or_default()
}

fn head_of(vector: &Value) -> Head {
    let mut headers: Vec<_> = vector["headers"]
        .as_object()
        .expect("headers")
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned()))
        .collect();
    if headers.iter().all(|(name, _)| name != "Authorization") {
        headers.push(("Authorization".into(), authorization_of(vector)));
    }
    Head::new(text(vector, "method"), &format!("/?{}", text(vector, "query")), headers)
}

/// Two vectors come without the header, but with all that stands in it.
fn authorization_of(vector: &Value) -> String {
    if let Some(authorization) = vector["authorization"].as_str() {
        return authorization.to_owned();
    }
    let canonical: Vec<&str> = text(vector, "canonical_request").split('\n').collect();
    format!(
        "TC3-HMAC-SHA256 Credential={}/{}/{}/tc3_request, SignedHeaders={}, Signature={}",
        text(vector, "secret_id"),
        text(vector, "date_utc"),
        text(vector, "service"),
        canonical[canonical.len() - 2],
        text(vector, "signature")
    )
}

fn key_of(vector: &Value) -> Key {
    Key {
        secret_key: text(vector, "secret_key").into(),
        token: vector["token"].as_str().map(Into::into),
        expires_at: None,
    }
}

fn verify_vector(vector: &Value, head: &Head, now: i64) -> Result<(), String> {
    let find = |id: &str| (id == text(vector, "secret_id")).then(|| key_of(vector));
    verify(head, text(vector, "body").as_bytes(), text(vector, "service"), now, find).map_err(|e| e.code.into_owned())
}

fn now_of(vector: &Value) -> i64 {
    vector["timestamp"].as_i64().expect("a timestamp")
}

fn basic() -> Value {
    vectors().into_iter().find(|vector| vector["name"] == "redis-basic").expect("is there")
}

/// The basic vector with one header changed.
fn with(name: &str, value: Option<&str>) -> Head {
    let vector = basic();
    let mut headers: Vec<_> = head_of(&vector).headers().to_vec();
    headers.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
    headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    Head::new("POST", "/", headers)
}

fn refusal(head: &Head) -> String {
    verify_vector(&basic(), head, now_of(&basic())).expect_err("is refused")
}

#[test]
fn all_thirteen_vectors_pass_stage_by_stage() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 13);
    for vector in vectors {
        let (name, head) = (text(&vector, "name"), head_of(&vector));
        let authorization = Authorization::of(&head).expect("parses");
        let scope = format!("{}/{}/tc3_request", text(&vector, "date_utc"), text(&vector, "service"));

        let canonical = canonical_request(&head, &authorization.signed_headers, text(&vector, "body").as_bytes());
        let canonical = canonical.expect("can be made");
        let to_sign = string_to_sign(now_of(&vector), &scope, &canonical);
        let signed =
            signature(text(&vector, "secret_key"), text(&vector, "date_utc"), text(&vector, "service"), &to_sign);

        assert_eq!(canonical, text(&vector, "canonical_request"), "{name}");
        assert_eq!(to_sign, text(&vector, "string_to_sign"), "{name}");
        assert_eq!(signed, text(&vector, "signature"), "{name}");
        assert_eq!(verify_vector(&vector, &head, now_of(&vector)), Ok(()), "{name}");
    }
}

#[test]
fn a_timestamp_is_good_for_five_minutes_either_way() {
    let (vector, head) = (basic(), head_of(&basic()));
    let at = |offset: i64| verify_vector(&vector, &head, now_of(&vector) + offset);

    assert_eq!([at(-300), at(300)], [Ok(()), Ok(())]);
    assert_eq!(
        [at(-301), at(301)],
        [Err("AuthFailure.SignatureExpire".into()), Err("AuthFailure.SignatureExpire".into())]
    );
}

#[test]
fn a_scope_of_another_date_is_a_bad_signature() {
    let vector = basic();
    let eight_hours_ahead = authorization_of(&vector).replace("2019-03-07", "2019-03-08");

    assert_eq!(refusal(&with("Authorization", Some(&eight_hours_ahead))), "AuthFailure.SignatureFailure");
}

#[test]
fn what_is_signed_cannot_be_changed() {
    let vector = basic();
    let other_body = verify(&head_of(&vector), b"{}", "redis", now_of(&vector), |_| Some(key_of(&vector)));

    assert_eq!(refusal(&with("Host", Some("redis.tencentcloudapi.com:443"))), "AuthFailure.SignatureFailure");
    assert_eq!(refusal(&with("Content-Type", Some("application/json; charset=utf-8"))), "AuthFailure.SignatureFailure");
    assert_eq!(refusal(&with("Content-Type", Some("Application/json"))), "AuthFailure.SignatureFailure");
    assert_eq!(refusal(&with("X-TC-Timestamp", Some("1551952864"))), "AuthFailure.SignatureFailure");
    assert_eq!(other_body.expect_err("is refused").code, "AuthFailure.SignatureFailure");
}

#[test]
fn a_wrong_key_and_an_unknown_id_are_told_apart() {
    let (vector, head) = (basic(), head_of(&basic()));
    let by = |key: Option<Key>| {
        let refused = verify(&head, text(&vector, "body").as_bytes(), "redis", now_of(&vector), |_| key);
        refused.expect_err("is refused").code.into_owned()
    };

    assert_eq!(
        by(Some(Key { secret_key: "other".into(), token: None, expires_at: None })),
        "AuthFailure.SignatureFailure"
    );
    assert_eq!(by(None), "AuthFailure.SecretIdNotFound");
}

#[test]
fn a_temporary_key_needs_its_token_and_another_key_has_none() {
    let vector = vectors().into_iter().find(|vector| vector["name"] == "redis-token").expect("is there");
    let mut headers = head_of(&vector).headers().to_vec();
    headers.retain(|(name, _)| name != "X-TC-Token");
    let without = Head::new("POST", "/", headers);

    assert_eq!(verify_vector(&vector, &without, now_of(&vector)), Err("AuthFailure.TokenFailure".into()));
    assert_eq!(refusal(&with("X-TC-Token", Some("anything"))), "AuthFailure.TokenFailure");
}

#[test]
fn an_authorization_in_another_form_is_refused() {
    let good = authorization_of(&basic());
    let malformed = [
        good.replace("TC3-HMAC-SHA256", "TC3-HMAC-SHA1"),
        good.replace("tc3_request", "tc4_request"),
        good.replace("/redis/", "/cvm/"),
        good.replace("/redis/", "/"),
        good.replace("content-type;host", "host;content-type"),
        good.replace("content-type;host", "Content-Type;host"),
        good.replace("content-type;host", "content-type;content-type;host"),
        good.replace("content-type;host", "host"),
        good.replace("content-type;host", "content-type;host;x-tc-missing"),
        good.replace(", Signature=", ", Signatur="),
        format!("{good}, Signature=00"),
        String::new(),
    ];

    for authorization in malformed {
        let code = refusal(&with("Authorization", Some(&authorization)));
        assert_eq!(code, "AuthFailure.InvalidAuthorization", "{authorization}");
    }
}

#[test]
fn what_is_missing_is_named_as_missing() {
    assert_eq!(refusal(&with("Authorization", None)), "MissingParameter");
    assert_eq!(refusal(&with("X-TC-Timestamp", None)), "MissingParameter");
    assert_eq!(refusal(&with("X-TC-Timestamp", Some("yesterday"))), "InvalidParameter");
    assert_eq!(refusal(&with("Content-Type", None)), "AuthFailure.InvalidAuthorization");
}

#[test]
fn a_header_that_stands_twice_is_refused() {
    let mut headers = head_of(&basic()).headers().to_vec();
    headers.push(("host".into(), "redis.tencentcloudapi.com".into()));

    assert_eq!(refusal(&Head::new("POST", "/", headers)), "AuthFailure.InvalidAuthorization");
}

#[test]
fn a_temporary_key_is_good_until_the_second_of_its_end() {
    let vector = basic();
    let now = now_of(&vector);
    let verdict = |end: i64| {
        let find = |_: &str| Some(Key { expires_at: Some(end), ..key_of(&vector) });
        verify(&head_of(&vector), text(&vector, "body").as_bytes(), text(&vector, "service"), now, find)
            .map_err(|error| error.code.into_owned())
    };

    assert_eq!(verdict(now + 1), Ok(()));
    assert_eq!(verdict(now), Err("AuthFailure.TokenFailure".to_owned()));
}
