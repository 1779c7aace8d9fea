//! What an operator's Prometheus reads.

use sandbox::{Effect, Fault};

use crate::harness::{Stage, urls_path};

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
