//! Key sets over real sockets and files: outages, rotations, and floods of invented key ids.
//!
//! Wall-clock and monotonic time stand still unless a test moves them; only the time limits of a fetch and of a waiting
//! request are the machine's.

mod server;

use std::{fs, time::Duration};

use actix_web::rt::System;
use futures_util::future::join_all;
use tokio::task::JoinHandle;

use self::server::{Answer as Said, Server};
use super::*;
use crate::identity::{
    Algorithm, Denial, Identity, IssuerSettings, KeySetUrl, KeySource, Reason, Settings, VerifiedToken,
    testing::{self, P256, STRANGER, SigningKey},
};

const REFRESH: Duration = Duration::from_secs(300);
const COOLDOWN: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(20);

/// An identity whose refresher runs, with one issuer.
struct Gateway {
    identity: Arc<Identity>,
    clock: Clock,
    refreshing: JoinHandle<Infallible>,
}

impl Gateway {
    fn start(sources: Vec<KeySource>) -> Self {
        let issuers = sources.into_iter().enumerate().map(|(number, keys)| IssuerSettings {
            name: format!("issuer-{number}").into(),
            keys,
            issuer: if number == 0 { testing::ISSUER.to_owned() } else { format!("{}/{number}", testing::ISSUER) },
            ..testing::issuer()
        });
        Self::of(issuers.collect())
    }

    fn of(issuers: Vec<IssuerSettings>) -> Self {
        let settings = Settings { jwks_refresh: REFRESH, jwks_cooldown: COOLDOWN, ..testing::settings(issuers) };
        Self::with(&settings)
    }

    fn with(settings: &Settings) -> Self {
        let clock = Clock::manual(testing::now());
        let (identity, refresher) = Identity::new(settings, clock.clone()).unwrap();
        Self { identity, clock, refreshing: actix_web::rt::spawn(async move { refresher.run(|_, _| {}).await }) }
    }

    fn keys(&self, issuer: usize) -> &Keys {
        &self.identity.issuers[issuer].keys
    }

    /// Waits until so many fetches of the first issuer have ended.
    async fn fetched(&self, fetches: u64) {
        let mut ended = self.keys(0).ended.subscribe();
        timeout(DEADLINE, ended.wait_for(|ended| *ended >= fetches)).await.unwrap().unwrap();
    }

    /// Lets the refresh interval pass and the fetch of that number end.
    async fn refresh(&self, fetch: u64) {
        self.clock.advance(2 * REFRESH);
        self.keys(0).wake.notify_one();
        self.fetched(fetch).await;
    }

    async fn authenticate(&self, key: &SigningKey) -> Result<Arc<VerifiedToken>, Denial> {
        let issued_at = crate::domain::clock::unix_seconds(self.clock.wall());
        let times = serde_json::json!({"iat": issued_at, "exp": issued_at + 600});
        let token = key.token(&testing::with(testing::claims(), times));
        timeout(DEADLINE, self.identity.authenticate(&token)).await.unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.refreshing.abort();
    }
}

fn origin(keys: KeySource) -> Origin {
    Origin::of(&IssuerSettings { keys, ..testing::issuer() })
}

fn set_of(keys: &[&SigningKey]) -> Vec<u8> {
    testing::document(&keys.iter().map(|key| key.jwk()).collect::<Vec<_>>())
}

