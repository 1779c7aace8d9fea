//! The process: how it starts, refuses to start, drains and ends.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use sandbox::{Effect, Fault, Options, Sandbox, Target};

use crate::harness::{Client, Gateway, PATIENCE, Stage, configuration, eventually};

#[test]
fn sigterm_lets_requests_in_flight_end_and_exits_with_zero() {
    let mut stage = Stage::new();
    stage.control().inject(Fault::api(Effect::LatencyMs(500)).times(1));
    let (public, path, token) = (stage.gateway.public, stage.seed_path(), stage.token());
    let in_flight = thread::spawn(move || {
        crate::harness::ask(public, "GET", &path, &[("Authorization", &format!("Bearer {token}"))])
    });
    // An idle keep-alive connection must not hold the process up.
    let mut idle = TcpStream::connect(public).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n").unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 1024];
    assert!(idle.read(&mut buffer).unwrap() > 0);
    let control = stage.control();
    eventually("the call is under way", || control.counters().calls_of("DescribeBackupUrl") == 1);

    stage.gateway.signal("TERM");
    let answer = in_flight.join().unwrap();
    let status = stage.gateway.wait();

    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(status.code(), Some(0));
    stage.gateway.records_of(1);
}

#[test]
fn a_worker_that_stops_takes_no_fetch_from_those_who_wait_elsewhere() {
    let mut stage = Stage::with("GATEWAY_SERVER__WORKERS=6\nGATEWAY_TENCENT__TIMEOUT=5s");
    stage.control().update(|settings| settings.latency_ms = 1_000);
    let (public, token) = (stage.gateway.public, stage.token());
    let control = stage.control();
    // Connections go to the workers in turn, so the one that waits is not on the worker of the one that opened.
    let mut waiters = Vec::new();
    for number in 0..4 {
        let path = crate::harness::urls_path(&format!("synthetic-{number}"));
        let mut leader = TcpStream::connect(public).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n");
        leader.write_all(head.as_bytes()).unwrap();
        eventually("the call is under way", || control.counters().calls_of("DescribeBackupUrl") > number);
        let (path, token) = (path.clone(), token.clone());
        waiters.push(thread::spawn(move || {
            crate::harness::ask(public, "GET", &path, &[("Authorization", &format!("Bearer {token}"))])
        }));
        drop(leader);
    }
    eventually("all have asked", || {
        let metrics = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
        metrics.contains("gateway_cache_lookups_total{layer=\"local\",result=\"miss\"} 8")
    });

    stage.gateway.signal("TERM");
    let answers: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();

    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers.iter().map(|a| a.status).collect::<Vec<_>>()
    );
    assert_eq!(stage.gateway.wait().code(), Some(0));
}

#[test]
fn a_drain_that_cuts_a_request_says_so() {
    let mut stage = Stage::with("GATEWAY_SERVER__SHUTDOWN_GRACE=1s\nGATEWAY_TENCENT__TIMEOUT=9s");
    stage.control().inject(Fault::api(Effect::Hang));
    let (path, token) = (stage.seed_path(), stage.token());
    let mut socket = TcpStream::connect(stage.gateway.public).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
    let control = stage.control();
    eventually("the call is under way", || control.counters().calls_of("DescribeBackupUrl") == 1);

    stage.gateway.signal("TERM");
    let status = stage.gateway.wait();

    assert_eq!(status.code(), Some(0));
    eventually("it is told", || stage.gateway.log.lock().unwrap().contains("drained"));
    let log = stage.gateway.log.lock().unwrap();
    assert!(log.contains("\"unanswered\":1") && !log.contains("\"drained\""), "{log}");
    drop(log);
    // It was permitted and called for, so it is on the record all the same.
    assert_eq!(stage.gateway.records_of(1)[0]["status"], 499);
}

