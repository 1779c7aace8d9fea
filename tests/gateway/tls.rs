//! HTTPS on the public listener, as clients meet it: versions, sessions, protocols, certificates of both sides.

mod limits;
mod reload;
mod start;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use ::time::Duration;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::{
    ProtocolVersion, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use crate::{
    certificates::{Authority, Folder, Leaf, key},
    collector::{Collector, Manner},
    harness::{PATIENCE, Stage, eventually},
    tls_client::TlsClient,
};

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A gateway that speaks HTTPS with the certificate and key of `folder`.
fn stage(folder: &Folder) -> Stage {
    stage_with(folder, "")
}

fn stage_with(folder: &Folder, variables: &str) -> Stage {
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    Stage::with(&format!(
        "GATEWAY_SERVER__TLS__CERT_FILE={}\nGATEWAY_SERVER__TLS__KEY_FILE={}\n{variables}",
        cert.display(),
        key.display()
    ))
}

/// The same, which wants certificates of those that `clients.pem` names.
fn mutual_stage(folder: &Folder) -> Stage {
    stage_with(folder, &format!("GATEWAY_SERVER__TLS__CLIENT_CA_FILE={}", folder.path("clients.pem").display()))
}

/// A certificate for a client, valid from an hour ago until so long from now.
fn client(authority: &Authority, to: Duration) -> Leaf {
    authority.issue(ExtendedKeyUsagePurpose::ClientAuth, -Duration::HOUR, to, key())
}

/// The value of a metric of whole numbers.
#[track_caller]
fn metric(stage: &Stage, name: &str) -> i64 {
    let text = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{name} is not in {text}"))
}

fn handshakes(stage: &Stage, result: &str) -> i64 {
    metric(stage, &format!("gateway_tls_handshakes_total{{result=\"{result}\"}}"))
}

fn bearer(stage: &Stage) -> String {
    format!("Bearer {}", stage.token())
}

#[test]
fn the_main_job_is_done_over_both_versions_and_nothing_else_is_spoken_inside() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server());
    let stage = stage(&folder);
    let bearer = bearer(&stage);

    for (version, number) in BOTH.into_iter().zip([ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3]) {
        let mut connection = TlsClient::speaking(&[&root], version).connect(stage.gateway.public).unwrap();
        let answer = connection.ask("GET", &stage.seed_path(), &[("Authorization", &bearer)]).unwrap();

        assert_eq!(connection.version(), Some(number));
        assert_eq!(connection.protocol().as_deref(), Some("http/1.1"), "h2 was offered, too");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["files"].as_array().unwrap().len(), 5);
        assert_eq!(answer.header("strict-transport-security"), None, "it would speak for the whole host");
    }
    let client = TlsClient::new(&[&root]);
    assert!(client.offering(&["h2"]).connect(stage.gateway.public).is_err());
    assert_eq!(client.offering(&[]).get(stage.gateway.public, "/healthz", &[]).unwrap().status, 200);
    // The client's address is that of the connection, and the admin listener stays plain.
    assert_eq!(stage.gateway.records_of(2)[1]["client_ip"], "127.0.0.1");
}

#[test]
fn a_span_says_by_which_scheme_the_request_came() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server());
    let collector = Collector::start(Manner::Takes);
    let stage = stage_with(&folder, &collector.variable());
    let headers = [("Authorization", bearer(&stage))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));

    TlsClient::new(&[&root]).get(stage.gateway.public, &stage.seed_path(), &headers).unwrap();

    let scheme = || collector.spans().iter().find_map(|span| span.attribute("url.scheme").map(str::to_owned));
    eventually("the spans arrive", || scheme().is_some());
    assert_eq!(scheme().as_deref(), Some("https"));
}

#[test]
fn a_key_exchange_that_lasts_is_preferred() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server());
    let stage = stage(&folder);

    let connection = TlsClient::speaking(&[&root], &TLS13).connect(stage.gateway.public).unwrap();

    assert_eq!(connection.key_exchange(), "X25519MLKEM768");
}

/// A hello of a version before 1.2, with ciphers that such clients have.
fn old_hello(minor: u8) -> Vec<u8> {
    let ciphers: [u16; 4] = [0xc013, 0xc009, 0x002f, 0x0035];
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.push(0);
    body.extend(u16::try_from(ciphers.len() * 2).unwrap().to_be_bytes());
    body.extend(ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()));
    body.extend([1, 0]);
    // Curves, their form, and kinds of signatures, so that the version alone is wrong.
    let extensions: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 6, 0, 4, 4, 3, 4, 1];
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, minor];
    record.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    record.extend(message);
    record
}

/// Sends bytes and returns all that comes back until the end.
fn converse(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    answer
}

#[test]
fn versions_before_1_2_are_refused_with_the_alert_that_says_so() {
    let folder = Folder::new(&Authority::new("root").server());
    let stage = stage(&folder);

    for minor in [0, 1, 2] {
        let answer = converse(stage.gateway.public, &old_hello(minor));

        // RFC 8446, section 6: an alert, fatal, protocol_version.
        assert_eq!(answer.first(), Some(&21), "{answer:?}");
        assert_eq!(answer.get(5..), Some(&[2, 70][..]), "{answer:?}");
    }
    // Counted when the refusal has left, so a client can be faster.
    eventually("all are counted", || handshakes(&stage, "failed") == 3);
}

