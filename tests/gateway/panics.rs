//! A panic in one request: the product has none to offer, so this process puts one behind the gateway's own layers and
//! serves it over real sockets. It starts itself once more for that, because what panics are told by belongs to a process.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, middleware::from_fn, rt, web};
use redis_backup_gateway::{
    audit::Audit,
    broker::{Asker, Broker, Rooms, Worker},
    config::{self, Config, Variables},
    domain::{Caller, Clock, RequestId},
    http::{self, Edge, Health, Lines},
    identity::Identity,
    metrics::{Metrics, Readings, Words},
    outbound::TlsRoots,
    policy::{Policies, Principal},
    quota::CallerQuota,
    telemetry,
    tencent::{client::Client, credentials::CredentialStore},
    traces::{self, Trace, Traces},
};
use sandbox::{Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::harness::{Gateway, PATIENCE, configuration};

/// Tells the test that it runs in the process that is to panic.
const PANICS: &str = "GATEWAY_TEST_PANICS";

/// What no output may repeat.
const SAID: &str = "hunter2";

#[test]
#[expect(clippy::disallowed_methods, reason = "how the parent tells the child which of the two it is")]
fn a_panic_in_one_request_is_a_500_for_it_alone_counted_recorded_and_told_by_its_place() {
    if std::env::var_os(PANICS).is_some() {
        panic_in_a_request();
        return;
    }

    let name = "panics::a_panic_in_one_request_is_a_500_for_it_alone_counted_recorded_and_told_by_its_place";
    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(PANICS, "yes")
        .envs(Gateway::credentials())
        .output()
        .unwrap();

    let told = format!("{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success() && told.contains("1 passed"), "{told}");
    assert!(told.contains("\"panicked\"") && told.contains("tests/gateway/panics.rs:"), "{told}");
    assert!(told.contains("\"the request panicked\"") && told.contains("\"its-own-id\""), "{told}");
    assert!(!told.contains(SAID), "{told}");
}

fn panic_in_a_request() {
    let _last_lines = telemetry::LastLines;
    telemetry::start(&telemetry::Settings { level: "info".to_owned(), format: telemetry::Format::Json }).unwrap();
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let files = TempDir::new().unwrap();
    let audit_file = files.path().join("audit.jsonl");

    let metrics = rt::System::new().block_on(async {
        let (address, metrics, server) = serve(load(&sandbox, &files)).await;
        let asked = web::block(move || ask(address)).await.unwrap();
        server.stop(true).await;
        for (status, text) in asked {
            assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{text}");
            let problem = text.split_once("\r\n\r\n").unwrap().1;
            if status == 500 {
                let problem: Value = serde_json::from_str(problem).unwrap();
                assert_eq!((&problem["code"], &problem["request_id"]), (&"internal".into(), &"its-own-id".into()));
                assert!(text.contains("x-request-id: its-own-id\r\n"), "{text}");
            }
        }
        metrics
    });

    let readings = Readings {
        is_ready: true,
        cache_bytes: 0,
        queue_lengths: vec![],
        credentials_expiry: None,
        jwks_refreshes: vec![],
        reloads: vec![],
        spans_exported: 0,
        spans_dropped: traces::Counts::default().dropped(),
    };
    let counted = String::from_utf8(metrics.render(&readings)).unwrap();
    assert!(counted.contains("\ngateway_panics_total 2\n"), "{counted}");
    let of_status = "gateway_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"500\"} 2";
    assert!(counted.contains(of_status), "{counted}");
    let records = std::fs::read_to_string(audit_file).unwrap();
    let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = records.iter().map(|record| (&record["status"], record["subject"].as_str().unwrap())).collect();
    assert_eq!(told, [(&Value::from(500), "alice"), (&Value::from(500), "alice")]);
}

/// Requests on two connections; the second waits for its answer while the first panics, twice, and goes on.
fn ask(address: SocketAddr) -> Vec<(u16, String)> {
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let send = |stream: &mut TcpStream, path: &str| {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: gateway\r\nX-Request-Id: its-own-id\r\n\r\n").unwrap();
    };
    let (mut beside, mut panicking) = (connect(), connect());
    send(&mut beside, "/waits");
    let mut answers = Vec::new();
    for (path, status) in [("/panics", 500), ("/healthz", 200), ("/panics", 500), ("/goes-on", 200)] {
        send(&mut panicking, path);
        answers.push((status, answer(&mut panicking)));
    }
    answers.push((200, answer(&mut beside)));
    answers
}

/// One answer with a length.
fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the connection was closed after {text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.unwrap().parse::<usize>().unwrap() == body.len() {
            return text;
        }
    }
}

fn load(sandbox: &Sandbox, files: &TempDir) -> Config {
    let path = |name: &str| files.path().join(name);
    std::fs::write(path("key"), format!("{}=", "A".repeat(43))).unwrap();
    let audit = format!(
        "\n[audit]\nsink = \"file\"\nfile = \"{}\"\nkey_file = \"{}\"\n",
        path("audit.jsonl").display(),
        path("key").display()
    );
    std::fs::write(path("gateway.toml"), configuration(sandbox) + &audit).unwrap();
    config::load(Some(&path("gateway.toml")), &Variables::default())
        .unwrap_or_else(|problems| panic!("{problems}"))
        .config
}

/// The gateway's layers and routes, and three routes beside them.
async fn serve(config: Config) -> (SocketAddr, Arc<Metrics>, actix_web::dev::ServerHandle) {
    let clock = Clock::machine();
    let (identity, _refresher) = Identity::new(&config.auth, clock.clone()).unwrap();
    let policies = Policies::load(&config.policy.dir).unwrap();
    let audit = Audit::start(&config.audit, clock.clone()).unwrap();
    let tencent = Arc::new(config.tencent);
    let roots = TlsRoots::built_in();
    let (credentials, _renewer) = CredentialStore::start(&tencent.credentials, &roots, &clock).await.unwrap();
    let metrics = Metrics::new("test", &Words::default());
    let panics = metrics.panics.clone();
    telemetry::count_panics(move || panics.inc());
    let rooms = Rooms {
        policies,
        audit,
        credentials: Arc::clone(&credentials),
        metrics: Arc::clone(&metrics),
        render: http::kept_body,
        store: None,
        fleet: None,
        shared_cache: None,
    };
    let (broker, _drivers) = Broker::new(&tencent, config.rate_limit, config.cache, rooms, clock.clone());
    let caller_quota = Arc::new(CallerQuota::new(config.per_caller, clock.clone()));
    let traces = Traces::start(None, &clock).unwrap();
    let health = Arc::new(Health::new(Arc::clone(&broker), Arc::clone(&identity), traces.clone(), None));
    let cors = http::cors::Cors::new(&config.cors);
    let edge = move || {
        let client = Client::new(Arc::clone(&tencent), &roots, Arc::clone(&credentials), clock.clone());
        Rc::new(Edge {
            worker: Rc::new(Worker::new(Arc::clone(&broker), client)),
            identity: Arc::clone(&identity),
            ratelimit_policy: http::ratelimit_policy(&caller_quota),
            caller_quota: Arc::clone(&caller_quota),
            lines: Lines::default(),
            tracer: traces.tracer(&clock),
            cors: cors.clone(),
            openapi: http::openapi::document(broker.regions()),
            health: Arc::clone(&health),
            trusted_proxies: Arc::from([]),
            request_timeout: Duration::from_secs(10),
        })
    };
    let go_on = Arc::new(Semaphore::new(0));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(edge())
            .app_data(web::Data::from(Arc::clone(&go_on)))
            .wrap(from_fn(http::outermost))
            .route("/panics", web::get().to(decide_and_panic))
            .route("/waits", web::get().to(waits))
            .route("/goes-on", web::get().to(goes_on))
            .configure(http::public)
    });
    let server = server.workers(1).disable_signals().shutdown_timeout(1).bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    rt::spawn(server);
    (address, metrics, handle)
}

/// A decision is on its way to the record, and then something is wrong.
async fn decide_and_panic(request: actix_web::HttpRequest) -> HttpResponse {
    let edge = Rc::clone(request.app_data::<Rc<Edge>>().unwrap());
    let caller = Arc::new(Caller {
        issuer: "sandbox".into(),
        prefix: "".into(),
        subject: "alice".into(),
        groups: vec![],
        email: None,
        scopes: vec![],
        client: None,
    });
    let asker = Asker {
        principal: Principal::new(&caller),
        caller,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        reason: None,
        request_id: RequestId::try_from("its-own-id").unwrap(),
        trace_id: None,
        trace: Trace::default(),
        deadline: edge.worker.broker().clock().monotonic(),
    };
    let _record = edge.worker.record_of_error(&asker);
    tokio::task::yield_now().await;
    panic!("{SAID}")
}

async fn waits(go_on: web::Data<Semaphore>) -> HttpResponse {
    let _turn = go_on.acquire().await.unwrap();
    HttpResponse::Ok().body("it waited")
}

async fn goes_on(go_on: web::Data<Semaphore>) -> HttpResponse {
    go_on.add_permits(1);
    HttpResponse::Ok().body("it goes on")
}
