//! What an operator's Prometheus reads.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::{Effect, Fault, known};

use crate::harness::{Stage, eventually, urls_path};

/// Every family, and its labels beside those of a histogram's buckets.
const FAMILIES: [(&str, &str, &[&str]); 29] = [
    ("gateway_audit_failures_total", "counter", &[]),
    ("gateway_audit_records_total", "counter", &[]),
    ("gateway_auth_failures_total", "counter", &["reason"]),
    ("gateway_authz_denials_total", "counter", &["action"]),
    ("gateway_build_info", "gauge", &["revision", "version"]),
    ("gateway_cache_bytes", "gauge", &[]),
    ("gateway_cache_lookups_total", "counter", &["layer", "result"]),
    ("gateway_clock_skew_seconds", "gauge", &[]),
    ("gateway_credentials_expiry_timestamp_seconds", "gauge", &[]),
    ("gateway_http_request_duration_seconds", "histogram", &["route"]),
    ("gateway_http_requests_total", "counter", &["method", "route", "status"]),
    ("gateway_jwks_refreshes_total", "counter", &["issuer", "result"]),
    ("gateway_last_reload_successful", "gauge", &["what"]),
    ("gateway_log_lines_dropped_total", "counter", &[]),
    ("gateway_otlp_spans_dropped_total", "counter", &["reason"]),
    ("gateway_otlp_spans_exported_total", "counter", &[]),
    ("gateway_panics_total", "counter", &[]),
    ("gateway_policy_errors_total", "counter", &[]),
    ("gateway_rate_limit_queue_length", "gauge", &["action"]),
    ("gateway_rate_limit_rejections_total", "counter", &["scope"]),
    ("gateway_rate_limit_wait_seconds", "histogram", &["action"]),
    ("gateway_ready", "gauge", &[]),
    ("gateway_reloads_total", "counter", &["result", "what"]),
    ("gateway_shared_store_up", "gauge", &[]),
    ("gateway_tls_certificate_expiry_timestamp_seconds", "gauge", &[]),
    ("gateway_tls_handshakes_total", "counter", &["result"]),
    ("gateway_upstream_request_duration_seconds", "histogram", &["action"]),
    ("gateway_upstream_requests_total", "counter", &["action", "outcome"]),
    ("gateway_wide_readers_total", "counter", &["beyond"]),
];

/// Families with a series for each value that they will ever have, whatever happens; so many series.
const CLOSED: [(&str, usize); 12] = [
    ("gateway_auth_failures_total", 30),
    ("gateway_authz_denials_total", 3),
    ("gateway_cache_lookups_total", 10),
    ("gateway_jwks_refreshes_total", 2),
    ("gateway_last_reload_successful", 5),
    ("gateway_otlp_spans_dropped_total", 3),
    ("gateway_rate_limit_queue_length", 3),
    ("gateway_rate_limit_rejections_total", 4),
    ("gateway_reloads_total", 10),
    ("gateway_tls_handshakes_total", 6),
    ("gateway_upstream_requests_total", 42),
    ("gateway_wide_readers_total", 4),
];

fn scrape(stage: &Stage) -> String {
    stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text()
}

/// The series of a scrape by family, each as its labels: name and value.
fn series(scrape: &str) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut families: BTreeMap<_, Vec<_>> = types.map(|(family, _)| (family.to_owned(), Vec::new())).collect();
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.strip_suffix('}').unwrap_or(labels).split("\",").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.split_once("=\"").unwrap());
        let labels = labels.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned())).collect();
        let of = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let family = if families.contains_key(name) { name } else { of };
        families.get_mut(family).unwrap_or_else(|| panic!("{name} has no type")).push(labels);
    }
    families
}

#[test]
fn every_family_is_there_from_the_start_with_every_value_of_a_closed_set() {
    let stage = Stage::new();

    let scrape = scrape(&stage);

    let series = series(&scrape);
    let names: Vec<_> = series.keys().map(String::as_str).collect();
    assert_eq!(names, FAMILIES.map(|(family, ..)| family));
    for (family, kind, labels) in FAMILIES {
        assert!(scrape.contains(&format!("# TYPE {family} {kind}\n")), "{family}");
        assert!(!series[family].is_empty(), "{family}");
        for found in &series[family] {
            let found: BTreeSet<_> = found.keys().map(String::as_str).filter(|label| *label != "le").collect();
            assert_eq!(found, labels.iter().copied().collect(), "{family}");
        }
    }
    for (family, count) in CLOSED {
        assert_eq!(series[family].len(), count, "{family}");
    }
}