#[test]
fn sessions_are_resumed_on_both_versions_whichever_worker_takes_the_connection() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server());
    let stage = stage_with(&folder, "GATEWAY_SERVER__WORKERS=4");
    let clients = [
        TlsClient::speaking(&[&root], &TLS13),
        TlsClient::speaking(&[&root], &TLS12),
        TlsClient::speaking(&[&root], &TLS12).without_tickets(),
    ];

    for client in &clients {
        // Connections go to the workers in turn.
        let resumed: Vec<bool> = (0..8)
            .map(|_| {
                let mut connection = client.connect(stage.gateway.public).unwrap();
                assert_eq!(connection.ask("GET", "/healthz", &[]).unwrap().status, 200);
                connection.is_resumed()
            })
            .collect();

        assert_eq!(resumed, [vec![false], vec![true; 7]].concat());
    }
    assert_eq!((handshakes(&stage, "full"), handshakes(&stage, "resumed")), (3, 21));
}

#[test]
fn the_chain_is_sent_in_its_order_and_whole() {
    let root = Authority::new("root");
    let issuer = root.under("issuer");
    let server = issuer.server();
    let folder = Folder::new(&server);
    folder.write("cert.pem", &(server.certificate_pem() + &issuer.pem()));
    let stage = stage(&folder);

    for version in BOTH {
        let connection = TlsClient::speaking(&[&root], version).connect(stage.gateway.public).unwrap();

        assert_eq!(connection.certificates(), [server.certificate.der().to_vec(), issuer.der().to_vec()]);
    }
}

#[test]
fn plain_http_is_told_in_plain_http_that_this_is_another_port() {
    let folder = Folder::new(&Authority::new("root").server());
    let stage = stage(&folder);
    let long = format!("POST / HTTP/1.1\r\nContent-Length: 40000\r\n\r\n{}", "x".repeat(40_000));

    let answer = stage.gateway.get(&stage.seed_path(), &[]);
    let raw = converse(stage.gateway.public, long.as_bytes());

    assert_eq!((answer.status, answer.text().as_str()), (400, "This port speaks HTTPS.\n"));
    assert!(String::from_utf8_lossy(&raw).starts_with("HTTP/1.1 400 Bad Request\r\n"), "{raw:?}");
    // Counted when the refusal has left, so a client can be faster.
    eventually("all are counted", || handshakes(&stage, "plain_http") == 2);
}

#[test]
fn a_connection_that_says_nothing_is_a_look_and_no_failure() {
    let folder = Folder::new(&Authority::new("root").server());
    let stage = stage(&folder);

    drop(TcpStream::connect(stage.gateway.public).unwrap());

    eventually("it is counted", || handshakes(&stage, "closed") == 1);
    assert!(!stage.gateway.log.lock().unwrap().contains("handshake failed"));
}

#[test]
fn the_page_and_other_web_pages_work_over_https() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server());
    let stage = stage_with(&folder, "GATEWAY_CORS__ALLOWED_ORIGINS=[\"https://dashboard.example.internal\"]");
    let mut connection = TlsClient::new(&[&root]).connect(stage.gateway.public).unwrap();
    let origin = ("Origin", "https://dashboard.example.internal");

    let page = connection.ask("GET", "/docs", &[]).unwrap();
    let preflight = connection
        .ask(
            "OPTIONS",
            &stage.seed_path(),
            &[origin, ("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "authorization")],
        )
        .unwrap();

    assert_eq!(page.status, 200);
    assert!(!page.text().contains("http://"), "a page over https loads nothing in plain text");
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some(origin.1));
}

#[test]
fn where_authorities_of_clients_are_named_only_their_certificates_open_the_door() {
    let (root, clients, strangers) = (Authority::new("root"), Authority::new("clients"), Authority::new("strangers"));
    let folder = Folder::new(&root.server());
    folder.write("clients.pem", &clients.pem());
    let stage = mutual_stage(&folder);
    let public = stage.gateway.public;
    let bearer = bearer(&stage);
    let headers = [("Authorization", &*bearer)];
    let good = client(&clients, Duration::days(1));
    let ended = client(&clients, -Duration::MINUTE);
    let strange = client(&strangers, Duration::days(1));
    // A certificate for servers proves nothing about a client.
    let of_server = clients.server();

    for version in BOTH {
        let showing = |leaf| TlsClient::showing(&[&root], version, leaf);
        for refused in [TlsClient::speaking(&[&root], version), showing(&strange), showing(&ended), showing(&of_server)]
        {
            assert!(refused.get(public, &stage.seed_path(), &headers).is_err());
            assert!(refused.get(public, "/healthz", &[]).is_err(), "no route is open to a stranger");
        }
        let client = showing(&good);
        assert_eq!(client.get(public, &stage.seed_path(), &headers).unwrap().status, 200);
        let mut again = client.connect(public).unwrap();
        assert_eq!(again.ask("GET", "/healthz", &[]).unwrap().status, 200);
        assert!(!again.is_resumed(), "a session would bring a certificate along that nobody looks at again");
        // A certificate is no token.
        again.ask("GET", &stage.seed_path(), &[]).unwrap().assert_problem(401, "unauthenticated");
    }
    // Counted when the refusal has left, so a client can be faster.
    eventually("all are counted", || handshakes(&stage, "failed") == 16);
    let log = stage.gateway.log.lock().unwrap().clone();
    for reason in ["peer sent no certificates", "UnknownIssuer", "expired"] {
        assert!(log.contains(reason), "{reason}: {log}");
    }
}
