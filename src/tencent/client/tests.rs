use std::{cell::RefCell, collections::BTreeMap, io, net::TcpListener, num::NonZero, path::Path};

use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::{
    domain::clock::from_unix_seconds,
    outbound::test_peer::{Peer, Reply, ok, on_worker},
    tencent::{
        credentials,
        endpoint::{Endpoint, Endpoints},
        error::{Class, Defect, Unreachable},
        request::REQUEST_CLIENT,
        tc3::{Method, Payload, Request, Scope},
        wire::SignedUrl,
    },
};

const SECRET_ID: &str = "AKIDtestFAKE";
const SECRET_KEY: &str = "FAKEsecretKEY";
const TOKEN: &str = "FAKEtoken/with+chars==";

/// 2019-03-07T10:01:03Z.
const NOW_S: u64 = 1_551_952_863;

const LONG: Duration = Duration::from_secs(10);

/// A client whose only endpoint is `origin`, with the steps that it reports.
struct Harness {
    client: Client,
    steps: RefCell<Vec<Progress>>,
}

impl Harness {
    fn new(origin: &str) -> Self {
        Self::with_roots(origin, &TlsRoots::load(None).unwrap())
    }

    fn with_roots(origin: &str, roots: &TlsRoots) -> Self {
        let endpoints = Endpoints { default: Endpoint::try_from(origin).unwrap(), by_region: BTreeMap::new() };
        let settings = Settings {
            account: "default".into(),
            regions: vec![region()],
            endpoints,
            connect_timeout: LONG,
            timeout: LONG,
            max_retries: 0,
            ca_file: None,
            credentials: credentials::Settings::default(),
            download: None,
        };
        let credentials = CredentialStore::of_test(SECRET_ID, SECRET_KEY, Some(TOKEN), None);
        let clock = Clock::manual(from_unix_seconds(NOW_S));
        Self { client: Client::new(Arc::new(settings), roots, credentials, clock), steps: RefCell::default() }
    }

    async fn urls_within(&self, timeout: Duration) -> Result<BackupUrls, CallError> {
        let backup = BackupId::try_from("678362566696298532848117").unwrap();
        let on_progress = |step| self.steps.borrow_mut().push(step);
        self.client.describe_backup_url(&region(), &instance(), &backup, timeout, on_progress).await
    }

    async fn urls(&self) -> Result<BackupUrls, CallError> {
        self.urls_within(LONG).await
    }

    /// The names of the steps since the last look.
    fn steps(&self) -> Vec<&'static str> {
        let name = |step| match step {
            Progress::HandedOver(_) => "handed over",
            Progress::Connecting(_) => "connecting",
            Progress::Answered { .. } => "answered",
        };
        self.steps.borrow_mut().drain(..).map(name).collect()
    }
}

fn region() -> Region {
    Region::try_from("ap-chengdu").unwrap()
}

fn instance() -> InstanceId {
    InstanceId::try_from("crs-4y9t57vt").unwrap()
}

fn answer(response: &serde_json::Value) -> Reply {
    Reply::Send(ok(&json!({ "Response": response }).to_string()))
}

fn good() -> Reply {
    answer(&json!({"DownloadUrl": ["https://p/k.rdb"], "InnerDownloadUrl": ["https://i/k.rdb"], "RequestId": "id-1"}))
}

/// The outcome of one call that the peer answers so.
fn outcome(reply: Reply) -> Result<BackupUrls, CallError> {
    on_worker(async {
        let peer = Peer::start([reply]).await;
        Harness::new(&peer.origin()).urls().await
    })
}

fn head(status: &str, rest: &str) -> Reply {
    Reply::Send(format!("HTTP/1.1 {status}\r\n{rest}").into_bytes())
}

#[test]
fn both_forms_of_an_answer_bring_the_files() {
    let newer = json!({"BackupInfos": [{"FileName": "k", "FileSize": 7, "DownloadUrl": "https://p/k.rdb"}]});

    let (older, newer) = (outcome(good()).unwrap(), outcome(answer(&newer)).unwrap());

    let exposed =
        |urls: &BackupUrls| -> Vec<String> { urls.urls().map(SignedUrl::expose).map(str::to_owned).collect() };
    assert_eq!(exposed(&older), ["https://p/k.rdb", "https://i/k.rdb"]);
    assert_eq!(older.request_id.as_str(), "id-1");
    assert_eq!(exposed(&newer), ["https://p/k.rdb"]);
    assert_eq!(newer.files().next().and_then(|file| file.size_bytes), NonZero::new(7));
}

