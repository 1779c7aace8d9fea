//! The edge: who gets in, what is understood, and in which order a request is judged.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use sandbox::{Algorithm, RegionCheck, TokenSpec, known};

use crate::harness::{PATIENCE, Stage, ask, urls_path};

#[test]
fn errors_come_in_the_contracts_order() {
    let stage = Stage::new();
    let good = format!("Bearer {}", stage.token());
    let stranger = format!("Bearer {}", stage.sandbox.token(&TokenSpec::new("mallory")));
    let urls = urls_path(known::SEED_BACKUP);
    let file = format!("/instances/{}/backups/latest/files/1", known::ORDERS);
    let backups = format!("/instances/{}/backups", known::ORDERS);
    let table: &[(&str, &str, Option<&str>, Option<&str>, u16, &str)] = &[
        ("POST", "/", None, None, 405, "method_not_allowed"),
        ("DELETE", "/docs", None, None, 405, "method_not_allowed"),
        ("GET", "/docs/x", None, None, 404, "not_found"),
        ("GET", "/instancesx", None, None, 404, "not_found"),
        ("DELETE", "/nowhere", None, None, 404, "not_found"),
        ("POST", "/healthz", None, None, 405, "method_not_allowed"),
        ("GET", "/instances/x/y", None, None, 401, "unauthenticated"),
        ("DELETE", &urls, None, None, 401, "unauthenticated"),
        ("GET", &urls, Some("Bearer x.y.z"), None, 401, "unauthenticated"),
        ("GET", &urls, Some("Basic YTpi"), None, 401, "unauthenticated"),
        ("GET", "/instances/x/y", Some(&good), None, 404, "not_found"),
        ("GET", "/instances/", Some(&good), None, 404, "not_found"),
        ("GET", &urls.replace("/urls", "/urls/"), Some(&good), None, 404, "not_found"),
        ("DELETE", &urls, Some(&good), None, 405, "method_not_allowed"),
        ("POST", &urls, Some(&good), None, 405, "method_not_allowed"),
        ("GET", "/instances/-x/backups/b/urls", Some(&good), Some("image/png"), 400, "invalid_request"),
        ("GET", "/instances/-x/backups/b/urls", Some(&stranger), None, 400, "invalid_request"),
        ("GET", &urls, Some(&stranger), Some("image/png"), 406, "not_acceptable"),
        ("GET", &urls, Some(&good), Some("image/png"), 406, "not_acceptable"),
        ("GET", &urls, Some(&good), Some("nonsense"), 400, "invalid_request"),
        ("GET", &urls, Some(&stranger), None, 403, "forbidden"),
        ("GET", &file, None, None, 401, "unauthenticated"),
        ("PUT", &file, Some(&stranger), None, 405, "method_not_allowed"),
        ("GET", &format!("{file}x"), Some(&stranger), None, 400, "invalid_request"),
        ("GET", &file, Some(&stranger), Some("image/png"), 403, "forbidden"),
        ("GET", "/instances", None, Some("image/png"), 401, "unauthenticated"),
        ("POST", "/instances", Some(&stranger), None, 405, "method_not_allowed"),
        ("GET", "/instances?x=1", Some(&stranger), Some("image/png"), 400, "invalid_request"),
        ("GET", "/instances", Some(&stranger), Some("image/png"), 406, "not_acceptable"),
        ("GET", &backups, None, None, 401, "unauthenticated"),
        ("PATCH", &backups, Some(&stranger), None, 405, "method_not_allowed"),
        ("GET", &format!("{backups}?limit=0"), Some(&stranger), Some("image/png"), 400, "invalid_request"),
        ("GET", &backups, Some(&stranger), Some("image/png"), 406, "not_acceptable"),
        ("GET", &backups, Some(&stranger), None, 403, "forbidden"),
    ];

    for (method, path, authorization, accept, status, code) in table {
        let mut headers = Vec::new();
        headers.extend(authorization.map(|value| ("Authorization", value)));
        headers.extend(accept.map(|value| ("Accept", value)));

        let answer = ask(stage.gateway.public, method, path, &headers);

        assert_eq!(answer.status, *status, "{method} {path} {authorization:?}: {}", answer.text());
        answer.assert_problem(*status, code);
        assert_eq!(answer.header("www-authenticate").is_some(), *status == 401);
        assert_eq!(answer.header("allow"), (*status == 405).then_some("GET, HEAD"));
    }
    assert!(stage.control().counters().calls.is_empty());
}