#[test]
fn a_request_that_does_not_end_holds_the_end_up_no_longer_than_the_grace() {
    const GRACE: Duration = Duration::from_secs(2);
    let mut stage = Stage::with("GATEWAY_SERVER__SHUTDOWN_GRACE=2s\nGATEWAY_TENCENT__TIMEOUT=9s");
    stage.control().inject(Fault::api(Effect::Hang));
    let (path, token) = (stage.seed_path(), stage.token());
    let mut socket = TcpStream::connect(stage.gateway.public).unwrap();
    // Who has connected and says nothing is waited for first.
    let _silent = TcpStream::connect(stage.gateway.public).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
    let control = stage.control();
    eventually("the call is under way", || control.counters().calls_of("DescribeBackupUrl") == 1);

    let began = crate::harness::started();
    stage.gateway.signal("TERM");
    let code = stage.gateway.wait().code();
    let took = began.elapsed();

    assert_eq!(code, Some(0));
    assert!(took < GRACE, "{took:?}");
    stage.gateway.records_of(1);
}

#[test]
fn connections_that_are_held_open_without_asking_keep_no_probe_from_its_answer() {
    let stage = Stage::new();
    let admin = stage.gateway.admin;
    let asked = |count| {
        (0..count).map(|_| {
            let mut stream = TcpStream::connect(admin).unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n").unwrap();
            stream
        })
    };
    let mut held: Vec<_> = asked(150).collect();
    held.extend((0..150).map(|_| TcpStream::connect(admin).unwrap()));
    held.extend((0..150).map(|_| {
        let mut stream = TcpStream::connect(admin).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
        stream
    }));
    let began = crate::harness::started();

    let health = stage.gateway.ask(admin, "GET", "/healthz", &[]).status;
    let took = began.elapsed();

    assert_eq!(health, 200);
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(held);
}

#[test]
fn while_draining_it_is_not_ready_but_still_accepts() {
    let mut stage = Stage::with("GATEWAY_SERVER__DRAIN_DELAY=2s");

    stage.gateway.signal("TERM");
    eventually("it is not ready", || stage.gateway.ask(stage.gateway.admin, "GET", "/readyz", &[]).status == 503);
    let late = stage.get(&stage.seed_path());

    assert_eq!(late.status, 200);
    assert_eq!(late.header("connection"), Some("close"));
    assert_eq!(stage.gateway.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let mut stage = Stage::with("GATEWAY_SERVER__DRAIN_DELAY=10m");

        stage.gateway.signal(first);
        eventually("it drains", || stage.gateway.log.lock().unwrap().contains("draining"));
        stage.gateway.signal(second);

        assert_eq!(stage.gateway.wait().code(), Some(1));
    }
}

