//! `/readyz`, part by part: 503 for what another replica does better, `degraded` with 200 for what all of them share.

use sandbox::{Effect, Fault, Options, Sandbox, Target};
use serde_json::{Value, json};

use crate::harness::{Answer, Gateway, Stage, eventually, urls_path};

fn ready(gateway: &Gateway) -> Answer {
    gateway.ask(gateway.admin, "GET", "/readyz", &[])
}

/// What `/readyz` says while all is well.
fn all_is_well() -> Value {
    json!({
        "status": "ready", "draining": false, "audit": "ok", "credentials": "ok", "upstream": "ok",
        "issuers": [{"name": "sandbox", "keys": "ok"}],
    })
}

/// The same but for some members.
fn but(change: Value) -> Value {
    let mut expected = all_is_well();
    let Value::Object(members) = change else { panic!("{change}") };
    expected.as_object_mut().unwrap().extend(members);
    expected
}

#[test]
fn while_all_is_well_every_part_says_so_and_nobody_keeps_the_answer() {
    let stage = Stage::new();

    let answer = ready(&stage.gateway);

    assert_eq!((answer.status, answer.json()), (200, all_is_well()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn a_gateway_that_drains_is_not_ready() {
    let stage = Stage::with("GATEWAY_SERVER__DRAIN_DELAY=10m");

    stage.gateway.signal("TERM");
    eventually("it is not ready", || ready(&stage.gateway).status == 503);

    let answer = ready(&stage.gateway);
    assert_eq!(answer.json(), but(json!({"status": "not_ready", "draining": true})));
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn without_the_keys_of_any_issuer_it_is_not_ready() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    sandbox.control().inject(Fault::new(Target::Jwks, Effect::Status(500)));
    let gateway = Gateway::start_unready(&sandbox, "");

    let answer = ready(&gateway);

    let expected = but(json!({"status": "not_ready", "issuers": [{"name": "sandbox", "keys": "missing"}]}));
    assert_eq!((answer.status, answer.json()), (503, expected));
}

#[test]
fn while_no_record_can_be_written_it_is_not_ready() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let stage = Stage::with_stdout(full.into(), "");
    stage.get(&stage.seed_path()).assert_problem(503, "unavailable");

    let answer = ready(&stage.gateway);

    assert_eq!((answer.status, answer.json()), (503, but(json!({"status": "not_ready", "audit": "failing"}))));
}

#[test]
fn an_upstream_that_is_left_alone_is_named_and_takes_no_replica_out() {
    let stage = Stage::with("GATEWAY_TENCENT__MAX_RETRIES=0");
    stage.control().inject(Fault::api(Effect::Status(500)));

    // One more than opens the circuit, and each for a backup of its own, since failures are not shared over time.
    for number in 0..6 {
        assert!(stage.get(&urls_path(&format!("synthetic-{number}"))).status >= 500);
    }
    let failing = ready(&stage.gateway);
    stage.control().clear_faults();
    eventually("the upstream is asked again", || stage.get(&urls_path("synthetic-10")).status == 200);
    let well = ready(&stage.gateway);

    assert_eq!((failing.status, failing.json()), (200, but(json!({"status": "degraded", "upstream": "failing"}))));
    assert_eq!((well.status, well.json()), (200, all_is_well()));
}