/// Every way in which an issuer's server can fail without keeping us waiting.
fn outages() -> Vec<(&'static str, Said)> {
    let good = set_of(&[&P256]);
    let strangers = set_of(&[&STRANGER]);
    let endless = [b"{\"keys\":[],\"x\":\"", vec![b'a'; 2 << 20].as_slice()].concat();
    let chunked = [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n200000\r\n", endless.as_slice()].concat();
    vec![
        ("500", Said::new("500 Internal Server Error", "application/json", &good)),
        ("404", Said::new("404 Not Found", "application/json", &good)),
        ("204", Said::raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())),
        ("302", Said::with_header("302 Found", "location: /elsewhere", &strangers)),
        ("307", Said::with_header("307 Temporary Redirect", "location: /elsewhere", &strangers)),
        ("no keys", Said::key_set(b"{\"keys\":[]}")),
        ("no usable keys", Said::key_set(br#"{"keys":[{"kty":"oct","k":"AAAA","kid":"ec-1"}]}"#)),
        ("a page", Said::new("200 OK", "text/html", b"<html>maintenance</html>")),
        ("nothing", Said::key_set(b"")),
        ("a list", Said::key_set(b"[]")),
        ("garbage in place of HTTP", Said::raw(b"\x16\x03\x01garbage\r\n\r\n".to_vec())),
        ("a body cut short", Said::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n{\"keys\":[".to_vec())),
        ("a hang-up", Said::raw(Vec::new())),
        ("too much", Said::key_set(&endless)),
        ("too much in chunks", Said::raw(chunked)),
    ]
}

#[test]
fn no_outage_takes_the_last_good_set_away() {
    System::new().block_on(async {
        let server = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let gateway = Gateway::start(vec![server.source()]);
        gateway.fetched(1).await;
        let last_success = gateway.identity.readiness()[0].last_success;

        for (fetch, (name, said)) in (2..).zip(outages()) {
            server.say(said);
            gateway.refresh(fetch).await;

            assert!(gateway.authenticate(&P256).await.is_ok(), "{name}");
            assert!(gateway.authenticate(&STRANGER).await.is_err(), "{name}");
            assert_eq!(gateway.identity.readiness()[0].last_success, last_success, "{name}");
            assert_eq!(server.requests() as u64, fetch, "{name}: a redirect is not followed");
        }
    });
}

#[test]
fn without_a_first_set_the_issuer_is_unavailable_until_there_is_one() {
    System::new().block_on(async {
        let server = Server::start(Said::raw(Vec::new())).await;
        let gateway = Gateway::start(vec![server.source()]);
        gateway.fetched(1).await;

        for (fetch, (name, said)) in (2..).zip(outages()) {
            server.say(said);
            gateway.refresh(fetch).await;

            assert_eq!(gateway.authenticate(&P256).await, Err(Denial::KeysUnavailable), "{name}");
            assert!(!gateway.identity.readiness()[0].has_keys, "{name}");
        }
        server.say(Said::key_set(&set_of(&[&P256])));
        gateway.refresh(2 + outages().len() as u64).await;

        assert!(gateway.authenticate(&P256).await.is_ok());
        assert!(gateway.identity.readiness()[0].has_keys);
        assert_eq!(gateway.identity.readiness()[0].last_success, Some(gateway.clock.wall()));
    });
}

#[test]
fn a_failed_first_fetch_is_tried_again_on_its_own() {
    System::new().block_on(async {
        let server = Server::start(Said::raw(Vec::new())).await;
        let gateway = Gateway::start(vec![server.source()]);
        gateway.fetched(1).await;

        server.say(Said::key_set(&set_of(&[&P256])));
        // The schedule's first retry is a second away; the manual clock passes it, the machine's timer waits it out.
        gateway.clock.advance(Duration::from_secs(2));
        gateway.fetched(2).await;

        assert!(gateway.authenticate(&P256).await.is_ok());
    });
}

#[test]
fn a_slow_answer_is_given_up_after_two_seconds() {
    System::new().block_on(async {
        let client = outbound::client(&TlsRoots::load(None).unwrap(), fetch::TIMEOUT, fetch::TIMEOUT);
        let silent = Server::start(Said::stalled(b"")).await;
        let slow_head = Server::start(Said::stalled(b"HTTP/1.1 200 OK\r\ncontent-le")).await;
        let slow_body = Server::start(Said::stalled(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")).await;

        let fetches = [&silent, &slow_head, &slow_body].map(|server| {
            let source = server.source();
            let client = &client;
            async move { timeout(2 * fetch::TIMEOUT, origin(source).fetch(client)).await }
        });

        for outcome in join_all(fetches).await {
            assert!(matches!(outcome, Ok(Err(FetchError::TimedOut | FetchError::Unreachable))), "{outcome:?}");
        }
    });
}

#[test]
fn what_went_wrong_is_told_without_the_address() {
    System::new().block_on(async {
        let client = outbound::client(&TlsRoots::load(None).unwrap(), fetch::TIMEOUT, fetch::TIMEOUT);
        let server = Server::start(Said::raw(Vec::new())).await;

        for (name, said) in outages() {
            server.say(said);
            let url = KeySetUrl::try_from(format!("{}?key=hush", server.url).as_str()).unwrap();
            let error = origin(KeySource::Url(url)).fetch(&client).await.unwrap_err();

            let text = format!("{error} {error:?}");
            assert!(!text.contains("hush") && !text.contains("127.0.0.1"), "{name}: {text}");
        }
    });
}

#[test]
fn two_hundred_callers_with_a_rotated_key_share_one_fetch_and_none_is_refused() {
    System::new().block_on(async {
        let next = SigningKey::p256("ec-next");
        let server = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let gateway = Gateway::start(vec![server.source()]);
        gateway.fetched(1).await;
        server.say(Said::key_set(&set_of(&[&P256, &next])));
        server.hold();

        let callers = join_all((0..200).map(|_| gateway.authenticate(&next)));
        let issuer = async {
            server.saw(2).await;
            server.release();
        };
        let (verdicts, ()) = futures_util::join!(callers, issuer);

        assert!(verdicts.iter().all(Result::is_ok));
        assert_eq!(server.requests(), 2);
        assert!(gateway.authenticate(&P256).await.is_ok());
    });
}

#[test]
fn invented_key_ids_cost_one_fetch_a_cooldown_and_are_refused_at_once_within_it() {
    System::new().block_on(async {
        let invented = SigningKey::p256("invented");
        let server = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let gateway = Gateway::start(vec![server.source()]);
        gateway.fetched(1).await;

        let first = join_all((0..200).map(|_| gateway.authenticate(&invented))).await;
        server.hold();
        let inside = join_all((0..200).map(|_| gateway.authenticate(&invented))).await;
        let requests_inside = server.requests();
        server.release();
        gateway.clock.advance(COOLDOWN);
        let after = gateway.authenticate(&invented).await;

        let unknown = Err(Denial::Refused(Reason::KeyUnknown));
        assert!(first.iter().chain(&inside).chain([&after]).all(|verdict| *verdict == unknown));
        assert_eq!(requests_inside, 2);
        assert_eq!(server.requests(), 3);
    });
}

#[test]
fn an_issuer_that_does_not_answer_keeps_a_caller_waiting_for_two_seconds_at_most() {
    System::new().block_on(async {
        let next = SigningKey::p256("ec-next");
        let server = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let gateway = Gateway::start(vec![server.source()]);
        gateway.fetched(1).await;
        server.hold();

        let verdict = timeout(2 * MAX_WAIT, gateway.authenticate(&next)).await;

        assert_eq!(verdict.unwrap(), Err(Denial::Refused(Reason::KeyUnknown)));
    });
}

#[test]
fn a_caller_who_hangs_up_gives_the_place_back() {
    System::new().block_on(async {
        let next = SigningKey::p256("ec-next");
        let server = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let gateway = Gateway::start(vec![server.source()]);
        gateway.fetched(1).await;
        server.hold();

        {
            let caller = std::pin::pin!(gateway.authenticate(&next));
            let seen = std::pin::pin!(server.saw(2));
            futures_util::future::select(caller, seen).await;
            assert_eq!(gateway.keys(0).lock().schedule.waiting(), 1);
        }

        assert_eq!(gateway.keys(0).lock().schedule.waiting(), 0);
    });
}

#[test]
fn an_issuer_that_hangs_does_not_hold_up_another() {
    System::new().block_on(async {
        let (good, hanging) =
            (Server::start(Said::key_set(&set_of(&[&P256]))).await, Server::start(Said::stalled(b"")).await);
        let gateway = Gateway::start(vec![good.source(), hanging.source()]);
        gateway.fetched(1).await;
        hanging.saw(1).await;

        let readiness = gateway.identity.readiness();

        assert_eq!(readiness.iter().map(|issuer| issuer.has_keys).collect::<Vec<_>>(), [true, false]);
        assert!(gateway.authenticate(&P256).await.is_ok());
    });
}

#[test]
fn no_address_in_a_token_is_ever_called() {
    System::new().block_on(async {
        let strangers = Server::start(Said::key_set(&set_of(&[&STRANGER]))).await;
        let server = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let gateway = Gateway::start(vec![server.source()]);
        gateway.fetched(1).await;

        for kid in ["ec-1", "unknown"] {
            let header = serde_json::json!({
                "alg": "ES256", "kid": kid, "jku": strangers.url, "x5u": strangers.url, "jwk": STRANGER.jwk(),
            });
            let token = STRANGER.token_of(&header.to_string(), &testing::claims().to_string());
            assert!(gateway.identity.authenticate(&token).await.is_err());
        }

        assert_eq!(strangers.requests(), 0);
    });
}

#[test]
fn a_file_is_read_again_for_an_unknown_key_and_survives_being_broken() {
    System::new().block_on(async {
        let next = SigningKey::p256("ec-next");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        let gateway = Gateway::start(vec![KeySource::File(path.clone())]);
        gateway.fetched(1).await;

        let before = gateway.authenticate(&P256).await;
        fs::write(&path, set_of(&[&P256])).unwrap();
        gateway.refresh(2).await;
        let there = gateway.authenticate(&P256).await;
        fs::write(&path, set_of(&[&P256, &next])).unwrap();
        let rotated = gateway.authenticate(&next).await;
        let mut still_there = Vec::new();
        for (fetch, content) in (4..).zip([b"{".to_vec(), set_of(&[]), vec![b' '; 300 << 10]]) {
            fs::write(&path, content).unwrap();
            gateway.refresh(fetch).await;
            still_there.push(gateway.authenticate(&next).await.is_ok());
        }
        fs::remove_file(&path).unwrap();
        gateway.refresh(7).await;
        still_there.push(gateway.authenticate(&next).await.is_ok());

        assert_eq!(before, Err(Denial::KeysUnavailable));
        assert!(there.is_ok() && rotated.is_ok());
        assert_eq!(still_there, [true; 4]);
    });
}

#[test]
fn the_same_document_keeps_the_same_set() {
    let now = Clock::machine().monotonic();
    let keys = Keys::new(&testing::issuer(), &testing::settings(Vec::new()), now);
    let read = || KeySet::parse(&set_of(&[&P256])).unwrap();
    let address = || Arc::as_ptr(keys.current(now).as_ref().unwrap());

    keys.publish(read(), now);
    let first = address();
    keys.publish(read(), now);
    let second = address();
    keys.publish(KeySet::parse(&set_of(&[&STRANGER])).unwrap(), now);
    let third = address();

    assert_eq!(first, second);
    assert_ne!(second, third);
}

#[test]
fn an_outage_is_survived_until_the_keys_are_too_old_and_not_a_moment_longer() {
    System::new().block_on(async {
        let server = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let issuer = IssuerSettings { keys: server.source(), ..testing::issuer() };
        let max_stale = Duration::from_secs(3600);
        let settings = Settings { jwks_max_stale: max_stale, ..testing::settings(vec![issuer]) };
        let gateway = Gateway::with(&settings);
        gateway.fetched(1).await;
        server.say(Said::raw(Vec::new()));
        gateway.refresh(2).await;

        gateway.clock.advance(max_stale - 2 * REFRESH - Duration::from_millis(1));
        let within = gateway.authenticate(&P256).await;
        gateway.clock.advance(Duration::from_millis(1));
        let beyond = gateway.authenticate(&P256).await;
        server.say(Said::key_set(&set_of(&[&P256])));
        let seen = server.requests();
        gateway.keys(0).wake.notify_one();
        server.saw(seen + 1).await;
        gateway.fetched(seen as u64 + 1).await;
        let back = gateway.authenticate(&P256).await;

        assert!(within.is_ok());
        assert_eq!(beyond, Err(Denial::KeysUnavailable));
        assert!(back.is_ok());
    });
}

/// A discovery document of `issuer` that leads to `jwks_uri`.
fn discovery(issuer: &str, jwks_uri: &str) -> Said {
    Said::key_set(serde_json::json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string().as_bytes())
}

#[test]
fn keys_are_found_by_discovery_and_refreshed_where_it_then_leads() {
    System::new().block_on(async {
        let next = SigningKey::p256("ec-next");
        let keys = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let moved = Server::start(Said::key_set(&set_of(&[&next]))).await;
        let document = Server::start(discovery(testing::ISSUER, &keys.url)).await;
        let gateway = Gateway::start(vec![document.discovery()]);
        gateway.fetched(1).await;

        let first = gateway.authenticate(&P256).await;
        document.say(discovery(testing::ISSUER, &moved.url));
        let rotated = gateway.authenticate(&next).await;

        assert!(first.is_ok() && rotated.is_ok());
        assert_eq!((document.requests(), keys.requests(), moved.requests()), (2, 1, 1));
        assert!(document.last_request().starts_with("GET /.well-known/openid-configuration HTTP/1.1"));
    });
}

#[test]
fn discovery_that_leads_astray_brings_no_keys_and_takes_none_away() {
    System::new().block_on(async {
        let keys = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let strangers = Server::start(Said::key_set(&set_of(&[&STRANGER]))).await;
        let document = Server::start(discovery(testing::ISSUER, &keys.url)).await;
        let gateway = Gateway::start(vec![document.discovery()]);
        gateway.fetched(1).await;
        let port = strangers.url.rsplit(':').next().unwrap();

        let astray = [
            discovery("https://evil.example", &strangers.url),
            discovery(&format!("{}/", testing::ISSUER), &strangers.url),
            discovery(testing::ISSUER, &format!("http://0.0.0.0:{port}")),
            discovery(testing::ISSUER, "file:///etc/passwd"),
            Said::with_header("302 Found", &format!("location: {}", strangers.url), b""),
            Said::key_set(&set_of(&[&STRANGER])),
            Said::key_set(&vec![b' '; 80 << 10]),
            Said::new("200 OK", "text/html", b"<html></html>"),
        ];
        for (fetch, said) in (2..).zip(astray) {
            document.say(said);
            gateway.refresh(fetch).await;

            assert!(gateway.authenticate(&P256).await.is_ok(), "{fetch}");
        }

        assert_eq!(strangers.requests(), 0);
        assert_eq!(gateway.authenticate(&STRANGER).await, Err(Denial::Refused(Reason::Signature)));
    });
}

#[test]
fn the_issuers_own_token_is_read_for_each_fetch_and_goes_to_no_other_host() {
    System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "first-token\n").unwrap();
        let elsewhere = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let document = Server::start(discovery(testing::ISSUER, &elsewhere.url)).await;
        let direct = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let issuer = |name: &str, keys| IssuerSettings {
            name: name.into(),
            keys,
            bearer_token_file: Some(path.clone()),
            ..testing::issuer()
        };
        let gateway = Gateway::of(vec![issuer("direct", direct.source()), issuer("found", document.discovery())]);
        gateway.fetched(1).await;
        elsewhere.saw(1).await;

        let first = direct.last_request();
        fs::write(&path, "second-token").unwrap();
        gateway.refresh(2).await;
        let second = direct.last_request();
        fs::write(&path, "two\ntokens").unwrap();
        gateway.refresh(3).await;

        assert!(first.contains("authorization: Bearer first-token\r\n"), "{first}");
        assert!(second.contains("authorization: Bearer second-token\r\n"), "{second}");
        assert_eq!(direct.requests(), 2, "without a token that can be sent nothing is sent");
        assert!(document.last_request().contains("authorization: Bearer "));
        assert!(!elsewhere.last_request().contains("authorization"));
    });
}

#[test]
fn a_certificate_of_the_issuers_own_authority_is_trusted_by_its_ca_file_alone() {
    let keys = set_of(&[&P256]);
    let authority = std::path::PathBuf::from("tests/vectors/tls/ca.pem");
    let fetched = |ca_file| {
        let (port, serving) = outbound::test_peer::tls_server(keys.clone());
        let url = KeySetUrl::try_from(format!("https://127.0.0.1:{port}/jwks").as_str()).unwrap();
        let issuer = IssuerSettings { keys: KeySource::Url(url), ca_file, ..testing::issuer() };
        let outcome = System::new().block_on(async {
            let client = outbound::client(&TlsRoots::load(None).unwrap(), fetch::TIMEOUT, fetch::TIMEOUT);
            Origin::of(&issuer).fetch(&client).await.map(|keys| keys.key_count())
        });
        let _ = serving.join();
        outcome
    };

    assert!(matches!(fetched(Some(authority)), Ok(1)));
    assert!(matches!(fetched(None), Err(FetchError::Unreachable)));
}

#[test]
fn a_secret_file_that_changes_is_another_secret() {
    System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, testing::SECRET).unwrap();
        let issuer = IssuerSettings {
            keys: KeySource::Secret(path.clone()),
            algorithms: vec![Algorithm::Hs256],
            ..testing::issuer()
        };
        let gateway = Gateway::of(vec![issuer]);
        gateway.fetched(1).await;
        let token = |secret: &[u8]| {
            testing::hs256_token_of(secret, r#"{"alg":"HS256","kid":"any"}"#, &testing::claims().to_string())
        };
        let (old, new) = (token(testing::SECRET), token(&[7; 32]));

        let before = [gateway.identity.authenticate(&old).await, gateway.identity.authenticate(&new).await];
        fs::write(&path, [7; 32]).unwrap();
        // Files are read every second; the manual clock passes it.
        gateway.clock.advance(Duration::from_secs(2));
        gateway.keys(0).wake.notify_one();
        gateway.fetched(2).await;
        let after = [gateway.identity.authenticate(&old).await, gateway.identity.authenticate(&new).await];

        let wrong = Err(Denial::Refused(Reason::Signature));
        assert!(before[0].is_ok() && after[1].is_ok());
        assert_eq!([&before[1], &after[0]], [&wrong, &wrong]);
    });
}

