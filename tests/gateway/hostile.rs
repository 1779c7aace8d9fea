//! Messages that mean no good, byte for byte over real sockets, each with the answer that it gets.
//!
//! Behind each of them the gateway must answer the next one who asks.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use sandbox::known;

use crate::harness::{PATIENCE, Stage, started};

/// What comes back for one message: the status of each answer on the connection, and the last one's text.
struct Reply {
    statuses: Vec<u16>,
    text: String,
}

/// Sends `message` on a connection of its own and reads until the gateway closes it.
fn exchange(stage: &Stage, message: &[u8]) -> Reply {
    let mut socket = TcpStream::connect(stage.gateway.public).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The gateway may have answered and closed before it has all of this.
    let _ = socket.write_all(message);
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let statuses = text.match_indices("HTTP/1.").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok());
    Reply { statuses: statuses.collect(), text }
}

/// A `GET` of a target, with further lines of the head, that asks for the connection to be closed.
fn get(target: &str, lines: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{lines}\r\n").into_bytes()
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn every_hostile_message_gets_its_answer_and_the_next_one_is_served() {
    let stage = Stage::with("GATEWAY_RATE_LIMIT__PER_CALLER__BURST=1000");
    let bearer = format!("Authorization: Bearer {}\r\n", stage.token());
    let known_caller = |target: &str| get(target, &bearer);
    let urls = |instance: &str| known_caller(&format!("/instances/{instance}/backups/b/urls"));
    let head = |lines: &str| format!("GET /healthz HTTP/1.1\r\n{lines}\r\n").into_bytes();
    let host = |value: &str| head(&format!("Host: {value}\r\nConnection: close\r\n"));
    let body =
        |lines: &str, body: &str| format!("GET /healthz HTTP/1.1\r\nHost: gateway\r\n{lines}\r\n{body}").into_bytes();
    let smuggled = "GET /instances HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n";
    let long = |bytes: usize| "a".repeat(bytes);

    let table: Vec<(&str, Vec<u8>, &[u16])> = vec![
        // Paths that would lead elsewhere where somebody normalised them.
        ("dots out of the scope", known_caller("/instances/../healthz"), &[404]),
        ("dots out of the scope, no token", get("/instances/../healthz", ""), &[401]),
        ("dots into the scope", get("/docs/../instances", ""), &[404]),
        ("dots to the system", get("/../../../../etc/passwd", ""), &[404]),
        ("encoded dots to the system", get("/%2e%2e/%2e%2e/etc/passwd", ""), &[404]),
        ("dots among the page's parts", get("/docs/..%2f..%2fCargo.toml", ""), &[404]),
        ("dots as an instance", urls(".."), &[400]),
        ("encoded dots as an instance", urls("%2e%2e"), &[400]),
        ("dots encoded twice", urls("%252e%252e"), &[400]),
        ("an encoded slash", urls("a%2f..%2fb"), &[400]),
        ("an encoded backslash", urls("a%5c..%5cb"), &[400]),
        ("a backslash", known_caller("/instances\\..\\healthz"), &[404]),
        ("a path parameter", urls("..;x=1"), &[400]),
        ("an empty segment", known_caller("/instances//backups/b/urls"), &[404]),
        ("two slashes first", get("//healthz", ""), &[404]),
        ("a slash last", get("/healthz/", ""), &[404]),
        ("an encoded slash last", get("/healthz%2f", ""), &[404]),
        ("another case", get("/HEALTHZ", ""), &[404]),
        ("a null byte behind a route", get("/healthz%00", ""), &[404]),
        // What a path or a query may hold.
        ("a null byte", urls("a%00b"), &[400]),
        ("line feeds", urls("a%0d%0aX-Evil:%201"), &[400]),
        ("an overlong slash", urls("%c0%af"), &[400]),
        ("an overlong dot", urls("%c0%ae%c0%ae"), &[400]),
        ("a longer overlong dot", urls("%e0%80%ae"), &[400]),
        ("a lone surrogate", urls("%ed%a0%80"), &[400]),
        ("bytes that are no text", urls("%ff%fe"), &[400]),
        ("half an escape", urls("a%2"), &[400]),
        ("an escape of another kind", urls("%u002e"), &[400]),
        ("a query with a null byte", known_caller("/instances?region=%00"), &[400]),
        ("a query with line feeds", known_caller("/instances?%0d%0aSet-Cookie:%20a=b"), &[400]),
        ("a query that is no text", known_caller("/instances?region=%ff"), &[400]),
        ("a query encoded twice", known_caller("/instances?limit=%2531"), &[400]),
        ("a token in the query", get("/instances?access_token=a.b.c", ""), &[401]),
        // Sizes.
        ("a long path", get(&format!("/{}", long(9 << 10)), ""), &[400]),
        ("a long query", get(&format!("/healthz?{}", long(9 << 10)), ""), &[400]),
        ("a path beyond all bounds", get(&format!("/{}", long(70 << 10)), ""), &[431]),
        ("a large field", get("/healthz", &format!("X-Large: {}\r\n", long(40 << 10))), &[431]),
        (
            "many fields that are large together",
            get("/healthz", &format!("X-Part: {}\r\n", long(1 << 10)).repeat(40)),
            &[431],
        ),
        ("a head beyond all bounds", get("/healthz", &format!("X-Large: {}\r\n", long(200 << 10))), &[431]),
        ("a head without an end", format!("GET /healthz HTTP/1.1\r\nX: {}", long(140 << 10)).into_bytes(), &[431]),
        ("too many fields", get("/healthz", &"X: y\r\n".repeat(120)), &[431]),
        ("a token of 9 KiB", get("/instances", &format!("Authorization: Bearer {}\r\n", long(9 << 10))), &[401]),
        // The request line.
        ("no version", b"GET /healthz\r\n\r\n".to_vec(), &[400]),
        ("a version that does not exist", b"GET /healthz HTTP/1.2\r\nHost: gateway\r\n\r\n".to_vec(), &[400]),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[400]),
        ("a null byte in the line", b"GET /heal\0thz HTTP/1.1\r\nHost: gateway\r\n\r\n".to_vec(), &[400]),
        ("two blanks in the line", b"GET  /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n".to_vec(), &[400]),
        ("a method that is none", b"GE(T /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n".to_vec(), &[400]),
        (
            "a method in lower case",
            b"get /healthz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".to_vec(),
            &[405],
        ),
        (
            "a method of another's",
            b"TRACE /healthz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".to_vec(),
            &[405],
        ),
        (
            "a tunnel",
            b"CONNECT gateway:443 HTTP/1.1\r\nHost: gateway:443\r\nConnection: close\r\n\r\n".to_vec(),
            &[404],
        ),
        ("about the server", b"OPTIONS * HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".to_vec(), &[404]),
        ("a client hello of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), &[400]),
        ("another protocol", b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec(), &[400]),
        // Whom it is for.
        ("an absolute target of this host", get("http://gateway/healthz", ""), &[200]),
        ("an absolute target of another host", get("http://metadata.tencentyun.com/healthz", ""), &[400]),
        ("an absolute target with a user", get("http://gateway@evil.example/healthz", ""), &[400]),
        ("no host", head("Connection: close\r\n"), &[400]),
        ("two hosts", head("Host: gateway\r\nHost: evil.example\r\n"), &[400]),
        ("the same host twice", head("Host: gateway\r\nHost: gateway\r\n"), &[400]),
        ("an empty host", host(""), &[400]),
        ("a host with a path", host("gateway/evil"), &[400]),
        ("a host with a user", host("evil@gateway"), &[400]),
        ("a list of hosts", host("gateway, evil.example"), &[400]),
        ("a host with a port that is none", host("gateway:http"), &[400]),
        (
            "a host that is no text",
            join(&[b"GET /healthz HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n"]),
            &[400],
        ),
        // Fields.
        ("a field without a colon", head("Host: gateway\r\nevil\r\n"), &[400]),
        ("a blank before the colon", head("Host: gateway\r\nX-Evil : 1\r\n"), &[400]),
        ("a blank in a name", head("Host: gateway\r\nX Evil: 1\r\n"), &[400]),
        ("a field that goes on in the next line", head("Host: gateway\r\nX-Evil: 1\r\n 2\r\n"), &[400]),
        ("a null byte in a field", head("Host: gateway\r\nX-Evil: a\0b\r\n"), &[400]),
        ("a lone carriage return in a field", head("Host: gateway\r\nX-Evil: a\rb\r\n"), &[400]),
        ("two authorizations", get("/instances", &format!("{bearer}{bearer}")), &[401]),
        ("two tokens in one", get("/instances", "Authorization: Bearer a.b.c, Bearer d.e.f\r\n"), &[401]),
        (
            "a reason that is no text",
            join(&[
                b"GET /instances HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nX-Access-Reason: \xff\r\n",
                bearer.as_bytes(),
                b"\r\n",
            ]),
            &[400],
        ),
        ("two reasons", get("/instances", &format!("{bearer}X-Access-Reason: a\r\nX-Access-Reason: b\r\n")), &[400]),
        // Where the message ends.
        ("a length and a coding", body("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), &[400]),
        ("a coding and a length", body("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), &[400]),
        ("two lengths", body("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), &[400]),
        ("the same length twice", body("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), &[400]),
        ("a list of lengths", body("Content-Length: 5, 5\r\n", "hello"), &[400]),
        ("a negative length", body("Content-Length: -1\r\n", ""), &[400]),
        ("a length with a sign", body("Content-Length: +5\r\n", "hello"), &[400]),
        ("a length in hexadecimal", body("Content-Length: 0x5\r\n", "hello"), &[400]),
        ("a length that overflows", body("Content-Length: 18446744073709551616\r\n", ""), &[400]),
        ("a coding with a blank before the colon", body("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), &[400]),
        ("a coding twice", body("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), &[400]),
        ("a list of codings", body("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), &[400]),
        ("a coding that almost is one", body("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), &[400]),
        ("a coding that is none", body("Transfer-Encoding: identity\r\n", ""), &[400]),
        ("a coding with a vertical tab", body("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), &[400]),
        (
            "a coding in HTTP/1.0",
            b"GET /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            &[400],
        ),
        // A body that nobody wants is not the next request.
        ("a request in a body", body(&format!("Content-Length: {}\r\n", smuggled.len()), smuggled), &[200]),
        ("a request behind an announced body", body("Content-Length: 1000\r\n", smuggled), &[200]),
        (
            "a request behind a last chunk, after an answer that ends the connection",
            body("Transfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{smuggled}")),
            &[200],
        ),
        (
            "a request behind a body, after an answer that ends the connection",
            body("Content-Length: 5\r\n", &format!("hello{smuggled}")),
            &[200],
        ),
        (
            "a request behind one that asked for the end",
            join(&[&get("/healthz", ""), b"GET /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n"]),
            &[200],
        ),
        ("a size of a chunk that overflows", body("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n"), &[200]),
        ("a size of a chunk that is none", body("Transfer-Encoding: chunked\r\n", &format!("x\r\n{smuggled}")), &[200]),
        (
            "two requests at once",
            join(&[b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n", &get("/nowhere", "")]),
            &[200, 404],
        ),
        ("an upgrade to a socket", get("/healthz", "Connection: upgrade\r\nUpgrade: websocket\r\n"), &[200]),
        ("an upgrade to HTTP/2", get("/healthz", "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\n"), &[200]),
    ];
    assert!(table.len() >= 60, "{}", table.len());

    for (what, message, statuses) in &table {
        let reply = exchange(&stage, message);

        assert_eq!(reply.statuses, *statuses, "{what}: {}", reply.text);
        assert!(!reply.text.to_ascii_lowercase().contains("\r\nx-evil"), "{what}: {}", reply.text);
        assert_eq!(exchange(&stage, &get("/healthz", "")).statuses, [200], "after {what}");
    }
    assert_eq!(stage.get(&stage.seed_path()).status, 200);
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 1);
}

#[test]
fn what_is_said_before_an_answer_is_bounded_in_all_and_nothing_in_order_is_cut() {
    const HEADS: usize = 2_000;
    let stage = Stage::new();
    let resident = |stage: &Stage| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", stage.gateway.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    };
    let before = resident(&stage);
    let begun = format!("GET /healthz HTTP/1.1\r\nX: {}", "a".repeat(125_000));

    // A request in order that is larger than what is read at once, and many behind each other.
    let large = format!("X-Large: {}\r\n", "a".repeat(31 << 10));
    let in_order = exchange(&stage, &get("/healthz", &large));
    let one = "GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let many = exchange(&stage, &[one.repeat(5_000).as_bytes(), &get("/nowhere", "")].concat());
    let unfinished: Vec<_> = (0..HEADS)
        .map(|_| {
            let mut socket = TcpStream::connect(stage.gateway.public).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            // It may be refused before all of this is sent.
            let _ = socket.write_all(begun.as_bytes());
            socket
        })
        .collect();
    let grown = resident(&stage).saturating_sub(before);
    // On a busy machine one that has not sent all of it after two seconds is reset, and may miss the answer.
    let ended = unfinished.into_iter().filter(|mut socket| {
        let mut answer = Vec::new();
        let outcome = socket.read_to_end(&mut answer);
        let is_reset = outcome.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
        is_reset || answer.starts_with(b"HTTP/1.1 431")
    });

    assert_eq!(in_order.statuses, [200]);
    assert_eq!((many.statuses.len(), many.statuses.last()), (5_001, Some(&404)));
    assert_eq!(ended.count(), HEADS);
    assert!(grown < HEADS * (64 << 10), "{} KiB for each head", (grown >> 10) / HEADS);
}

#[test]
fn a_bare_refusal_has_no_body_and_a_parsed_request_a_problem() {
    let stage = Stage::new();

    let bare = exchange(&stage, b"GET /healthz HTTP/1.1\r\n\r\n");
    let problem = exchange(&stage, &get("http://evil.example/healthz", ""));

    assert!(bare.text.to_ascii_lowercase().contains("content-length: 0\r\n"), "{}", bare.text);
    assert!(problem.text.contains("application/problem+json") && problem.text.contains("invalid_request"));
}

#[test]
fn an_id_or_a_trace_that_is_none_reaches_no_log_and_no_answer() {
    let stage = Stage::new();
    let evil = "evil\"} {\"level\":\"ERROR";

    for lines in [
        format!("X-Request-Id: {evil}\r\n"),
        format!("X-Request-Id: {}\r\n", "a".repeat(129)),
        format!("traceparent: {evil}\r\n"),
        format!("User-Agent: {evil}\r\nReferer: {evil}\r\nX-Forwarded-For: {evil}\r\nForwarded: for={evil}\r\n"),
    ] {
        let reply = exchange(&stage, &get(&format!("/instances/{}", known::ORDERS), &lines));
        assert_eq!(reply.statuses, [401]);
        assert!(!reply.text.contains("evil"), "{}", reply.text);
    }

    let log = stage.gateway.log.lock().unwrap().clone();
    assert!(!log.contains("evil"), "{log}");
}

#[test]
fn a_client_that_dribbles_its_head_is_cut_off() {
    let stage = Stage::new();
    let mut socket = TcpStream::connect(stage.gateway.public).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let began = started();

    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n").unwrap();
    while began.elapsed() < PATIENCE {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            // Nothing came for a moment: one more byte of a head that never ends.
            Err(_) => _ = socket.write_all(b"X"),
        }
    }

    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn five_hundred_idle_connections_keep_nobody_out_and_do_not_stay() {
    let stage = Stage::new();
    let idle: Vec<_> = (0..500).map(|_| TcpStream::connect(stage.gateway.public).unwrap()).collect();

    let began = started();
    for _ in 0..20 {
        assert_eq!(stage.get(&stage.seed_path()).status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    for mut socket in idle {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn a_body_without_an_end_is_read_by_nobody_and_the_answer_still_arrives() {
    let stage = Stage::new();
    let mut socket = TcpStream::connect(stage.gateway.public).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(b"POST /instances HTTP/1.1\r\nHost: gateway\r\nContent-Length: 9000000000000\r\n\r\n").unwrap();
    let began = started();

    let mut answer = [0; 12];
    socket.read_exact(&mut answer).unwrap();
    let chunk = vec![b'x'; 64 << 10];
    while socket.write_all(&chunk).is_ok() {
        assert!(began.elapsed() < PATIENCE, "the gateway goes on reading");
    }

    assert_eq!(&answer, b"HTTP/1.1 401");
    // What still comes is thrown away for two seconds, so that the answer is not lost to a reset; then it is over.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(exchange(&stage, &get("/healthz", "")).statuses, [200]);
}