#[test]
fn the_signature_fits_the_bytes_on_the_wire() {
    on_worker(async {
        let peer = Peer::start([good()]).await;

        Harness::new(&peer.origin()).urls().await.unwrap();

        let request = peer.requests().remove(0);
        let request = std::str::from_utf8(&request).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("POST / HTTP/1.1"));
        let mut headers: BTreeMap<&str, &str> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        let signed = Request {
            method: Method::Post,
            query: "",
            content_type: headers["content-type"],
            host: headers["host"],
            action: None,
            payload: Payload::Signed(body.as_bytes()),
        };
        let sent_at = from_unix_seconds(headers["x-tc-timestamp"].parse().unwrap());
        let expected = signed.authorization(SECRET_ID, &SecretString::from(SECRET_KEY), &Scope::at(sent_at, "redis"));
        assert_eq!(headers.remove("authorization"), Some(expected.as_str()));
        assert!(headers.remove("date").is_some());
        assert_eq!(body, r#"{"InstanceId":"crs-4y9t57vt","BackupId":"678362566696298532848117"}"#);
        assert_eq!(
            headers.into_iter().collect::<Vec<_>>(),
            [
                ("accept-encoding", "identity"),
                ("content-length", body.len().to_string().as_str()),
                ("content-type", "application/json; charset=utf-8"),
                ("host", peer.address.to_string().as_str()),
                ("x-tc-action", "DescribeBackupUrl"),
                ("x-tc-language", "en-US"),
                ("x-tc-region", "ap-chengdu"),
                ("x-tc-requestclient", REQUEST_CLIENT),
                ("x-tc-timestamp", "1551952863"),
                ("x-tc-token", TOKEN),
                ("x-tc-version", "2018-04-12"),
            ]
        );
    });
}