#[test]
fn revocations_are_read_again_while_the_refresher_runs() {
    System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.txt");
        fs::write(&path, "").unwrap();
        let server = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let issuer = IssuerSettings { keys: server.source(), ..testing::issuer() };
        let settings = Settings { revoked_file: Some(path.clone()), ..testing::settings(vec![issuer]) };
        let gateway = Gateway::with(&settings);
        gateway.fetched(1).await;
        let before = gateway.authenticate(&P256).await.is_ok();

        fs::write(&path, "sub:sso:alice\n").unwrap();
        let revoked = timeout(DEADLINE, async {
            while gateway.authenticate(&P256).await.is_ok() {
                tokio::task::yield_now().await;
            }
        });

        assert!(before);
        assert!(revoked.await.is_ok());
        assert_eq!(gateway.authenticate(&P256).await, Err(Denial::Refused(Reason::Revoked)));
    });
}

#[test]
fn a_file_that_cannot_be_read_yet_stops_nobody_on_the_thread_that_waits_for_it() {
    for keys in [KeySource::File, KeySource::Secret] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let is_made = std::process::Command::new("mkfifo").arg(&path).status().unwrap().success();
        assert!(is_made);
        // Opening a pipe lasts until somebody opens its other end. That comes in any case, so that no failure hangs.
        let (go_on, is_running) = std::sync::mpsc::channel();
        let other_end = std::thread::spawn(move || {
            let was_running = is_running.recv_timeout(Duration::from_secs(5)).is_ok();
            fs::write(&path, b"too short").unwrap();
            was_running
        });

        let outcome = System::new().block_on(async {
            let client = outbound::client(&TlsRoots::load(None).unwrap(), fetch::TIMEOUT, fetch::TIMEOUT);
            let origin = origin(keys(folder.path().join("keys")));
            let beside = async { go_on.send(()).unwrap() };
            futures_util::join!(origin.fetch(&client), beside).0
        });

        assert!(outcome.is_err());
        assert!(other_end.join().unwrap(), "nothing else ran while the file was read");
    }
}