#[test]
fn a_second_signal_does_not_wait_for_requests_in_flight() {
    let mut stage = Stage::with("GATEWAY_SERVER__SHUTDOWN_GRACE=10m\nGATEWAY_TENCENT__TIMEOUT=9s");
    stage.control().inject(Fault::api(Effect::Hang));
    let mut socket = TcpStream::connect(stage.gateway.public).unwrap();
    let (path, token) = (stage.seed_path(), stage.token());
    write!(socket, "GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
    let control = stage.control();
    eventually("the call is under way", || control.counters().calls_of("DescribeBackupUrl") == 1);

    stage.gateway.signal("TERM");
    eventually("it waits for the request", || stage.gateway.log.lock().unwrap().contains("no longer accepting"));
    let began = crate::harness::started();
    stage.gateway.signal("TERM");

    assert_eq!(stage.gateway.wait().code(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn of_connections_that_arrive_during_a_drain_none_that_was_let_in_is_dropped() {
    for round in 0..4 {
        let mut stage = Stage::with(&format!(
            "GATEWAY_SERVER__DRAIN_DELAY={}ms\nGATEWAY_RATE_LIMIT__PER_CALLER__BURST=1000000",
            round * 100
        ));
        assert_eq!(stage.get(&stage.seed_path()).status, 200);
        let (public, path, token) = (stage.gateway.public, stage.seed_path(), stage.token());
        let head = format!("GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n");
        let (before, after) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let has_begun = AtomicBool::new(false);

        let dropped = thread::scope(|scope| {
            let caller = || {
                let mut dropped = Vec::new();
                // Nobody else is let in once somebody was not: the socket is closed after that.
                while let Ok(mut stream) = TcpStream::connect_timeout(&public, Duration::from_millis(500)) {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let mut answer = String::new();
                    let asked = stream.write_all(head.as_bytes()).and_then(|()| {
                        let mut first = [0; 12];
                        stream.read_exact(&mut first).map(|()| answer.push_str(&String::from_utf8_lossy(&first)))
                    });
                    if asked.is_err() || answer != "HTTP/1.1 200" {
                        dropped.push(format!("{asked:?} {answer}"));
                    }
                    let phase = if has_begun.load(Ordering::Relaxed) { &after } else { &before };
                    phase.fetch_add(1, Ordering::Relaxed);
                }
                dropped
            };
            let callers: Vec<_> = (0..8).map(|_| scope.spawn(caller)).collect();
            eventually("there is load", || before.load(Ordering::Relaxed) > 200);
            has_begun.store(true, Ordering::Relaxed);
            stage.gateway.signal("TERM");
            callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect::<Vec<_>>()
        });

        assert!(dropped.is_empty(), "{} were dropped, the first: {}", dropped.len(), dropped[0]);
        assert!(after.load(Ordering::Relaxed) > 0, "nobody arrived during the drain");
        assert_eq!(stage.gateway.wait().code(), Some(0));
        assert!(!stage.gateway.log.lock().unwrap().contains("unanswered"));
    }
}

#[test]
fn a_connection_that_has_been_made_when_the_door_closes_may_still_ask() {
    let mut stage = Stage::new();
    let (path, token) = (stage.seed_path(), stage.token());
    let mut early = TcpStream::connect(stage.gateway.public).unwrap();
    let mut silent = TcpStream::connect(stage.gateway.public).unwrap();

    stage.gateway.signal("TERM");
    eventually("it drains", || stage.gateway.log.lock().unwrap().contains("draining"));
    crate::harness::wait(Duration::from_millis(100));
    write!(early, "GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
    early.set_read_timeout(Some(PATIENCE)).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut answer, mut nothing) = (String::new(), String::new());
    early.read_to_string(&mut answer).unwrap();
    let _ = silent.read_to_string(&mut nothing);

    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert_eq!(nothing, "");
    assert_eq!(stage.gateway.wait().code(), Some(0));
    assert!(stage.gateway.log.lock().unwrap().contains("\"silent\":1"));
}

#[test]
fn with_few_open_files_connections_wait_and_those_that_are_served_are_not_disturbed() {
    const SERVED: usize = 32;
    let sandbox = Sandbox::start(Options::default()).unwrap();
    // Half of 64 files is for connections.
    let gateway = Gateway::launched(r#"ulimit -n 64; exec "$0" "$@""#, &configuration(&sandbox), "");
    let ask = |stream: &mut TcpStream| stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n").unwrap();
    let hears = |stream: &mut TcpStream, patience| {
        stream.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 1024];
        stream.read(&mut buffer).is_ok_and(|count| buffer[..count].starts_with(b"HTTP/1.1 200"))
    };
    let connected = |count| (0..count).map(|_| TcpStream::connect(gateway.public).unwrap()).collect::<Vec<_>>();

    let mut served = connected(SERVED);
    served.iter_mut().for_each(ask);
    assert!(served.iter_mut().all(|stream| hears(stream, PATIENCE)));
    let mut beyond = connected(4);
    beyond.iter_mut().for_each(ask);
    assert!(!beyond.iter_mut().any(|stream| hears(stream, Duration::from_millis(100))));
    served.iter_mut().for_each(ask);
    assert!(served.iter_mut().all(|stream| hears(stream, PATIENCE)));
    served.truncate(SERVED - 4);

    assert!(beyond.iter_mut().all(|stream| hears(stream, PATIENCE)));
    let log = gateway.log.lock().unwrap();
    assert!(log.contains("the limit of open files is low") && log.contains("\"connections_a_worker\":16"), "{log}");
}

#[test]
fn there_is_a_worker_for_each_processor_that_it_may_use() {
    let sandbox = Sandbox::start(Options::default()).unwrap();

    let gateway =
        Gateway::launched(r#"exec taskset -c 0 "$0" "$@""#, &configuration(&sandbox), "GATEWAY_SERVER__WORKERS=0");

    let log = gateway.log.lock().unwrap();
    assert!(log.lines().any(|line| line.contains("\"listening\"") && line.contains("\"workers\":1,")), "{log}");
}

#[test]
fn open_files_are_raised_to_what_the_system_allows() {
    let sandbox = Sandbox::start(Options::default()).unwrap();

    let gateway = Gateway::launched(r#"ulimit -Sn 256; ulimit -Hn 9000; exec "$0" "$@""#, &configuration(&sandbox), "");

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().collect::<Vec<_>>()[3..5], ["9000", "9000"]);
    assert!(!gateway.log.lock().unwrap().contains("the limit of open files"));
}

#[test]
fn everything_that_keeps_it_from_serving_is_told_at_once_a_line_each() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let (public, admin) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [public, admin].map(|taken| (taken.local_addr().unwrap().to_string(), taken));
    let policies = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        std::fs::write(policies.path().join(format!("{name}.cedar")), "permit (principal, action);").unwrap();
    }
    let variables = [
        ("GATEWAY_SERVER__LISTEN", addresses[0].0.as_str()),
        ("GATEWAY_SERVER__ADMIN_LISTEN", &addresses[1].0),
        ("TENCENTCLOUD_SECRET_KEY", ""),
        ("GATEWAY_TENCENT__CA_FILE", "/nonexistent/ca.pem"),
        ("GATEWAY_AUTH__REVOKED_FILE", "/nonexistent/revoked"),
        ("GATEWAY_POLICY__DIR", policies.path().to_str().unwrap()),
        ("GATEWAY_AUDIT__SINK", "file"),
        ("GATEWAY_AUDIT__FILE", "/nonexistent/audit"),
        ("GATEWAY_AUDIT__KEY_FILE", "/nonexistent/key"),
    ];

    let started = run(&sandbox, &["serve"], &variables);
    let checked = run(&sandbox, &["check-config"], &variables);

    let told = String::from_utf8(started.stderr).unwrap();
    let in_the_log = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let in_the_log: Vec<_> = in_the_log.map(|event| event["key"].as_str().unwrap().to_owned()).collect();
    let plain: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("redis-backup-gateway: ")).collect();
    let plain: Vec<_> = plain.iter().map(|line| line.split_once(": ").unwrap().0).collect();
    let expected = [
        "tencent.ca_file",
        "tencent.credentials",
        "auth.revoked_file",
        "policy.dir",
        "policy.dir",
        "server.listen",
        "server.admin_listen",
        "audit.key_file",
        "audit.file",
    ];
    assert_eq!((started.status.code(), &*plain), (Some(2), &expected[..]), "{told}");
    assert_eq!(in_the_log, expected, "{told}");
    assert!(addresses.iter().all(|(address, _)| told.contains(address)), "{told}");
    // The same of the files alone: ports and variables are those of the machine that it will run on.
    let listed = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{listed}");
    for (key, lines) in expected.iter().map(|key| (key, expected.iter().filter(|other| *other == key).count())) {
        let is_of_a_file = !key.starts_with("server") && *key != "tencent.credentials";
        let listed_lines = listed.lines().filter(|line| line.trim_start().starts_with(&format!("{key} "))).count();
        assert_eq!(listed_lines, if is_of_a_file { lines } else { 0 }, "{key}: {listed}");
    }
}

#[test]
fn missing_credentials_are_named_with_their_variable() {
    let sandbox = Sandbox::start(Options::default()).unwrap();

    let output = run(&sandbox, &["serve"], &[("TENCENTCLOUD_SECRET_KEY", "")]);

    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("TENCENTCLOUD_SECRET_KEY"), "{text}");
}

#[test]
fn unfit_files_of_every_issuer_are_told_and_one_whose_root_is_missing_calls_nobody() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let configuration = format!(
        r#"{}
[[auth.issuers]]
name = "second"
prefix = "second:"
issuer = "https://second.example"
audiences = ["redis-backup-gateway"]
algorithms = ["HS256"]
hs256_secret_file = "/nonexistent/secret"

[[auth.issuers]]
name = "third"
prefix = "third:"
issuer = "https://third.example"
audiences = ["redis-backup-gateway"]
algorithms = ["RS256"]
ca_file = "/nonexistent/ca.pem"
"#,
        configuration(&sandbox)
    );
    let sts = sandbox.sts_url();
    let variables = [
        ("GATEWAY_TENCENT__CA_FILE", "/nonexistent/ca.pem"),
        ("GATEWAY_TENCENT__CREDENTIALS__STS_ENDPOINT", sts.as_str()),
        ("GATEWAY_TENCENT__CREDENTIALS__ASSUME_ROLE_ARN", "qcs::cam::uin/100000000001:roleName/of-nobody"),
    ];

    let output = run_with(&configuration, &["serve"], &variables);

    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let plain: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("redis-backup-gateway: ")).collect();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(plain.len(), 3, "{text}");
    assert!(plain[0].starts_with("tencent.ca_file: "), "{text}");
    assert!(plain[1].starts_with("auth.issuers: hs256_secret_file of issuer second"), "{text}");
    assert!(plain[2].starts_with("auth.issuers: ca_file of issuer third"), "{text}");
}

