//! The control port: the handle over HTTP.

use sandbox::{Options, Sandbox, credential};

use crate::support::{Call, ask};

fn start() -> (Sandbox, String) {
    let sandbox = Sandbox::start(Options::default()).expect("starts");
    let url = sandbox.control_url();
    (sandbox, url)
}

#[test]
fn settings_are_patched_and_reset() {
    let (sandbox, url) = start();

    let patched =
        ask("PATCH", &format!("{url}/settings"), r#"{"requests_per_second":5,"urls":{"lifetime_s":8}}"#).json();
    ask("POST", &format!("{url}/reset"), "");

    assert_eq!((&patched["requests_per_second"], &patched["urls"]["lifetime_s"]), (&5.into(), &8.into()));
    assert_eq!(sandbox.control().settings(), sandbox::Settings::default());
}

#[test]
fn a_mistake_is_named_and_changes_nothing() {
    let (sandbox, url) = start();

    let setting = ask("PATCH", &format!("{url}/settings"), r#"{"latency":5}"#);
    let fault = ask("POST", &format!("{url}/faults"), r#"{"on":"api","effect":{"statuz":500}}"#);
    let route = ask("GET", &format!("{url}/nowhere"), "");

    assert_eq!((setting.status, fault.status, route.status), (400, 400, 404));
    assert!(setting.text().contains("latency") && fault.text().contains("statuz"));
    assert_eq!(sandbox.control().settings(), sandbox::Settings::default());
}

#[test]
fn faults_are_posted_one_or_many_and_deleted() {
    let (sandbox, url) = start();

    ask(
        "POST",
        &format!("{url}/faults"),
        r#"{"on":"api","times":1,"effect":{"error":{"code":"FailedOperation.SystemError"}}}"#,
    );
    ask("POST", &format!("{url}/faults"), r#"[{"on":"jwks","effect":"hang"},{"on":"api","effect":"garbage"}]"#);
    let code = Call::urls(&sandbox).send().code();
    let left = ask("GET", &format!("{url}/faults"), "").json();
    ask("DELETE", &format!("{url}/faults"), "");

    assert_eq!(code, "FailedOperation.SystemError");
    assert_eq!(left.as_array().map(Vec::len), Some(2));
    assert!(sandbox.control().faults().is_empty());
}

#[test]
fn counters_and_requests_are_told_without_secrets() {
    let (sandbox, url) = start();
    Call::urls(&sandbox).send();

    let counters = ask("GET", &format!("{url}/counters"), "").json();
    let requests = ask("GET", &format!("{url}/requests"), "").text();
    ask("DELETE", &format!("{url}/counters"), "");

    assert_eq!(counters["calls"]["DescribeBackupUrl"], 1);
    assert_eq!(counters["backups"]["crs-4y9t57vt/678362566696298532848117"], 1);
    assert!(requests.contains("X-TC-Action") && !requests.contains("Signature="));
    assert!(sandbox.control().requests().is_empty());
    assert_eq!(sandbox.control().counters().calls_of("DescribeBackupUrl"), 0);
}

#[test]
fn the_clock_of_the_cloud_can_be_set() {
    let (sandbox, url) = start();

    ask("POST", &format!("{url}/clock"), r#"{"unix":1551952863}"#);
    let skewed = Call::urls(&sandbox).send();
    let in_its_time = Call { at: 1_551_952_870, ..Call::urls(&sandbox) }.send();

    assert_eq!(skewed.code(), "AuthFailure.SignatureExpire");
    assert!(skewed.header("date").is_some_and(|date| date.starts_with("Thu, 07 Mar 2019")));
    assert_eq!(in_its_time.code(), "");
}

#[test]
fn keys_of_the_api_come_and_go_and_those_of_the_issuer_turn() {
    let (sandbox, url) = start();
    let key = r#"{"secret_id":"AKIDnew","secret_key":"new","token":null,"account":"backup-reader"}"#;

    ask("POST", &format!("{url}/credentials"), key);
    let removed = ask("DELETE", &format!("{url}/credentials/{}", credential::SECRET_ID), "");
    let unknown = ask("DELETE", &format!("{url}/credentials/AKIDnobody"), "");
    let rotated = ask("POST", &format!("{url}/keys/rotate"), r#"{"old":"drop"}"#);
    let token = ask("POST", &format!("{url}/token"), r#"{"sub":"alice","alg":"EdDSA"}"#);

    assert_eq!((removed.status, unknown.status, rotated.status, token.status), (200, 404, 200, 200));
    assert_eq!(Call { id: "AKIDnew", key: "new", ..Call::urls(&sandbox) }.send().code(), "");
    assert_eq!(Call::urls(&sandbox).send().code(), "AuthFailure.SecretIdNotFound");
}

#[test]
fn the_overview_names_every_listener_and_no_key() {
    let (sandbox, url) = start();

    let overview = ask("GET", &url, "");

    assert_eq!(overview.json()["endpoints"]["ordinary"], sandbox.api_url());
    assert_eq!(overview.json()["storage"], sandbox.storage_url());
    assert!(!overview.text().contains(credential::SECRET_KEY));
}