#[test]
fn the_files_of_an_issuer_at_a_url_stop_nobody_either() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let (go_on, is_running) = std::sync::mpsc::channel();
    let pipe = path.clone();
    let other_end = std::thread::spawn(move || {
        let was_running = is_running.recv_timeout(Duration::from_secs(5)).is_ok();
        fs::write(&pipe, b"a-token").unwrap();
        was_running
    });

    let (request, keys) = System::new().block_on(async {
        let server = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let client = outbound::client(&TlsRoots::load(None).unwrap(), fetch::TIMEOUT, fetch::TIMEOUT);
        let issuer =
            IssuerSettings { keys: server.source(), bearer_token_file: Some(path.clone()), ..testing::issuer() };
        let origin = Origin::of(&issuer);
        let beside = async { go_on.send(()).unwrap() };
        let keys = futures_util::join!(origin.fetch(&client), beside).0;
        (server.last_request(), keys.map(|keys| keys.key_count()))
    });

    assert!(other_end.join().unwrap(), "nothing else ran while the file was read");
    assert!(matches!(keys, Ok(1)));
    assert!(request.contains("authorization: Bearer a-token"), "{request}");
}

#[test]
fn whoever_asks_for_a_file_of_keys_has_it_at_once_and_a_mistake_takes_nothing_away() {
    System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        fs::write(&path, set_of(&[&P256])).unwrap();
        let next = SigningKey::p256("ec-next");
        let gateway = Gateway::start(vec![KeySource::File(path.clone())]);
        gateway.fetched(1).await;

        // The manual clock stands still, so that the file is not read again by itself.
        fs::write(&path, set_of(&[&next])).unwrap();
        let good = gateway.identity.reload_key_files();
        let after_good = gateway.authenticate(&next).await;
        fs::write(&path, "{").unwrap();
        let bad = gateway.identity.reload_key_files();
        let after_bad = gateway.authenticate(&next).await;

        assert!(matches!(good, Some(Ok(()))));
        let Some(Err(errors)) = bad else { panic!("{bad:?}") };
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["the keys of issuer issuer-0: the answer is not a key set"]);
        assert!(after_good.is_ok() && after_bad.is_ok());
    });
}

#[test]
fn where_no_issuer_has_a_file_there_is_nothing_to_read_again() {
    System::new().block_on(async {
        let server = Server::start(Said::key_set(&set_of(&[&P256]))).await;
        let gateway = Gateway::start(vec![server.source()]);

        assert!(gateway.identity.reload_key_files().is_none() && gateway.identity.reload_revocations().is_none());
    });
}