#[test]
fn without_credentials_all_that_was_looked_for_is_named_and_a_dead_metadata_service_is_not_waited_for() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    sandbox.control().inject(Fault::new(Target::Metadata, Effect::Hang));
    let metadata = sandbox.metadata_url();
    let began = crate::harness::started();

    let variables = [
        ("TENCENTCLOUD_SECRET_ID", ""),
        ("TENCENTCLOUD_SECRET_KEY", ""),
        ("HOME", "/nowhere"),
        ("GATEWAY_TENCENT__CREDENTIALS__SOURCE", "auto"),
        ("GATEWAY_TENCENT__CREDENTIALS__METADATA_ENDPOINT", metadata.as_str()),
    ];
    let output = run(&sandbox, &["serve"], &variables);

    assert_eq!(output.status.code(), Some(2));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for named in [
        "TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY are not set",
        "tencent.credentials.file is not set",
        "/nowhere/.tencentcloud/credentials",
        "/etc/tencentcloud/credentials",
        &format!("{metadata} does not answer in time"),
        "TKE_WEB_IDENTITY_TOKEN_FILE",
    ] {
        assert!(text.contains(named), "{named} is not in {text}");
    }
}

#[test]
fn check_config_reads_the_policies_too() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let policies = tempfile::tempdir().unwrap();
    std::fs::write(policies.path().join("typo.cedar"), "permit(principal, action, resource) when { principal.emial };")
        .unwrap();

    let valid = run(&sandbox, &["check-config"], &[]);
    let invalid = run(&sandbox, &["check-config"], &[("GATEWAY_POLICY__DIR", policies.path().to_str().unwrap())]);

    assert_eq!(valid.status.code(), Some(0), "{}", String::from_utf8_lossy(&valid.stderr));
    assert_eq!(invalid.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&invalid.stderr).contains("typo.cedar:1:"));
}