#[test]
fn listings_are_asked_for_and_read() {
    on_worker(async {
        let instances = json!({"TotalCount": 1, "InstanceSet": [{"InstanceId": "crs-4y9t57vt", "Status": 2}]});
        let backups = json!({"TotalCount": 1, "BackupSet": [{"BackupId": "b-1", "Status": 2}]});
        let peer = Peer::start([answer(&instances), answer(&backups)]).await;
        let client = Harness::new(&peer.origin()).client;
        let page = Page { offset: 0, limit: 20 };
        let filter = BackupFilter::default();

        let instances = client.describe_instances(&region(), page, LONG, |_| {}).await.unwrap();
        let backups =
            client.describe_instance_backups(&region(), &instance(), page, &filter, LONG, |_| {}).await.unwrap();

        assert_eq!(instances.items[0].id, instance());
        assert_eq!(backups.items[0].id.as_str(), "b-1");
        let requests: Vec<_> = peer.requests().into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect();
        assert!(requests[0].contains("x-tc-action: DescribeInstances\r\n"), "{}", requests[0]);
        assert!(requests[0].ends_with(r#"{"Limit":20,"Offset":0}"#), "{}", requests[0]);
        assert!(requests[1].contains("x-tc-action: DescribeInstanceBackups\r\n"), "{}", requests[1]);
        assert!(requests[1].ends_with(r#""Status":[1,2,-1,3,4]}"#), "{}", requests[1]);
    });
}

#[test]
fn the_first_call_reports_that_it_connects_and_the_next_does_not() {
    on_worker(async {
        let peer = Peer::start([good(), good()]).await;
        let harness = Harness::new(&peer.origin());

        harness.urls().await.unwrap();
        let first = harness.steps();
        harness.urls().await.unwrap();
        let second = harness.steps();

        assert_eq!(first, ["handed over", "connecting", "answered"]);
        assert_eq!(second, ["handed over", "answered"]);
    });
}

#[test]
fn the_upstreams_clock_is_reported() {
    on_worker(async {
        let mut dated = b"HTTP/1.1 200 OK\r\ndate: Thu, 07 Mar 2019 10:01:05 GMT\r\n".to_vec();
        let Reply::Send(undated) = good() else { panic!("bytes to send") };
        dated.extend_from_slice(undated.strip_prefix(b"HTTP/1.1 200 OK\r\n").unwrap());
        let peer = Peer::start([Reply::Send(dated)]).await;
        let harness = Harness::new(&peer.origin());

        harness.urls().await.unwrap();

        let last = harness.steps.borrow_mut().pop();
        let expected = Some(from_unix_seconds(NOW_S + 2));
        assert!(matches!(last, Some(Progress::Answered { date, .. }) if date == expected), "{last:?}");
    });
}

#[test]
fn an_error_in_a_200_is_a_refusal_whatever_its_content_type() {
    let error = json!({"Response": {"RequestId": "id-2", "Error": {
        "Code": "InvalidParameterValue.BackupNotExists", "Message": "no such backup"}}})
    .to_string();
    for content_type in ["application/json", "application/json; charset=utf-8", "text/html"] {
        let rest = format!("content-type: {content_type}\r\ncontent-length: {}\r\n\r\n{error}", error.len());

        let refused = outcome(head("200 OK", &rest)).unwrap_err();

        let expected = CallError::refused("InvalidParameterValue.BackupNotExists", "no such backup", "id-2");
        assert_eq!(refused, expected);
        assert!(matches!(refused, CallError::Refused { class: Class::BackupNotFound, .. }));
    }
}

#[test]
fn another_status_is_an_error_and_a_redirect_is_not_followed() {
    let length = "content-length: 0\r\n\r\n";
    assert_eq!(outcome(head("500 Oops", length)), Err(CallError::Status(500)));
    assert_eq!(outcome(head("204 No Content", "\r\n")), Err(CallError::Status(204)));
    assert_eq!(outcome(head("503 Busy", "content-length: 6\r\n\r\n<html>")), Err(CallError::Status(503)));
    let refusal = r#"{"Response":{"Error":{"Code":"InternalError"}}}"#;
    let rest = format!("content-length: {}\r\n\r\n{refusal}", refusal.len());
    assert_eq!(outcome(head("400 Bad", &rest)), Err(CallError::refused("InternalError", "", "")));
    on_worker(async {
        let elsewhere = Peer::start([good()]).await;
        let location = format!("location: {}/\r\ncontent-length: 0\r\n\r\n", elsewhere.origin());
        let peer = Peer::start([head("307 There", &location)]).await;

        let outcome = Harness::new(&peer.origin()).urls().await;

        assert_eq!(outcome, Err(CallError::Status(307)));
        assert_eq!(elsewhere.connections(), 0);
    });
}

#[test]
fn a_connection_that_is_refused_or_breaks_is_told_apart() {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let refused = on_worker(async { Harness::new(&format!("http://{free}")).urls().await });
    assert_eq!(refused, Err(CallError::Connect(Unreachable::Io(io::ErrorKind::ConnectionRefused))));

    let Reply::Send(mut truncated) = good() else { panic!("bytes to send") };
    truncated.truncate(truncated.len() - 1);
    assert_eq!(outcome(Reply::Reset), Err(CallError::Dropped));
    assert_eq!(outcome(Reply::SendAndClose(Vec::new())), Err(CallError::Dropped));
    assert_eq!(outcome(Reply::SendAndClose(b"HTTP/1.1 200 O".to_vec())), Err(CallError::Dropped));
    assert_eq!(outcome(Reply::SendAndClose(truncated)), Err(CallError::Dropped));
}

#[test]
fn garbage_is_not_an_answer() {
    let not_an_answer = Err(CallError::Malformed(Defect::NotAnAnswer));
    let cut_chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{\"Response\":{\"Do\r\n";
    assert_eq!(outcome(Reply::SendAndClose(b"\x16\x03\x01garbage\r\n\r\n".to_vec())), not_an_answer);
    assert_eq!(outcome(Reply::Send(ok("<html>"))), not_an_answer);
    assert_eq!(outcome(Reply::Send(ok(""))), not_an_answer);
    assert_eq!(outcome(Reply::SendAndClose(cut_chunks.into())), not_an_answer);
}

#[test]
fn an_answer_that_is_too_long_is_not_read() {
    let announced = format!("content-length: {}\r\n\r\n", ANSWER_LIMIT_BYTES + 1);
    let chunk = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n", ANSWER_LIMIT_BYTES + 1);
    let mut streamed = chunk.into_bytes();
    streamed.resize(streamed.len() + ANSWER_LIMIT_BYTES + 1, b' ');

    let too_long = Err(CallError::Malformed(Defect::TooLong));
    assert_eq!(outcome(head("200 OK", &announced)), too_long);
    assert_eq!(outcome(Reply::SendAndClose(streamed)), too_long);
}

#[test]
fn a_call_ends_at_the_shorter_of_both_timeouts() {
    let soon = Duration::from_millis(50);
    for reply in [Reply::Silence, head("200 OK", "content-length: 100\r\n\r\n{")] {
        on_worker(async {
            let peer = Peer::start([reply]).await;

            let outcome = Harness::new(&peer.origin()).urls_within(soon).await;

            assert_eq!(outcome, Err(CallError::Timeout));
        });
    }
}

#[test]
fn a_call_without_time_is_not_made() {
    on_worker(async {
        let peer = Peer::start([good()]).await;
        let harness = Harness::new(&peer.origin());

        let outcome = harness.urls_within(Duration::ZERO).await;

        assert_eq!(outcome, Err(CallError::Timeout));
        assert!(harness.steps().is_empty());
        assert_eq!(peer.connections(), 0);
    });
}

#[test]
fn a_failed_tls_handshake_says_so() {
    on_worker(async {
        // A peer that speaks plain HTTP to a client that expects TLS: the first bytes make no sense to it.
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        actix_web::rt::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        });
        let roots = TlsRoots::load(Some(Path::new("tests/vectors/tls/ca.pem"))).unwrap();

        let outcome = Harness::with_roots(&format!("https://127.0.0.1:{port}"), &roots).urls().await;

        assert!(matches!(outcome, Err(CallError::Connect(Unreachable::Tls(_)))), "{outcome:?}");
    });
}
