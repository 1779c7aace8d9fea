//! What the parts of a request cost beside the caller's: the cache, the record, the quota, a signature, the end of a URL;
//! and a hit as a whole, without sockets.

use std::{fs, hint::black_box, net::IpAddr, path::Path, rc::Rc, sync::Arc, time::Duration};

use actix_web::rt::System;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use redis_backup_gateway::{
    audit::Audit,
    broker::{Ask, Asker, BackupName, Broker, Rooms, Worker},
    cache::{Entry, Lifetime, Local, Lookup, Now, Rules},
    config::{self, Config, Variables},
    domain::{BackupId, Caller, Clock, InstanceId, Network, Region, RequestId},
    http,
    metrics::{Metrics, Words},
    outbound::TlsRoots,
    policy::{Policies, Principal},
    quota::{
        Line,
        fair_queue::{Bounds, FairQueue},
        window::{Pace, Window},
    },
    tencent::{
        client::Client,
        cos_url,
        credentials::CredentialStore,
        tc3::{Method, Payload, Request, Scope, SigningKey},
        wire,
    },
    traces::Trace,
};
use sandbox::{Options, Sandbox, credential, known};
use secrecy::SecretString;
use tempfile::TempDir;

/// Requests of one turn of the event loop, as under load.
const AT_ONCE: usize = 32;

const DAY: Duration = Duration::from_secs(86_400);

fn signing(criterion: &mut Criterion) {
    let clock = Clock::machine();
    let request = Request {
        method: Method::Post,
        query: "",
        content_type: "application/json",
        host: "redis.tencentcloudapi.com",
        action: None,
        payload: Payload::Signed(br#"{"InstanceId":"crs-4y9t57vt","BackupId":"678362566696298532848117"}"#),
    };
    let secret = SecretString::from(credential::SECRET_KEY);
    let scope = Scope::at(clock.wall(), "redis");
    let key = SigningKey::derive(&secret, &scope);

    let mut group = criterion.benchmark_group("tc3");
    group.bench_function("sign", |bencher| {
        bencher.iter(|| black_box(request.authorization(credential::SECRET_ID, &secret, &scope)));
    });
    group.bench_function("sign with the day's key at hand", |bencher| {
        bencher.iter(|| black_box(key.sign(&scope.string_to_sign(&request.canonical_request()))));
    });
    group.finish();
}

fn expiry(criterion: &mut Criterion) {
    let answer = fs::read("tests/vectors/describe-backup-url-sample.json").expect("the vendor's sample");
    let urls = wire::backup_urls(&answer).expect("an answer");
    let clock = Clock::machine();

    let mut group = criterion.benchmark_group("answer");
    group.bench_function("read", |bencher| bencher.iter(|| black_box(wire::backup_urls(&answer))));
    group.bench_function("expires_at of ten URLs", |bencher| {
        bencher.iter(|| black_box(cos_url::expires_at(urls.urls(), clock.wall(), Duration::from_secs(60))));
    });
    group.finish();
}

fn cache(criterion: &mut Criterion) {
    const RULES: Rules = Rules {
        max_bytes: 256 << 20,
        min_validity: Duration::from_secs(600),
        refresh_ahead: Duration::from_secs(1800),
        stale_min_validity: Duration::from_secs(60),
        unknown_lifetime: Duration::from_secs(60),
        token_url_max: Duration::from_secs(1800),
        negative_ttl: Duration::from_secs(10),
        min_age: Duration::from_secs(10),
        list_ttl: Duration::from_secs(30),
    };
    let clock = Clock::machine();
    let mut group = criterion.benchmark_group("cache/hit");
    for entries in [100, 10_000] {
        let cache = Local::new(RULES);
        let now = Now::of(&clock);
        let lifetime = Lifetime {
            fetched_at: now.wall,
            fetched_monotonic: now.monotonic,
            expires_at: now.wall + DAY,
            carries_security_token: false,
        };
        let keys: Vec<_> = (0..entries).map(known::synthetic_backup).collect();
        for key in &keys {
            assert!(cache.insert(key.clone(), Arc::new(Entry::new((), lifetime, 10_000, &RULES))));
        }
        let mut next = keys.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(entries), |bencher| {
            bencher.iter(|| {
                let found = cache.look_up(next.next().expect("a cycle has no end"), Now::of(&clock));
                assert!(matches!(black_box(found), Lookup::Fresh { .. }));
            });
        });
    }
    group.finish();
}

