use super::*;

fn metrics() -> Arc<Metrics> {
    Metrics::new(
        "abc",
        &Words {
            auth_failure_reasons: &["expired"],
            upstream_actions: &["DescribeBackupUrl"],
            upstream_outcomes: &["ok", "timeout"],
        },
    )
}

fn rendered(metrics: &Metrics) -> String {
    let readings = Readings {
        is_ready: true,
        cache_bytes: 4096,
        queue_lengths: vec![("DescribeBackupUrl", 3)],
        credentials_expiry: Some(1_551_952_863),
        jwks_refreshes: vec![("sso", 2, 1)],
        reloads: vec![("key_files", false)],
        spans_exported: 12,
        spans_dropped: [("rate", 1), ("queue_full", 0), ("export_failed", 2)],
    };
    String::from_utf8(metrics.render(&readings)).unwrap()
}

#[test]
fn every_family_is_there_from_the_start_with_its_help_and_type() {
    let metrics = metrics();
    metrics.has_reloads("policies");

    let text = rendered(&metrics);

    for family in [
        "gateway_build_info",
        "gateway_http_requests_total",
        "gateway_http_request_duration_seconds",
        "gateway_auth_failures_total",
        "gateway_authz_denials_total",
        "gateway_policy_errors_total",
        "gateway_cache_lookups_total",
        "gateway_cache_bytes",
        "gateway_upstream_requests_total",
        "gateway_upstream_request_duration_seconds",
        "gateway_rate_limit_wait_seconds",
        "gateway_rate_limit_rejections_total",
        "gateway_rate_limit_queue_length",
        "gateway_audit_records_total",
        "gateway_audit_failures_total",
        "gateway_jwks_refreshes_total",
        "gateway_reloads_total",
        "gateway_last_reload_successful",
        "gateway_credentials_expiry_timestamp_seconds",
        "gateway_shared_store_up",
        "gateway_clock_skew_seconds",
        "gateway_ready",
        "gateway_wide_readers_total",
        "gateway_log_lines_dropped_total",
        "gateway_otlp_spans_exported_total",
        "gateway_otlp_spans_dropped_total",
        "gateway_tls_handshakes_total",
        "gateway_tls_certificate_expiry_timestamp_seconds",
    ] {
        assert!(text.contains(&format!("# HELP {family} ")), "{family}");
        assert!(text.contains(&format!("# TYPE {family} ")), "{family}");
    }
}

#[test]
fn what_happened_is_counted_where_it_belongs() {
    let metrics = metrics();

    metrics.has_reloads("policies");
    metrics.reloaded("policies", false);
    metrics.auth_failure("expired");
    metrics.authz_denial(Action::ReadBackupUrls);
    metrics.cache_lookup(LookupResult::Stale);
    metrics.rejection(Scope::Circuit);
    metrics.wide_reader(Breadth::Over100);
    metrics.upstream_request("DescribeBackupUrl", "timeout", 0.2);
    metrics.tls.handshake(Handshake::PlainHttp);
    metrics.tls.expires(crate::domain::clock::from_unix_seconds(1_551_974_523));
    metrics.http.answered(Route::Urls, Method::Head, 200, std::time::Duration::from_micros(80));
    metrics.http.answered(Route::Unmatched, Method::Other, 418, std::time::Duration::from_micros(80));
    let text = rendered(&metrics);

    for line in [
        "gateway_auth_failures_total{reason=\"expired\"} 1",
        "gateway_otlp_spans_exported_total 12",
        "gateway_otlp_spans_dropped_total{reason=\"export_failed\"} 2",
        "gateway_authz_denials_total{action=\"ReadBackupUrls\"} 1",
        "gateway_cache_lookups_total{layer=\"local\",result=\"stale\"} 1",
        "gateway_rate_limit_rejections_total{scope=\"circuit\"} 1",
        "gateway_upstream_requests_total{action=\"DescribeBackupUrl\",outcome=\"timeout\"} 1",
        "gateway_http_requests_total{method=\"HEAD\",\
         route=\"/instances/{instance_id}/backups/{backup_id}/urls\",status=\"200\"} 1",
        "gateway_http_requests_total{method=\"other\",route=\"unmatched\",status=\"418\"} 1",
        "gateway_cache_bytes 4096",
        "gateway_reloads_total{result=\"error\",what=\"policies\"} 1",
        "gateway_reloads_total{result=\"ok\",what=\"policies\"} 0",
        "gateway_credentials_expiry_timestamp_seconds 1551952863",
        "gateway_rate_limit_queue_length{action=\"DescribeBackupUrl\"} 3",
        "gateway_jwks_refreshes_total{issuer=\"sso\",result=\"ok\"} 2",
        "gateway_jwks_refreshes_total{issuer=\"sso\",result=\"error\"} 1",
        "gateway_upstream_requests_total{action=\"DescribeBackupUrl\",outcome=\"ok\"} 0",
        "gateway_last_reload_successful{what=\"policies\"} 0",
        "gateway_last_reload_successful{what=\"key_files\"} 0",
        "gateway_wide_readers_total{beyond=\"25\"} 0",
        "gateway_wide_readers_total{beyond=\"100\"} 1",
        "gateway_tls_handshakes_total{result=\"plain_http\"} 1",
        "gateway_tls_handshakes_total{result=\"full\"} 0",
        "gateway_tls_certificate_expiry_timestamp_seconds 1551974523",
        "gateway_ready 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn a_shared_store_is_up_until_it_is_said_to_be_away() {
    let metrics = metrics();
    let up = || rendered(&metrics).lines().find_map(|line| line.strip_prefix("gateway_shared_store_up ")?.parse().ok());

    let at_first: Option<u8> = up();
    metrics.shared_store(false);
    let then = up();
    metrics.shared_store(true);

    assert_eq!([at_first, then, up()], [Some(1), Some(0), Some(1)]);
}

#[test]
fn what_could_not_be_reloaded_stays_so_until_it_could() {
    let metrics = metrics();
    let state = || {
        let line = "gateway_last_reload_successful{what=\"policies\"} ";
        rendered(&metrics).lines().find_map(|found| found.strip_prefix(line)?.parse().ok())
    };

    metrics.has_reloads("policies");
    let at_first: Option<u8> = state();
    metrics.reloaded("policies", false);
    let broken = state();
    metrics.reloaded("policies", true);

    assert_eq!([at_first, broken, state()], [Some(1), Some(0), Some(1)]);
}
