use std::net::TcpListener;

use super::{
    test_peer::{Peer, Reply, ok, on_worker, tls_server},
    *,
};

const SECOND: Duration = Duration::from_secs(1);

fn plain() -> awc::Client {
    client(&TlsRoots::load(None).unwrap(), SECOND, SECOND)
}

/// One call with its body read; whether it opened a connection.
async fn call(client: &awc::Client, url: &str) -> bool {
    let mut opened = false;
    let mut response = watch_connections(client.get(url).send(), || opened = true).await.unwrap();
    read_body(&mut response, 1024).await.unwrap();
    opened
}

#[test]
fn the_first_call_opens_a_connection_and_the_next_uses_it() {
    on_worker(async {
        let peer = Peer::start([Reply::Send(ok("1")), Reply::Send(ok("2"))]).await;
        let client = plain();

        let opened = [call(&client, &peer.origin()).await, call(&client, &peer.origin()).await];

        assert_eq!(opened, [true, false]);
        assert_eq!(peer.connections(), 1);
    });
}

#[test]
fn a_connection_that_the_server_closed_is_opened_again() {
    on_worker(async {
        let peer = Peer::start([Reply::SendAndClose(ok("1")), Reply::Send(ok("2"))]).await;
        let client = plain();

        let first = call(&client, &peer.origin()).await;
        peer.closed().await;
        let second = call(&client, &peer.origin()).await;

        assert_eq!([first, second], [true, true]);
        assert_eq!(peer.connections(), 2);
    });
}

#[test]
fn calls_side_by_side_each_know_about_their_own_connection() {
    on_worker(async {
        let peer = Peer::start([Reply::Send(ok("1")), Reply::Send(ok("2")), Reply::Send(ok("3"))]).await;
        let client = plain();
        call(&client, &peer.origin()).await;

        let (first, second) =
            futures_util::future::join(call(&client, &peer.origin()), call(&client, &peer.origin())).await;

        assert_eq!([first, second], [false, true]);
    });
}

#[test]
fn a_refused_connection_was_an_attempt_to_open_one() {
    on_worker(async {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let mut opened = false;

        let outcome = watch_connections(plain().get(format!("http://{free}")).send(), || opened = true).await;

        assert!(outcome.is_err());
        assert!(opened);
    });
}

#[test]
fn a_reset_is_an_error_and_not_tried_again() {
    on_worker(async {
        let peer = Peer::start([Reply::Reset, Reply::Send(ok(""))]).await;

        let outcome = plain().get(peer.origin()).send().await;

        assert!(outcome.is_err());
        assert_eq!(peer.requests().len(), 1);
    });
}

#[test]
fn a_redirect_is_an_answer_and_not_followed() {
    on_worker(async {
        let elsewhere = Peer::start([]).await;
        let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.origin());
        let peer = Peer::start([Reply::Send(redirect.into_bytes())]).await;

        let response = plain().get(peer.origin()).send().await.unwrap();

        assert_eq!(response.status().as_u16(), 302);
        assert_eq!(elsewhere.connections(), 0);
    });
}

#[test]
fn nothing_is_sent_beyond_what_http_needs() {
    on_worker(async {
        let peer = Peer::start([Reply::Send(ok(""))]).await;

        call(&plain(), &peer.origin()).await;

        let requests = peer.requests();
        let head = std::str::from_utf8(&requests[0]).unwrap();
        let mut names: Vec<_> =
            head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept-encoding", "content-length", "date", "host"]);
        assert!(head.contains("accept-encoding: identity\r\n"));
    });
}

async fn body(reply: Reply, limit_bytes: usize) -> Result<Bytes, BodyError> {
    let peer = Peer::start([reply]).await;
    let mut response = plain().get(peer.origin()).send().await.unwrap();
    read_body(&mut response, limit_bytes).await
}

#[test]
fn a_body_is_read_up_to_its_limit() {
    on_worker(async {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
        let too_long = Err(BodyError::TooLong { limit_bytes: 5 });

        assert_eq!(body(Reply::Send(ok("abcdef")), 6).await.as_deref(), Ok(&b"abcdef"[..]));
        assert_eq!(body(Reply::Send(ok("abcdef")), 5).await, too_long);
        assert_eq!(body(Reply::Send(chunked.into()), 6).await.as_deref(), Ok(&b"abcdef"[..]));
        assert_eq!(body(Reply::Send(chunked.into()), 5).await, too_long);
        assert_eq!(body(Reply::Send(ok("")), 0).await.as_deref(), Ok(&b""[..]));
    });
}

#[test]
fn a_body_that_ends_early_is_broken() {
    on_worker(async {
        let mut cut = ok("abcdef");
        cut.truncate(cut.len() - 1);
        let bad_chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n";

        assert_eq!(body(Reply::SendAndClose(cut), 6).await, Err(BodyError::Broken));
        assert_eq!(body(Reply::SendAndClose(bad_chunk.into()), 6).await, Err(BodyError::Broken));
    });
}

#[test]
fn a_body_that_ends_with_its_connection_is_read_for_http_1_0_and_refused_for_1_1() {
    on_worker(async {
        let until_close = |version: &str| Reply::SendAndClose(format!("HTTP/{version} 200 OK\r\n\r\nabc").into_bytes());

        assert_eq!(body(until_close("1.0"), 3).await.as_deref(), Ok(&b"abc"[..]));
        assert_eq!(body(until_close("1.1"), 3).await, Err(BodyError::Broken));
    });
}

#[test]
fn a_server_of_the_operators_authority_is_trusted_and_http_1_1_is_agreed_on() {
    let roots = TlsRoots::load(Some(Path::new("tests/vectors/tls/ca.pem"))).unwrap();
    let (port, serving) = tls_server(b"secured".to_vec());

    let body = on_worker(async {
        let client = client(&roots, SECOND, SECOND);
        let mut response = client.get(format!("https://127.0.0.1:{port}")).send().await.unwrap();
        read_body(&mut response, 100).await
    });

    assert_eq!(body.as_deref(), Ok(&b"secured"[..]));
    assert_eq!(serving.join().unwrap().as_deref(), Some(&b"http/1.1"[..]));
}

#[test]
fn a_server_of_an_unknown_authority_is_refused() {
    let (port, serving) = tls_server(b"secured".to_vec());

    let outcome = on_worker(async { plain().get(format!("https://127.0.0.1:{port}")).send().await.map(|_| ()) });

    assert!(matches!(outcome, Err(awc::error::SendRequestError::Connect(_))), "{outcome:?}");
    assert_eq!(serving.join().unwrap(), None);
}

#[test]
fn a_ca_file_that_is_of_no_use_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let refusal = |content: &str| {
        std::fs::write(&path, content).unwrap();
        TlsRoots::load(Some(&path)).unwrap_err()
    };

    let missing = TlsRoots::load(Some(&folder.path().join("absent"))).unwrap_err();

    assert!(matches!(missing, RootsError::Unreadable { reason: io::ErrorKind::NotFound, .. }));
    assert!(matches!(refusal(""), RootsError::NoCertificate { .. }));
    assert!(matches!(
        refusal("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
        RootsError::NotPem { .. }
    ));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(refusal(garbage), RootsError::Unusable { number: 1, .. }));
    let key = include_str!("../../tests/vectors/tls/server.key");
    assert!(matches!(refusal(key), RootsError::NoCertificate { .. }));
}
