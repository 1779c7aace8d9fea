//! Temporary keys: the role of a server, and the token service.

use sandbox::{Effect, Fault, Options, Sandbox, Target, credential, known};
use serde_json::{Value, json};

use crate::support::{Answer, Call, Connection, ask, authority};

const ROLES: &str = "/latest/meta-data/cam/security-credentials/";

fn start() -> Sandbox {
    Sandbox::start(Options::default()).expect("starts")
}

fn role_key(sandbox: &Sandbox) -> Value {
    let roles = format!("{}{ROLES}", sandbox.metadata_url());
    let role = ask("GET", &roles, "").text();
    ask("GET", &format!("{roles}{role}"), "").json()
}

/// The call with the temporary key of an answer; the test's strings live as long as the test.
fn call_with(sandbox: &Sandbox, key: &Value) -> Call {
    let text = |name: &str| -> &'static str { key[name].as_str().expect("text").to_owned().leak() };
    Call { id: text("TmpSecretId"), key: text("TmpSecretKey"), token: Some(text("Token")), ..Call::urls(sandbox) }
}

fn assume(sandbox: &Sandbox, change: impl FnOnce(Call) -> Call) -> Answer {
    let body = json!({"RoleArn": known::ROLE_ARN, "RoleSessionName": "tests", "DurationSeconds": 600});
    let call = Call {
        url: sandbox.sts_url(),
        service: "sts",
        version: "2018-08-13",
        ..Call::new(sandbox, "AssumeRole", &body)
    };
    change(call).send()
}

fn assume_with_web_identity(sandbox: &Sandbox, authorization: &str, token: &str) -> Answer {
    let body = json!({"ProviderId": known::OIDC_PROVIDER, "WebIdentityToken": token, "RoleArn": known::ROLE_ARN,
                      "RoleSessionName": "tests", "DurationSeconds": 7200})
    .to_string();
    let url = sandbox.sts_url();
    let mut connection = Connection::to(&url);
    connection.send(
        format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             X-TC-Action: AssumeRoleWithWebIdentity\r\nX-TC-Version: 2018-08-13\r\nX-TC-Region: ap-guangzhou\r\n\
             X-TC-Timestamp: 0\r\nAuthorization: {authorization}\r\n\r\n{body}",
            authority(&url),
            body.len()
        )
        .as_bytes(),
    );
    connection.receive(false).expect("is answered")
}

#[test]
fn the_role_of_a_server_has_a_key_that_the_api_takes() {
    let sandbox = start();

    let key = role_key(&sandbox);

    assert_eq!(key["Code"], "Success");
    assert_eq!(call_with(&sandbox, &key).send().code(), "");
    assert_eq!(Call { token: None, ..call_with(&sandbox, &key) }.send().code(), "AuthFailure.TokenFailure");
    assert_eq!(role_key(&sandbox), key);
    assert_eq!(sandbox.control().counters().metadata_reads, 4);
}

#[test]
fn the_role_gets_another_key_and_the_one_before_stays_good_until_it_is_removed() {
    let sandbox = start();
    let before = role_key(&sandbox);

    let id = sandbox.control().rotate_role_key().expect("there was one");
    let after = role_key(&sandbox);

    assert_eq!(before["TmpSecretId"], id.as_str());
    assert_ne!(after["TmpSecretId"], before["TmpSecretId"]);
    assert_eq!(call_with(&sandbox, &before).send().code(), "");
    assert!(sandbox.control().remove_credential(&id));
    assert_eq!(call_with(&sandbox, &before).send().code(), "AuthFailure.SecretIdNotFound");
    assert_eq!(call_with(&sandbox, &after).send().code(), "");
}

#[test]
fn a_server_without_a_role_has_no_key() {
    let sandbox = start();
    sandbox.control().update(|settings| settings.role.name.clear());

    assert_eq!(ask("GET", &format!("{}{ROLES}", sandbox.metadata_url()), "").status, 404);
}

#[test]
fn a_key_ends_by_the_clouds_clock() {
    let sandbox = start();
    let key = role_key(&sandbox);
    let at = crate::support::now() + 7200;

    sandbox.control().set_cloud_clock(at);

    assert_eq!(Call { at, ..call_with(&sandbox, &key) }.send().code(), "AuthFailure.TokenFailure");
}

#[test]
fn a_role_is_assumed_with_a_signature_for_the_token_service() {
    let sandbox = start();

    let assumed = assume(&sandbox, |call| call).json()["Response"].clone();

    assert_eq!(call_with(&sandbox, &assumed["Credentials"]).send().code(), "");
    assert!(assumed["ExpiredTime"].as_i64().expect("a time") > crate::support::now() + 500);
    assert_eq!(assume(&sandbox, |call| Call { service: "redis", ..call }).code(), "AuthFailure.InvalidAuthorization");
    assert_eq!(assume(&sandbox, |call| Call { key: "wrong", ..call }).code(), "AuthFailure.SignatureFailure");
    let other = json!({"RoleArn": "qcs::cam::uin/1:roleName/other", "RoleSessionName": "tests"}).to_string();
    assert_eq!(assume(&sandbox, |call| Call { body: other, ..call }).code(), "ResourceNotFound.RoleNotFound");
    assert_eq!(sandbox.control().counters().sts_calls_of("AssumeRole"), 4);
}

#[test]
fn a_web_identity_is_taken_without_a_signature_and_only_the_right_one() {
    let sandbox = start();

    let assumed = assume_with_web_identity(&sandbox, "SKIP", known::WEB_IDENTITY_TOKEN).json()["Response"].clone();

    assert_eq!(call_with(&sandbox, &assumed["Credentials"]).send().code(), "");
    assert_eq!(assume_with_web_identity(&sandbox, "SKIP", "other").code(), "InvalidParameter.WebIdentityTokenError");
    let signed = assume_with_web_identity(&sandbox, "TC3-HMAC-SHA256 x", known::WEB_IDENTITY_TOKEN);
    assert_eq!(signed.code(), "AuthFailure.InvalidAuthorization");
}

#[test]
fn both_misbehave_on_request() {
    let sandbox = start();
    let control = sandbox.control();
    control.inject(Fault::new(Target::Metadata, Effect::Status(500)).times(1));
    let code = "InternalError.DbError".to_owned();
    control.inject(Fault::new(Target::Sts, Effect::Error { code: code.clone(), message: String::new() }).times(1));

    assert_eq!(ask("GET", &format!("{}{ROLES}", sandbox.metadata_url()), "").status, 500);
    assert_eq!(assume(&sandbox, |call| call).code(), code);
    assert_eq!(assume(&sandbox, |call| call).code(), "");
}

#[test]
fn issued_secrets_are_known_by_how_they_begin() {
    let sandbox = start();

    let key = role_key(&sandbox);

    assert!(key["TmpSecretKey"].as_str().expect("text").starts_with(credential::ISSUED_SECRET_KEY));
    assert!(key["Token"].as_str().expect("text").starts_with(credential::ISSUED_TOKEN));
}