#[test]
fn no_load_makes_a_series_of_a_closed_set() {
    let stage = Stage::new();
    let before = series(&scrape(&stage));

    stage.get(&stage.seed_path());
    stage.get(&urls_path("no-such-backup"));
    stage.gateway.get(&stage.seed_path(), &[("Authorization", "Bearer x.y.z")]);
    stage.control().inject(Fault::api(Effect::Garbage).times(1));
    stage.get(&urls_path("synthetic-1"));
    stage.gateway.get("/instances", &[]);

    let after = series(&scrape(&stage));
    for (family, _) in CLOSED {
        assert_eq!(before[family], after[family], "{family}");
    }
}

#[test]
fn the_upstreams_clock_is_compared_with_ours() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.clock_skew_s = 120);

    stage.get(&stage.seed_path());

    let scrape = scrape(&stage);
    let skew: f64 =
        scrape.lines().find_map(|line| line.strip_prefix("gateway_clock_skew_seconds ")?.parse().ok()).unwrap();
    assert!((118.0..=121.0).contains(&skew), "{skew}");
}

#[test]
fn who_reads_widely_is_counted_without_a_name_and_found_by_the_record_that_the_log_points_to() {
    let stage = Stage::new();
    let paths: Vec<_> = (0..30).map(|number| urls_path(&known::synthetic_backup(number))).collect();

    for path in &paths {
        assert_eq!(stage.get(path).status, 200);
    }

    let scrape = scrape(&stage);
    assert!(scrape.contains("gateway_wide_readers_total{beyond=\"25\"} 1\n"), "{scrape}");
    assert!(scrape.contains("gateway_wide_readers_total{beyond=\"100\"} 0\n"), "{scrape}");
    let is_told = |line: &&str| line.contains("unusually many different backups");
    let told = || stage.gateway.log.lock().unwrap().lines().find(is_told).map(ToOwned::to_owned);
    eventually("the log is read", || told().is_some());
    let line = told().unwrap();
    assert!(!line.contains("alice") && !line.contains("crs-"), "{line}");
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["level"], "WARN");
    let records = stage.gateway.records_of(30);
    let record = records.iter().find(|record| record["event_id"] == event["event_id"]).unwrap();
    assert_eq!(record["subject"], "alice");
}

#[test]
fn one_backup_read_again_and_again_is_no_wide_reading() {
    let stage = Stage::new();

    for _ in 0..40 {
        assert_eq!(stage.get(&stage.seed_path()).status, 200);
    }

    assert!(scrape(&stage).contains("gateway_wide_readers_total{beyond=\"25\"} 0\n"));
}

#[test]
fn the_admin_listener_tells_what_happened_and_the_public_one_does_not() {
    let stage = Stage::new();
    stage.get(&stage.seed_path());
    stage.get(&stage.seed_path());
    stage.get(&urls_path("no-such-backup"));
    stage.gateway.get(&stage.seed_path(), &[]);
    stage.control().inject(Fault::api(Effect::Status(500)).times(1));
    stage.get(&urls_path("synthetic-1"));

    let scrape = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]);
    let public = stage.gateway.get("/metrics", &[]);

    assert_eq!(scrape.status, 200);
    assert_eq!(scrape.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = scrape.text();
    let route = "route=\"/instances/{instance_id}/backups/{backup_id}/urls\"";
    for line in [
        format!("gateway_http_requests_total{{method=\"GET\",{route},status=\"200\"}} 3"),
        format!("gateway_http_requests_total{{method=\"GET\",{route},status=\"401\"}} 1"),
        format!("gateway_http_requests_total{{method=\"GET\",{route},status=\"404\"}} 1"),
        "gateway_auth_failures_total{reason=\"no_token\"} 1".to_owned(),
        "gateway_cache_lookups_total{layer=\"local\",result=\"hit\"} 1".to_owned(),
        "gateway_upstream_requests_total{action=\"DescribeBackupUrl\",outcome=\"ok\"} 2".to_owned(),
        "gateway_upstream_requests_total{action=\"DescribeBackupUrl\",outcome=\"status\"} 1".to_owned(),
        "gateway_upstream_requests_total{action=\"DescribeBackupUrl\",outcome=\"backup_not_found\"} 1".to_owned(),
        "gateway_audit_records_total 4".to_owned(),
        "gateway_audit_failures_total 0".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let cached = text.lines().find_map(|line| line.strip_prefix("gateway_cache_bytes ")).unwrap();
    assert!(cached.parse::<u64>().unwrap() > 0);
    assert!(!text.contains("crs-") && !text.contains("alice"), "a label carries an id");
    public.assert_problem(404, "not_found");
}

#[test]
fn a_path_that_is_percent_encoded_is_counted_as_the_route_that_answers_it() {
    let stage = Stage::new();

    assert_eq!(stage.get(&stage.seed_path().replace("/urls", "/url%73")).status, 200);

    let of_route = "route=\"/instances/{instance_id}/backups/{backup_id}/urls\"";
    let counted = format!("gateway_http_requests_total{{method=\"GET\",{of_route},status=\"200\"}} 1\n");
    assert!(scrape(&stage).contains(&counted), "{}", scrape(&stage));
}
