//! The main job: the URLs of a backup, end to end.

use std::io::Read as _;

use sandbox::{Settings, Shape, TokenSpec, UrlForm, known};
use serde_json::json;

use crate::harness::{Stage, ask, urls_path};

#[test]
fn the_seeds_backup_comes_out_as_five_files_that_can_be_downloaded() {
    let stage = Stage::new();

    let answer = stage.get(&stage.seed_path());

    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    assert_eq!(answer.header("cache-status"), Some("redis-backup-gateway; fwd=miss; stored"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(answer.header("content-security-policy").is_some());
    let body = answer.json();
    assert_eq!(body["instance_id"], known::ORDERS);
    assert_eq!(body["backup_id"], known::SEED_BACKUP);
    assert_eq!(body["region"], known::CHENGDU);
    let files = body["files"].as_array().unwrap();
    assert_eq!(files.len(), 5);
    for file in files {
        assert!(file["name"].as_str().unwrap().ends_with(".rdb"));
        assert!(file["size_bytes"].is_u64());
        let url = file["download_url"].as_str().unwrap();
        assert!(file["inner_download_url"].is_string());
        let mut dump = Vec::new();
        ureq::get(url).call().unwrap().body_mut().as_reader().read_to_end(&mut dump).unwrap();
        assert!(dump.starts_with(b"REDIS"), "{url}");
    }
}

#[test]
fn the_seeds_document_byte_for_byte_has_the_lifetime_that_its_urls_say() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.verbatim_seed = true);

    let answer = stage.get(&stage.seed_path());

    let body = answer.json();
    assert_eq!(body["files"].as_array().map(Vec::len), Some(5), "{body}");
    assert_eq!(body["expires_at"], "2019-03-07T16:02:03Z");
    assert_eq!(body["upstream_request_id"], "f1b5aabe-806a-4886-b839-9907baa24c85");
    // URLs of 2019 are of no use to a cache.
    assert_eq!(answer.header("cache-status"), Some("redis-backup-gateway; fwd=miss"));
}

#[test]
fn a_second_request_is_answered_from_the_cache_with_the_same_bytes() {
    let stage = Stage::new();

    let first = stage.get(&stage.seed_path());
    let second = stage.get(&stage.seed_path());

    assert_eq!(first.body, second.body);
    let status = second.header("cache-status").unwrap();
    let ttl: u64 = status.strip_prefix("redis-backup-gateway; hit; ttl=").unwrap().parse().unwrap();
    // Six hours less the floor of ten minutes, less the moment that the test took.
    assert!((20_900..=21_000).contains(&ttl), "{status}");
    assert_eq!(stage.control().counters().calls_for_backup(known::ORDERS, known::SEED_BACKUP), 1);
}

#[test]
fn every_shape_and_form_of_the_upstreams_answer_is_understood() {
    let settings = |shape, form| Settings {
        shape,
        urls: sandbox::UrlSettings { form, ..Default::default() },
        ..Default::default()
    };
    let stage = Stage::new();
    let shapes = [Shape::default(), Shape::legacy_only(), Shape::backup_infos_only()];
    let forms = [UrlForm::Sign, UrlForm::Parameters, UrlForm::BareSemicolon];

    for (number, (shape, form)) in
        shapes.iter().flat_map(|shape| forms.iter().map(move |form| (shape, form))).enumerate()
    {
        stage.control().update(|current| *current = settings(*shape, *form));

        let answer = stage.get(&urls_path(&known::synthetic_backup(u32::try_from(number).unwrap())));

        assert_eq!(answer.status, 200, "{shape:?} {form:?}: {}", answer.text());
        let body = answer.json();
        let sized = body["files"][0]["size_bytes"].is_u64();
        assert_eq!(sized, *shape != Shape::legacy_only(), "{shape:?}: {body}");
        assert!(body["expires_at"].as_str().unwrap() > body["fetched_at"].as_str().unwrap());
    }
}

#[test]
fn plain_text_is_one_url_a_line_and_network_chooses_the_address() {
    let stage = Stage::new();
    let token = format!("Bearer {}", stage.token());
    let get = |query: &str, accept: &str| {
        let path = format!("{}{query}", stage.seed_path());
        stage.gateway.get(&path, &[("Authorization", &token), ("Accept", accept)])
    };
    let both = get("", "application/json").json();
    let column = |name: &str| {
        let files = both["files"].as_array().unwrap();
        files.iter().map(|file| format!("{}\n", file[name].as_str().unwrap())).collect::<String>()
    };

    let public_text = get("", "text/plain");
    let inner_text = get("&network=inner", "text/plain");
    let public = get("&network=public", "*/*").json();
    let inner = get("&network=inner", "*/*").json();

    assert_eq!(public_text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(public_text.text(), column("download_url"));
    assert_eq!(inner_text.text(), column("inner_download_url"));
    assert!(public["files"][0]["download_url"].is_string() && public["files"][0].get("inner_download_url").is_none());
    assert!(inner["files"][0]["inner_download_url"].is_string() && inner["files"][0].get("download_url").is_none());
    assert_eq!(public["expires_at"], both["expires_at"]);
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 1);
}