#[test]
fn health_asks_the_admin_listener() {
    let stage = Stage::new();
    let admin = stage.gateway.admin.to_string();

    let alive = run(&stage.sandbox, &["health"], &[("GATEWAY_SERVER__ADMIN_LISTEN", &admin)]);
    let dead = run(&stage.sandbox, &["health"], &[("GATEWAY_SERVER__ADMIN_LISTEN", "127.0.0.1:1")]);

    assert_eq!(alive.status.code(), Some(0));
    assert_eq!(dead.status.code(), Some(1));
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up_and_what_it_lost_is_told_once_it_is_read() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let log_much =
        "GATEWAY_LOG__LEVEL=info,access=info,actix_http=trace\nGATEWAY_RATE_LIMIT__PER_CALLER__BURST=1000000";
    let (gateway, unread) = Gateway::with_log_unread(&configuration(&sandbox), log_much);
    let mut stage = Stage { sandbox, gateway };
    let lost = |stage: &Stage| {
        let metrics = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
        let count = metrics.lines().find_map(|line| line.strip_prefix("gateway_log_lines_dropped_total "));
        count.unwrap().parse::<u64>().unwrap()
    };
    let client = Client::new(&stage, &stage.token());

    // More than a pipe holds and more than waits for one.
    eventually("lines are lost", || {
        assert_eq!(client.get(&stage.seed_path()).status, 200);
        lost(&stage) > 0
    });
    let miss = stage.get(&crate::harness::urls_path("synthetic-1"));
    let health = [stage.gateway.public, stage.gateway.admin]
        .map(|address| stage.gateway.ask(address, "GET", "/healthz", &[]).status);
    drop(unread);
    eventually("it is told", || stage.gateway.log.lock().unwrap().contains("lines of the log were lost"));
    let told = stage.gateway.log.lock().unwrap().clone();

    assert_eq!((miss.status, health), (200, [200, 200]));
    let told = told.lines().find(|line| line.contains("lines of the log were lost")).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(told).unwrap()["lines"].as_u64() > Some(0), "{told}");
    stage.gateway.signal("TERM");
    assert_eq!(stage.gateway.wait().code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_the_process_from_ending() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let log_much =
        "GATEWAY_LOG__LEVEL=info,access=info,actix_http=trace\nGATEWAY_RATE_LIMIT__PER_CALLER__BURST=1000000";
    let (gateway, unread) = Gateway::with_log_unread(&configuration(&sandbox), log_much);
    let mut stage = Stage { sandbox, gateway };
    let client = Client::new(&stage, &stage.token());
    for _ in 0..200 {
        assert_eq!(client.get(&stage.seed_path()).status, 200);
    }
    let began = crate::harness::started();

    stage.gateway.signal("TERM");
    let code = stage.gateway.wait().code();

    assert_eq!(code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(unread);
}

#[test]
fn the_audit_must_be_writable_or_no_url_leaves() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let stage = Stage::with_stdout(full.into(), "");

    let answer = stage.get(&stage.seed_path());

    answer.assert_problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
    assert!(!answer.text().contains("http://"));
    let ready = stage.gateway.ask(stage.gateway.admin, "GET", "/readyz", &[]);
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["audit"], "failing");
}

/// A command of the program with the configuration of a gateway in front of `sandbox`.
pub fn run(sandbox: &Sandbox, arguments: &[&str], variables: &[(&str, &str)]) -> std::process::Output {
    run_with(&configuration(sandbox), arguments, variables)
}

fn run_with(configuration: &str, arguments: &[&str], variables: &[(&str, &str)]) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-backup-gateway"));
    command.args(arguments).arg("--config").arg(&file).env_clear();
    command.envs(Gateway::credentials()).envs(variables.iter().copied());
    command.output().unwrap()
}
