//! The requests of the official SDK, byte for byte, on the wire.

use sandbox::{Credential, Options, Sandbox};
use serde_json::Value;

use crate::support::Connection;

/// The vectors that are calls of the redis API by POST; two belong to another product, one is a GET.
fn vectors() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../signing-vectors.json")).expect("JSON");
    let is_call = |vector: &&Value| vector["service"] == "redis" && vector["method"] == "POST";
    all["tc3"].as_array().expect("a list").iter().filter(is_call).cloned().collect()
}

fn text<'a>(vector: &'a Value, member: &str) -> &'a str {
    vector[member].as_str().unwrap_or_default()
}

/// Sends a vector's request with this body and gives the code of the answer.
fn code_of(sandbox: &Sandbox, vector: &Value, body: &str) -> String {
    let headers: String = vector["headers"]
        .as_object()
        .expect("headers")
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", value.as_str().expect("text")))
        .collect();
    let url = if text(vector, "region").ends_with("-fsi") { sandbox.fsi_url() } else { sandbox.api_url() };
    let mut connection = Connection::to(&url);
    connection.send(format!("POST / HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    connection.receive(false).expect("is answered").code()
}

#[test]
fn what_the_official_sdk_signed_is_accepted_in_its_time_and_not_when_changed() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 9);
    let sandbox = Sandbox::start(Options::default()).expect("starts");
    for vector in vectors {
        let mut key = Credential::new(text(&vector, "secret_id"), text(&vector, "secret_key"), "vectors");
        key.token = vector["token"].as_str().map(Into::into);
        sandbox.control().add_credential(key);
        sandbox.control().set_cloud_clock(vector["timestamp"].as_i64().expect("a time"));
        let body = text(&vector, "body");

        let as_signed = code_of(&sandbox, &vector, body);
        let changed = code_of(&sandbox, &vector, &format!("{body} "));

        let name = text(&vector, "name");
        assert!(!as_signed.starts_with("AuthFailure"), "{name}: {as_signed}");
        if name == "redis-unsigned-payload" {
            assert_eq!(changed, as_signed);
        } else {
            assert_eq!(changed, "AuthFailure.SignatureFailure", "{name}");
        }
    }
}
