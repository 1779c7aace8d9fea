//! What must hold for any request, whatever stands in its path, its query and its header fields; shared by the fuzz target
//! and by the test that replays its corpus.
//!
//! An input is a method, a blank and a target on its first line, then a header field a line. It goes through the whole
//! edge: the real routes, gate and parsers, in front of policies that forbid everything, so that nothing is ever called.

use std::{fs, net::SocketAddr, num::NonZeroU32, rc::Rc, sync::Arc, time::Duration};

use actix_web::{
    App,
    body::to_bytes,
    dev::Service as _,
    http::{
        Method, Uri,
        header::{AUTHORIZATION, HeaderName, HeaderValue},
    },
    middleware::from_fn,
    rt::{System, SystemRunner},
    test::{TestRequest, init_service},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use hmac::{Hmac, KeyInit as _, Mac as _};
use redis_backup_gateway::{
    audit::Audit,
    broker::{Broker, Rooms, Worker},
    config::{self, Config, Variables},
    domain::Clock,
    http::{self, Edge, Health, Lines},
    identity::Identity,
    metrics::{Metrics, Words},
    outbound::TlsRoots,
    policy::Policies,
    quota::CallerQuota,
    tencent::{client::Client, credentials::CredentialStore},
    traces::{Tracer, Traces},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The statuses that a request may come to where nobody may do anything.
const STATUSES: [u16; 9] = [200, 303, 400, 401, 403, 404, 405, 406, 415];

/// The edge, and the runtime that it lives in.
struct Gateway {
    system: SystemRunner,
    call: Box<dyn Fn(TestRequest) -> LocalBoxFuture<'static, Answer>>,
    authorization: HeaderValue,
}

struct Answer {
    status: u16,
    request_id: Option<String>,
    content_type: Option<String>,
    body: Vec<u8>,
}

thread_local! {
    // Never dropped: a runtime cannot end while its thread's own storage is being taken down.
    static GATEWAY: &'static Gateway = Box::leak(Box::new(Gateway::start()));
}

/// Fails by a panic where something does not hold.
pub fn check(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let Some((method, uri)) = lines.next().and_then(request_line) else { return };
    GATEWAY.with(|gateway| {
        let mut request = TestRequest::with_uri("/").method(method.clone()).uri(&uri.to_string());
        request = request.peer_addr(SocketAddr::from(([192, 0, 2, 1], 4711)));
        let mut has_token = false;
        let mut request_id = None;
        for (name, value) in lines.filter_map(field) {
            has_token |= name == AUTHORIZATION;
            if name.as_str() == "x-request-id" {
                request_id.get_or_insert_with(|| value.clone());
            }
            request = request.append_header((name, value));
        }
        if !has_token {
            request = request.insert_header((AUTHORIZATION, gateway.authorization.clone()));
        }

        let answer = gateway.system.block_on((gateway.call)(request));

        assert!(STATUSES.contains(&answer.status), "{method} {uri}: {}", answer.status);
        let echoed = answer.request_id.as_deref().expect("every answer has an id");
        if let Some(sent) = request_id.filter(|sent| is_request_id(sent.as_bytes())) {
            assert_eq!(echoed.as_bytes(), sent.as_bytes());
        }
        if answer.status >= 400 && method != Method::HEAD {
            check_problem(&answer, echoed);
        }
        if answer.status == 403 {
            assert!(names_a_resource(uri.path()), "judged by policy: {uri}");
        }
    });
}

fn check_problem(answer: &Answer, request_id: &str) {
    let Answer { status, content_type, body, .. } = answer;
    assert_eq!(content_type.as_deref(), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(body).expect("a problem is JSON");
    assert_eq!(problem["status"], *status);
    assert_eq!(problem["request_id"], request_id);
    let detail = problem["detail"].as_str().expect("a text");
    assert!(!detail.is_empty() && detail.len() < 2048 && !detail.chars().any(char::is_control), "{detail:?}");
}

/// A second opinion on which paths name something that policy may be asked about.
fn names_a_resource(path: &str) -> bool {
    let segments: Option<Vec<_>> = path.split('/').map(decoded_once).collect();
    let Some(segments) = segments else { return false };
    let segments: Vec<_> = segments.iter().map(Vec::as_slice).collect();
    let is_word = |text: &[u8], most: usize| {
        (1..=most).contains(&text.len())
            && text[0].is_ascii_alphanumeric()
            && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
    };
    match segments.as_slice() {
        [b"", b"instances", instance, b"backups"] => is_word(instance, 64),
        [b"", b"instances", instance, b"backups", backup, b"urls"] => is_word(instance, 64) && is_word(backup, 128),
        [b"", b"instances", instance, b"backups", backup, b"files", file] => {
            is_word(instance, 64) && is_word(backup, 128) && file.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

fn decoded_once(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    Some(decoded)
}

fn request_line(line: &[u8]) -> Option<(Method, Uri)> {
    let (method, target) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let uri: Uri = target.parse().ok()?;
    // The server hands on nothing but what stands in a request line.
    (uri.path().starts_with('/') && !target.contains('#')).then_some((method.parse().ok()?, uri))
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let at = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..at]).ok()?;
    HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok().map(|value| (name, value))
}

fn is_request_id(text: &[u8]) -> bool {
    (1..=128).contains(&text.len()) && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

impl Gateway {
    fn start() -> Self {
        let files = TempDir::new().expect("a folder");
        let config = configuration(&files);
        let clock = Clock::machine();
        let system = System::new();
        let (identity, refresher) = Identity::new(&config.auth, clock.clone()).expect("the secret is fit");
        system.block_on(refresher.run_once());
        let authorization = format!("Bearer {}", token(&clock)).parse().expect("a token can stand in a header");
        let call = system.block_on(serve(config, identity, clock));
        Self { system, call, authorization }
    }
}

/// The gateway's own configuration, read as it reads any.
fn configuration(files: &TempDir) -> Config {
    let path = |name: &str| files.path().join(name).display().to_string();
    fs::create_dir(path("policies")).expect("a folder");
    fs::write(path("policies/nothing.cedar"), "forbid (principal, action, resource);").expect("a file");
    fs::write(path("audit-key"), format!("{}=", "A".repeat(43))).expect("a file");
    fs::write(path("secret"), SECRET).expect("a file");
    let credentials =
        json!({"secret_id": "AKIDfuzz0000000000000000000000000000", "secret_key": "fuzz0000000000000000000000000000"});
    fs::write(path("credentials"), credentials.to_string()).expect("a file");
    let text = format!(
        r#"
[server]
trusted_proxies = ["192.0.2.0/24"]
[[auth.issuers]]
name = "fuzz"
issuer = "https://fuzz.example.internal"
audiences = ["redis-backup-gateway"]
hs256_secret_file = "{secret}"
[policy]
dir = "{policies}"
[tencent]
regions = ["ap-guangzhou", "ap-chengdu"]
endpoint = "http://127.0.0.1:1"
[tencent.credentials]
source = "file"
file = "{credentials}"
[rate_limit.failed_auth]
requests_per_second = 1000000
burst = 1000000
[audit]
sink = "file"
file = "/dev/null"
key_file = "{key}"
"#,
        secret = path("secret"),
        policies = path("policies"),
        credentials = path("credentials"),
        key = path("audit-key"),
    );
    fs::write(path("gateway.toml"), text).expect("a file");
    match config::load(Some(files.path().join("gateway.toml").as_path()), &Variables::default()) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems}"),
    }
}

async fn serve(
    config: Config,
    identity: Arc<Identity>,
    clock: Clock,
) -> Box<dyn Fn(TestRequest) -> LocalBoxFuture<'static, Answer>> {
    let policies = Policies::load(&config.policy.dir).expect("the policy is valid");
    let audit = Audit::start(&config.audit, clock.clone()).expect("a thread");
    let tencent = Arc::new(config.tencent);
    let roots = TlsRoots::load(None).expect("the built-in roots");
    let started = CredentialStore::start(&tencent.credentials, &roots, &clock).await;
    let (credentials, _refresher) = started.expect("the credentials are there");
    let metrics = Metrics::new("fuzz", &Words::default());
    let rooms = Rooms {
        policies,
        audit,
        credentials: Arc::clone(&credentials),
        metrics,
        render: http::kept_body,
        store: None,
        fleet: None,
        shared_cache: None,
    };
    let (broker, _drivers) = Broker::new(&tencent, config.rate_limit, config.cache, rooms, clock.clone());
    let endless = NonZeroU32::MAX;
    let limits = redis_backup_gateway::quota::CallerLimits { requests_per_second: endless, burst: endless };
    let caller_quota = Arc::new(CallerQuota::new(limits, clock.clone()));
    let edge = Rc::new(Edge {
        worker: Rc::new(Worker::new(Arc::clone(&broker), Client::new(tencent, &roots, credentials, clock))),
        identity: Arc::clone(&identity),
        ratelimit_policy: http::ratelimit_policy(&caller_quota),
        caller_quota,
        lines: Lines::default(),
        tracer: Tracer::off(),
        cors: http::cors::Cors::new(&config.cors),
        openapi: http::openapi::document(broker.regions()),
        health: Arc::new(Health::new(broker, identity, Traces::default(), None)),
        trusted_proxies: config.server.trusted_proxies.into(),
        request_timeout: Duration::from_secs(10),
    });
    let app = App::new().app_data(edge).wrap(from_fn(http::outermost)).configure(http::public);
    let service = Rc::new(init_service(app).await);
    Box::new(move |request| {
        let service = Rc::clone(&service);
        async move {
            let response = service.call(request.to_request()).await.expect("errors become answers");
            let text =
                |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let (status, request_id, content_type) =
                (response.status().as_u16(), text("x-request-id"), text("content-type"));
            let Ok(body) = to_bytes(response.into_body()).await else { panic!("a body ends early") };
            Answer { status, request_id, content_type, body: body.to_vec() }
        }
        .boxed_local()
    })
}

/// A token that is good for a day, which is longer than anybody fuzzes.
fn token(clock: &Clock) -> String {
    let now = redis_backup_gateway::domain::clock::unix_seconds(clock.wall());
    let claims = json!({
        "iss": "https://fuzz.example.internal", "aud": "redis-backup-gateway", "sub": "alice", "exp": now + 86_000,
    });
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).expect("any length will do").chain_update(&signed);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