#[test]
fn what_a_path_or_a_query_cannot_say_is_named_in_a_400() {
    let stage = Stage::new();
    let base = format!("/instances/{}/backups/{}/urls", known::ORDERS, known::SEED_BACKUP);
    let table = [
        (format!("{base}?region=ap-nowhere"), "region"),
        (format!("{base}?region="), "region"),
        (format!("{base}?region=ap-chengdu&region=ap-chengdu"), "region"),
        (format!("{base}?network=both"), "network"),
        (format!("{base}?network=PUBLIC"), "network"),
        (format!("{base}?regoin=ap-chengdu"), "regoin"),
        (format!("{base}?token=abc"), "token"),
        (format!("{base}?a%0d%0ab=1"), "unknown"),
        (format!("{base}?region=%zz"), "query"),
        (base.replace(known::ORDERS, "crs%2F4y9t57vt"), "instance_id"),
        (base.replace(known::ORDERS, "crs%252D4y9t57vt"), "instance_id"),
        (base.replace(known::ORDERS, "%00"), "instance_id"),
        (base.replace(known::ORDERS, &"a".repeat(65)), "instance_id"),
        (base.replace(known::SEED_BACKUP, "b.c"), "backup_id"),
        (base.replace(known::SEED_BACKUP, &"a".repeat(129)), "backup_id"),
    ];

    for (path, named) in table {
        let answer = stage.get(&path);

        answer.assert_problem(400, "invalid_request");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(named), "{path}: {detail}");
    }
    assert_eq!(stage.get(&format!("{}&", base.replace("crs-", "crs%2D") + "?region=ap-chengdu")).status, 200);
    let records = stage.gateway.records_of(16);
    assert!(records[..15].iter().all(|record| record["decision"] == "error" && record["status"] == 400));
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 1);
}

#[test]
fn a_denied_caller_learns_nothing_and_costs_nothing() {
    let stage = Stage::new();
    stage.get(&stage.seed_path());
    let stranger = format!("Bearer {}", stage.sandbox.token(&TokenSpec::new("mallory")));
    let before = stage.control().counters();

    let mut details = Vec::new();
    for path in [
        urls_path(known::SEED_BACKUP),
        urls_path("no-such-backup"),
        "/instances/crs-nowhere/backups/b/urls?region=ap-chengdu".to_owned(),
        "/instances/crs-nowhere/backups/b/urls".to_owned(),
    ] {
        let answer = stage.gateway.get(&path, &[("Authorization", &stranger)]);
        answer.assert_problem(403, "forbidden");
        let mut problem = answer.json();
        problem["request_id"] = serde_json::Value::Null;
        details.push(problem);
    }

    assert!(details.windows(2).all(|pair| pair[0] == pair[1]), "{details:?}");
    assert_eq!(stage.control().counters().calls, before.calls);
}

#[test]
fn a_permit_for_one_region_opens_no_instance_of_another_once_its_region_is_known() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.region_check = RegionCheck::Lenient);
    let dba = format!("Bearer {}", stage.token());
    let oncall = stage.sandbox.token(&TokenSpec::new("olga").group("oncall-guangzhou"));
    let oncall = format!("Bearer {oncall}");
    // Somebody who may looks for the instance, and the gateway learns where it lives.
    let by_name = format!("/instances/{}/backups/{}/urls", known::ORDERS, known::SEED_BACKUP);
    assert_eq!(stage.gateway.get(&by_name, &[("Authorization", &dba)]).status, 200);

    let answer = stage.gateway.get(&format!("{by_name}?region=ap-guangzhou"), &[("Authorization", &oncall)]);

    answer.assert_problem(403, "forbidden");
}

#[test]
fn tokens_of_every_algorithm_work_and_broken_ones_do_not() {
    let stage = Stage::new();
    let table = [
        (TokenSpec::new("alice").group("dba"), 200),
        (TokenSpec::new("alice").group("dba").algorithm(Algorithm::Es256), 200),
        (TokenSpec::new("alice").group("dba").algorithm(Algorithm::EdDsa), 200),
        (TokenSpec::new("alice").group("dba").with_broken_signature(), 401),
        (TokenSpec::new("alice").group("dba").audience("another"), 401),
        (TokenSpec::new("alice").group("dba").issuer("https://evil.example"), 401),
        (TokenSpec::new("alice").group("dba").lifetime_s(-60), 401),
        (TokenSpec::new("alice").group("dba").lifetime_s(48 * 3600), 401),
        (TokenSpec::new("").group("dba"), 401),
        (TokenSpec::new("alice").group("dba").header("crit", serde_json::json!(["x"])), 401),
    ];

    for (spec, status) in table {
        let token = format!("Bearer {}", stage.sandbox.token(&spec));

        let answer = stage.gateway.get(&stage.seed_path(), &[("Authorization", &token)]);

        assert_eq!(answer.status, status, "{spec:?}: {}", answer.text());
        if status == 401 {
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.starts_with("Bearer realm=") && challenge.contains("error=\"invalid_token\""));
        }
    }
    let bare = stage.gateway.get(&stage.seed_path(), &[]);
    assert!(!bare.header("www-authenticate").unwrap().contains("error="));
}

#[test]
fn a_message_that_is_not_http_gets_a_bare_400_and_the_connection_closes() {
    let stage = Stage::new();
    for message in ["NONSENSE\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let mut socket = TcpStream::connect(stage.gateway.public).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(message.as_bytes()).unwrap();
        let mut answer = Vec::new();

        socket.read_to_end(&mut answer).unwrap();

        assert!(answer.starts_with(b"HTTP/1.1 400"), "{message:?}: {}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn a_request_id_is_echoed_where_it_is_one_and_made_where_it_is_not() {
    let stage = Stage::new();

    let echoed = stage.gateway.get("/healthz", &[("X-Request-Id", "A-Z_0.9")]);
    let made = stage.gateway.get("/healthz", &[("X-Request-Id", "two words")]);

    assert_eq!(echoed.status, 200);
    assert_eq!(echoed.text(), "ok");
    assert_eq!(echoed.header("x-request-id"), Some("A-Z_0.9"));
    assert_eq!(made.header("x-request-id").map(str::len), Some(32));
}