/// One caller takes a place, one fetch is granted its token, and the token comes back: a step of a queue that is
/// saturated by `callers`.
fn quota(criterion: &mut Criterion) {
    let clock = Clock::manual(std::time::SystemTime::UNIX_EPOCH + DAY);
    let mut group = criterion.benchmark_group("quota/step");
    for callers in [1, 1_000] {
        let mut queue = FairQueue::new(Bounds { total: 10_000, per_caller: 10_000 });
        let mut window = Window::new(20, Duration::from_millis(50), clock.monotonic());
        let lines: Vec<_> =
            (0..callers).map(|n| Line::Caller { issuer: "sso".into(), caller: format!("caller-{n}").into() }).collect();
        for line in &lines {
            let fetch = queue.open(clock.monotonic());
            queue.take_place(fetch, line, clock.monotonic()).expect("there is room");
        }
        let mut next = lines.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(callers), |bencher| {
            bencher.iter(|| {
                let now = clock.monotonic();
                let fetch = queue.open(now);
                queue.take_place(fetch, next.next().expect("a cycle has no end"), now).expect("there is room");
                clock.advance(Duration::from_millis(53));
                let now = clock.monotonic();
                let token = window.grant(Pace::Spaced, now).expect("a token is back by now");
                window.handed_over(token, now);
                window.answered(token, now);
                let served = queue.serve_next().expect("somebody waits");
                queue.close(black_box(served).fetch);
            });
        });
    }
    group.finish();
}

/// From a request that has been read to the record in the kernel's hands: permission, cache, audit.
fn hit(criterion: &mut Criterion) {
    let sandbox = Sandbox::start(Options::default()).expect("the sandbox starts");
    let files = TempDir::new().expect("a folder");
    let config = configuration(&sandbox, files.path());
    let system = System::new();
    let worker = system.block_on(worker(config));
    let ask = ask(&worker);
    let answer = async || {
        let (outcome, record) = worker.urls(&ask).await.into_parts();
        worker.settle(record, 200).await.expect("there is room on the disk");
        outcome.map(|answer| answer.source).expect("the sandbox has the backup")
    };
    system.block_on(answer());

    let mut group = criterion.benchmark_group("broker");
    group.throughput(Throughput::Elements(AT_ONCE as u64));
    group.bench_function("32 hits at once", |bencher| {
        bencher.iter(|| system.block_on(async { black_box(join_all((0..AT_ONCE).map(|_| answer())).await) }));
    });
    group.finish();
}

fn configuration(sandbox: &Sandbox, folder: &Path) -> Config {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    fs::write(path("audit-key"), BASE64_STANDARD.encode([7; 32])).expect("a file");
    let credentials =
        format!(r#"{{"secret_id": "{}", "secret_key": "{}"}}"#, credential::SECRET_ID, credential::SECRET_KEY);
    fs::write(path("credentials"), credentials).expect("a file");
    let text = format!(
        r#"
[[auth.issuers]]
name = "sandbox"
issuer = "{issuer}"
audiences = ["redis-backup-gateway"]
algorithms = ["RS256"]
jwks_url = "{issuer}/jwks"
[policy]
dir = "config/policies"
[tencent]
regions = ["{region}"]
endpoint = "{api}"
[tencent.credentials]
source = "file"
file = "{credentials}"
[audit]
sink = "file"
file = "{audit}"
key_file = "{key}"
"#,
        issuer = sandbox.issuer_url(),
        region = known::CHENGDU,
        api = sandbox.api_url(),
        credentials = path("credentials"),
        audit = path("audit.jsonl"),
        key = path("audit-key"),
    );
    fs::write(path("gateway.toml"), text).expect("a file");
    match config::load(Some(folder.join("gateway.toml").as_path()), &Variables::default()) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems}"),
    }
}

async fn worker(config: Config) -> Rc<Worker> {
    let clock = Clock::machine();
    let policies = Policies::load(&config.policy.dir).expect("the shipped policies are valid");
    let audit = Audit::start(&config.audit, clock.clone()).expect("a thread");
    let tencent = Arc::new(config.tencent);
    let roots = TlsRoots::load(None).expect("the built-in roots");
    let started = CredentialStore::start(&tencent.credentials, &roots, &clock).await;
    let (credentials, _refresher) = started.expect("the credentials are there");
    let metrics = Metrics::new("bench", &Words::default());
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
    let (broker, drivers) = Broker::new(&tencent, config.rate_limit, config.cache, rooms, clock.clone());
    for driver in drivers {
        actix_web::rt::spawn(async move { driver.run().await });
    }
    Rc::new(Worker::new(broker, Client::new(tencent, &roots, credentials, clock)))
}

fn ask(worker: &Worker) -> Ask {
    let caller = Arc::new(Caller {
        issuer: "sandbox".into(),
        prefix: "".into(),
        subject: "alice".into(),
        groups: vec!["dba".into()],
        email: None,
        scopes: Vec::new(),
        client: None,
    });
    Ask {
        asker: Rc::new(Asker {
            principal: Principal::new(&caller),
            caller,
            client_ip: IpAddr::from([192, 0, 2, 1]),
            reason: None,
            request_id: RequestId::random(),
            trace_id: None,
            trace: Trace::default(),
            deadline: worker.broker().clock().monotonic() + DAY,
        }),
        instance: InstanceId::try_from(known::ORDERS).expect("an instance"),
        backup: BackupName::Id(BackupId::try_from(known::SEED_BACKUP).expect("a backup")),
        region: Some(Region::try_from(known::CHENGDU).expect("a region")),
        network: Network::Both,
        shown: Network::Both,
        wants_fresh: false,
    }
}

criterion_group!(benches, signing, expiry, cache, quota, hit);
criterion_main!(benches);
