//! What goes wrong on request, as a client sees it.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use sandbox::{Effect, Fault, Options, Sandbox, Target};

use crate::support::{Call, Connection, ask, ask_raw, authority, first_urls};

fn start() -> Sandbox {
    Sandbox::start(Options::default()).expect("starts")
}

#[test]
fn an_error_code_strikes_the_next_calls_and_no_more() {
    let sandbox = start();
    sandbox.control().inject(Fault::api_error("InternalError.InternalError").action("DescribeBackupUrl").times(2));

    let codes: Vec<String> = (0..3).map(|_| Call::urls(&sandbox).send().code()).collect();

    assert_eq!(codes, ["InternalError.InternalError", "InternalError.InternalError", ""]);
    assert!(sandbox.control().faults().is_empty());
}

#[test]
fn a_wrong_key_is_refused_as_such_whatever_error_was_asked_for() {
    let sandbox = start();
    sandbox.control().inject(Fault::api_error("InternalError.InternalError"));

    let code = Call { key: "wrong", ..Call::urls(&sandbox) }.send().code();

    assert_eq!(code, "AuthFailure.SignatureFailure");
}

#[test]
fn a_connection_can_be_cut_at_any_point() {
    let sandbox = start();
    let cut = |effect| {
        sandbox.control().inject(Fault::api(effect).times(1));
        Call::urls(&sandbox).send_raw()
    };

    assert!(cut(Effect::DropBeforeReading).is_none());
    assert!(cut(Effect::DropAfterReading).is_none());
    assert!(cut(Effect::Reset).is_none());
    let half = cut(Effect::CutAfterBytes(40)).expect("has a head");

    assert_eq!(half.body.len(), 40);
    assert_eq!(sandbox.control().counters().cut_before_reading, 1);
    // What was cut unread never arrived, as far as the cloud can tell.
    assert_eq!(sandbox.control().counters().calls_of("DescribeBackupUrl"), 3);
}

#[test]
fn a_body_can_be_anything() {
    let sandbox = start();
    let with = |effect| {
        sandbox.control().inject(Fault::api(effect).times(1));
        Call::urls(&sandbox).send()
    };

    let status = with(Effect::Status(503));
    let truncated = with(Effect::TruncateBody(30));
    let garbage = with(Effect::Garbage);
    let html = with(Effect::Html);
    let empty = with(Effect::EmptyBody);
    let typed = with(Effect::ContentType("text/plain".into()));
    let padded = with(Effect::PadBody(1_000_000));
    let redirect = with(Effect::Redirect("http://127.0.0.1:1/".into()));

    assert_eq!(status.status, 503);
    assert_eq!(truncated.body.len(), 30);
    assert!(serde_json::from_slice::<serde_json::Value>(&garbage.body).is_err());
    assert_eq!((html.status, html.header("content-type")), (200, Some("text/html")));
    assert!(empty.body.is_empty());
    assert_eq!(typed.header("content-type"), Some("text/plain"));
    assert!(padded.body.len() > 1_000_000 && padded.code().is_empty());
    assert_eq!((redirect.status, redirect.header("location")), (302, Some("http://127.0.0.1:1/")));
}

#[test]
fn a_hanging_answer_ends_with_the_client_or_with_the_sandbox() {
    let sandbox = start();
    sandbox.control().inject(Fault::api(Effect::Hang));
    sandbox.control().inject(Fault::new(Target::Storage, Effect::StallAfterBytes(10)));
    let mut hanging = TcpStream::connect(authority(&sandbox.api_url())).expect("connects");
    std::io::Write::write_all(&mut hanging, &Call::urls(&sandbox).request()).expect("sends");
    hanging.set_read_timeout(Some(Duration::from_millis(100))).expect("takes a timeout");

    let nothing = hanging.read(&mut [0; 16]).map_err(|error| error.kind());
    drop(sandbox);
    hanging.set_read_timeout(Some(Duration::from_secs(5))).expect("takes a timeout");
    let end = hanging.read(&mut [0; 16]);

    assert_eq!(nothing, Err(std::io::ErrorKind::WouldBlock));
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[test]
fn a_slow_body_arrives_whole() {
    let sandbox = start();
    let whole = Call::urls(&sandbox).send().body.len();
    sandbox.control().inject(Fault::api(Effect::SlowBody { chunk_bytes: whole / 4, pause_ms: 20 }));

    let answer = Call::urls(&sandbox).send();

    assert_eq!(answer.code(), "");
    assert_eq!(answer.body.len(), whole);
}

#[test]
fn a_connection_can_close_after_an_answer_that_promised_more() {
    let sandbox = start();
    sandbox.control().inject(Fault::api(Effect::CloseAfterAnswer).times(1));
    let call = Call::urls(&sandbox);
    let mut connection = Connection::to(&call.url);
    connection.send(&call.request());

    let first = connection.receive(false).expect("is answered");

    assert_eq!(first.header("connection"), Some("keep-alive"));
    assert!(connection.receive(false).is_none());
}

#[test]
fn the_issuer_and_the_storage_misbehave_too() {
    let sandbox = start();
    let control = sandbox.control();
    let jwks = format!("{}/jwks", sandbox.issuer_url());
    let discovery = format!("{}/.well-known/openid-configuration", sandbox.issuer_url());
    let (url, _) = first_urls(&Call::urls(&sandbox).send());

    control.inject(Fault::new(Target::Jwks, Effect::EmptyKeySet).times(1));
    control.inject(Fault::new(Target::Jwks, Effect::Status(500)).times(1));
    control.inject(Fault::new(Target::Discovery, Effect::Issuer("http://evil.example".into())).times(1));
    control.inject(Fault::new(Target::Storage, Effect::DropAfterReading).times(1));

    assert_eq!(ask("GET", &jwks, "").text(), r#"{"keys":[]}"#);
    assert_eq!(ask("GET", &jwks, "").status, 500);
    assert_eq!(ask("GET", &jwks, "").json()["keys"].as_array().map(Vec::len), Some(3));
    assert_eq!(ask("GET", &discovery, "").json()["issuer"], "http://evil.example");
    assert!(ask_raw("GET", &url, "").is_none());
    assert_eq!(control.counters().key_set_reads, 3);
}