#[test]
fn head_is_a_get_without_its_body_in_permission_cost_and_audit() {
    let stage = Stage::new();
    let token = format!("Bearer {}", stage.token());

    let head = ask(stage.gateway.public, "HEAD", &stage.seed_path(), &[("Authorization", &token)]);
    let get = stage.get(&stage.seed_path());
    let denied = ask(stage.gateway.public, "HEAD", &stage.seed_path(), &[]);

    assert_eq!(head.status, 200);
    assert_eq!(head.body, b"");
    assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()));
    assert_eq!(head.header("cache-status"), Some("redis-backup-gateway; fwd=miss; stored"));
    assert!(get.header("cache-status").unwrap().starts_with("redis-backup-gateway; hit"));
    assert_eq!(denied.status, 401);
    stage.gateway.records_of(2);
}

#[test]
fn an_instance_is_found_without_its_region_being_named_and_a_financial_zone_has_its_own_host() {
    let stage = Stage::new();
    let token = stage.sandbox.token(&TokenSpec::new("paula").group("payments").group("dba"));
    let authorization = [("Authorization", format!("Bearer {token}"))];
    let headers: Vec<_> = authorization.iter().map(|(name, value)| (*name, value.as_str())).collect();

    let orders =
        stage.gateway.get(&format!("/instances/{}/backups/{}/urls", known::ORDERS, known::SEED_BACKUP), &headers);
    let ledger =
        stage.gateway.get(&format!("/instances/{}/backups/{}/urls", known::LEDGER, known::LEDGER_BACKUP), &headers);
    let missing = stage.gateway.get(&format!("/instances/crs-nowhere/backups/{}/urls", known::SEED_BACKUP), &headers);
    let missing_again =
        stage.gateway.get(&format!("/instances/crs-nowhere2/backups/{}/urls", known::SEED_BACKUP), &headers);

    assert_eq!(orders.status, 200, "{}", orders.text());
    assert_eq!(orders.json()["region"], known::CHENGDU);
    assert_eq!(ledger.status, 200, "{}", ledger.text());
    assert_eq!(ledger.json()["region"], known::SHANGHAI_FSI);
    assert_eq!(ledger.json()["files"].as_array().map(Vec::len), Some(3));
    missing.assert_problem(404, "instance_not_found");
    missing_again.assert_problem(404, "instance_not_found");
    // Three regions, listed once each: guesses are free within `cache.list_ttl`.
    assert_eq!(stage.control().counters().calls_of("DescribeInstances"), 3);
}

#[test]
fn the_audit_line_says_who_was_given_what_and_holds_no_url() {
    let stage = Stage::new();
    let token = format!("Bearer {}", stage.token());
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("Authorization", token.as_str()),
        ("X-Request-Id", "req-1"),
        ("traceparent", trace),
        ("X-Access-Reason", "INC-4711"),
    ];

    let answer = stage.gateway.get(&stage.seed_path(), &headers);
    let denied = stage.gateway.get(
        &stage.seed_path(),
        &[("Authorization", &format!("Bearer {}", stage.sandbox.token(&TokenSpec::new("mallory"))))],
    );

    assert_eq!(answer.header("x-request-id"), Some("req-1"));
    denied.assert_problem(403, "forbidden");
    let records = stage.gateway.records_of(2);
    let allowed = &records[0];
    for (field, expected) in [
        ("request_id", json!("req-1")),
        ("trace_id", json!("0af7651916cd43dd8448eb211c80319c")),
        ("issuer", json!("sandbox")),
        ("subject", json!("alice")),
        ("groups", json!(["dba"])),
        ("client_ip", json!("127.0.0.1")),
        ("reason", json!("INC-4711")),
        ("action", json!("ReadBackupUrls")),
        ("instance_id", json!(known::ORDERS)),
        ("backup_id", json!(known::SEED_BACKUP)),
        ("region", json!(known::CHENGDU)),
        ("network", json!("both")),
        ("decision", json!("allow")),
        ("status", json!(200)),
        ("cache", json!("miss")),
        ("expires_at", answer.json()["expires_at"].clone()),
        ("upstream_request_id", answer.json()["upstream_request_id"].clone()),
    ] {
        assert_eq!(allowed[field], expected, "{field}: {allowed}");
    }
    assert_ne!(allowed["event_id"], allowed["request_id"]);
    assert!(!allowed["policies"].as_array().unwrap().is_empty());
    assert_eq!(records[1]["decision"], "deny");
    assert_eq!(records[1]["status"], 403);
    assert!(!stage.gateway.audit.lock().unwrap().contains("q-signature"));
}

#[test]
fn no_cache_fetches_anew_once_the_entry_has_an_age() {
    let stage = Stage::with("GATEWAY_CACHE__MIN_AGE=0s");
    let token = format!("Bearer {}", stage.token());
    let headers = [("Authorization", token.as_str()), ("Cache-Control", "no-cache")];
    stage.get(&stage.seed_path());

    let fresh = stage.gateway.get(&stage.seed_path(), &headers);

    assert_eq!(fresh.header("cache-status"), Some("redis-backup-gateway; fwd=request; stored"));
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 2);
}

#[test]
fn no_cache_on_a_young_entry_is_served_from_the_cache() {
    let stage = Stage::new();
    let token = format!("Bearer {}", stage.token());
    stage.get(&stage.seed_path());

    let reload =
        stage.gateway.get(&stage.seed_path(), &[("Authorization", token.as_str()), ("Cache-Control", "no-cache")]);

    assert!(reload.header("cache-status").unwrap().starts_with("redis-backup-gateway; hit"));
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 1);
}
