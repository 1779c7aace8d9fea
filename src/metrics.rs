//! What the process counts, and how Prometheus reads it.
//!
//! Every label comes from a closed set: no caller, instance, backup, URL or error text is ever one. Handles are
//! resolved once; a request adds to atomics and looks nothing up by name.

mod handles;
mod shared;

use std::sync::Arc;

use prometheus::{
    Encoder as _, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use handles::{HttpMetrics, Method, Route};
pub use shared::SharedLookup;

use crate::domain::Action;

/// Bounds in seconds of what a request takes: hits take tens of microseconds, a wait in the queue seconds.
const REQUEST_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Bounds in seconds of what a call to the upstream takes: tens of milliseconds as a rule.
const UPSTREAM_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Bounds in seconds of a wait for a token: one token comes every 50 ms, and nobody waits longer than some seconds.
const WAIT_BUCKETS: &[f64] = &[0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0];

/// The results of a reload: what is new is in force, and what was in force stayed so.
const RELOAD_RESULTS: [&str; 2] = ["ok", "error"];

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// Requests by route, method and status, and what they took.
    pub http: HttpMetrics,
    auth_failures: IntCounterVec,
    authz_denials: Vec<(Action, IntCounter)>,
    /// Policies that failed to evaluate and so denied.
    pub policy_errors: IntCounter,
    cache_lookups: [IntCounter; LookupResult::ALL.len()],
    shared_lookups: [IntCounter; SharedLookup::ALL.len()],
    cache_bytes: IntGauge,
    upstream_requests: IntCounterVec,
    upstream_duration: HistogramVec,
    wait: HistogramVec,
    rejections: [IntCounter; Scope::ALL.len()],
    queue_length: IntGaugeVec,
    /// Audit records in the kernel's hands.
    pub audit_records: IntCounter,
    /// Answers withheld because their record could not be written.
    pub audit_failures: IntCounter,
    jwks_refreshes: IntCounterVec,
    reloads: IntCounterVec,
    credentials_expiry: IntGauge,
    clock_skew: Gauge,
    shared_store_up: IntGauge,
}

/// What a look into the cache found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupResult {
    /// A fresh entry.
    Hit,
    /// An entry that is no longer fresh.
    Stale,
    /// The memory that there is no such thing.
    Negative,
    /// Nothing.
    Miss,
}

/// Whose limit turned a request away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The caller's own quota.
    Caller,
    /// The upstream's quota, shared by all.
    Upstream,
    /// An endpoint that is left alone for a moment.
    Circuit,
    /// The allowance of failed authentications of a client address.
    FailedAuth,
}

impl LookupResult {
    const ALL: [Self; 4] = [Self::Hit, Self::Stale, Self::Negative, Self::Miss];

    fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Negative => "negative",
            Self::Miss => "miss",
        }
    }
}

impl Scope {
    const ALL: [Self; 4] = [Self::Caller, Self::Upstream, Self::Circuit, Self::FailedAuth];

    fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Upstream => "upstream",
            Self::Circuit => "circuit",
            Self::FailedAuth => "failed_auth",
        }
    }
}

/// What is read at the moment of a scrape, because it is kept elsewhere.
pub struct Readings<'a> {
    /// Bytes that the cache weighs.
    pub cache_bytes: u64,
    /// Places in the queues, by the upstream's action.
    pub queue_lengths: Vec<(&'static str, usize)>,
    /// When the cloud credentials end, in seconds since 1970; nothing where they do not.
    pub credentials_expiry: Option<u64>,
    /// Refreshes of key sets so far: issuer name, those that succeeded, those that failed.
    pub jwks_refreshes: Vec<(&'a str, u64, u64)>,
}

impl Metrics {
    /// All families, at zero.
    ///
    /// # Panics
    ///
    /// Where two families have one name or a name is no name: a mistake in this file that its tests find.
    pub fn new(revision: &str, auth_failure_reasons: &[&'static str], upstream_actions: &[&'static str]) -> Arc<Self> {
        let registry = Registry::new();
        let family = Families { registry: &registry };
        let build = family.gauges("gateway_build_info", "The running build; always 1.", &["version", "revision"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        let auth_failures =
            family.counters("gateway_auth_failures_total", "Requests without an acceptable token.", &["reason"]);
        for reason in auth_failure_reasons {
            auth_failures.with_label_values(&[reason]);
        }
        let denials = family.counters("gateway_authz_denials_total", "Requests that the policy denied.", &["action"]);
        let lookups =
            family.counters("gateway_cache_lookups_total", "Looks into the cache of URLs.", &["layer", "result"]);
        let upstream_requests = family.counters(
            "gateway_upstream_requests_total",
            "Calls to the upstream, every attempt counted.",
            &["action", "outcome"],
        );
        let upstream_duration = family.histograms(
            "gateway_upstream_request_duration_seconds",
            "What a call to the upstream took, from its grant to its answer.",
            &["action"],
            UPSTREAM_BUCKETS,
        );
        let wait = family.histograms(
            "gateway_rate_limit_wait_seconds",
            "What a call waited for its token of the upstream's quota.",
            &["action"],
            WAIT_BUCKETS,
        );
        let queue_length =
            family.gauges("gateway_rate_limit_queue_length", "Places in the queues for a token.", &["action"]);
        for action in upstream_actions {
            upstream_requests.with_label_values(&[action, "ok"]);
            upstream_duration.with_label_values(&[action]);
            wait.with_label_values(&[action]);
            queue_length.with_label_values(&[action]);
        }
        let rejections = family.counters(
            "gateway_rate_limit_rejections_total",
            "Requests turned away by a limit or an open circuit.",
            &["scope"],
        );
        let shared_store_up = family
            .gauge("gateway_shared_store_up", "1: the shared store answers, or none is configured; 0: it is away.");
        shared_store_up.set(1);
        Arc::new(Self {
            http: HttpMetrics::new(
                family.counters("gateway_http_requests_total", "Requests answered.", &["route", "method", "status"]),
                &family.histograms(
                    "gateway_http_request_duration_seconds",
                    "What a request took, from its head to the head of its answer.",
                    &["route"],
                    REQUEST_BUCKETS,
                ),
            ),
            auth_failures,
            authz_denials: Action::ALL
                .into_iter()
                .map(|action| (action, denials.with_label_values(&[action.as_str()])))
                .collect(),
            policy_errors: family
                .counter("gateway_policy_errors_total", "Policies that failed to evaluate, and so denied."),
            cache_lookups: LookupResult::ALL.map(|result| lookups.with_label_values(&["local", result.as_str()])),
            shared_lookups: SharedLookup::ALL.map(|result| lookups.with_label_values(&["shared", result.as_str()])),
            cache_bytes: family.gauge("gateway_cache_bytes", "Bytes that cached answers weigh, bodies included."),
            upstream_requests,
            upstream_duration,
            wait,
            rejections: Scope::ALL.map(|scope| rejections.with_label_values(&[scope.as_str()])),
            queue_length,
            audit_records: family.counter("gateway_audit_records_total", "Audit records written."),
            audit_failures: family
                .counter("gateway_audit_failures_total", "Answers withheld because their record was not written."),
            jwks_refreshes: family.counters(
                "gateway_jwks_refreshes_total",
                "Refreshes of an issuer's key set.",
                &["issuer", "result"],
            ),
            reloads: family.counters(
                "gateway_reloads_total",
                "What was replaced without a restart, and what was to be and was not.",
                &["what", "result"],
            ),
            credentials_expiry: family.gauge(
                "gateway_credentials_expiry_timestamp_seconds",
                "When the cloud credentials in force end, in seconds since 1970; 0 where they do not.",
            ),
            clock_skew: family.float_gauge(
                "gateway_clock_skew_seconds",
                "The upstream's clock less ours, by the Date of its last answer.",
            ),
            shared_store_up,
            registry,
        })
    }

    /// Counts a request without an acceptable token.
    pub fn auth_failure(&self, reason: &'static str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    /// Counts a request that the policy denied.
    pub fn authz_denial(&self, action: Action) {
        if let Some((_, counter)) = self.authz_denials.iter().find(|(of, _)| *of == action) {
            counter.inc();
        }
    }

    /// Counts a look into the cache of this process.
    pub fn cache_lookup(&self, result: LookupResult) {
        if let Some(counter) = self.cache_lookups.get(result as usize) {
            counter.inc();
        }
    }

    /// Counts a request that a limit turned away.
    pub fn rejection(&self, scope: Scope) {
        if let Some(counter) = self.rejections.get(scope as usize) {
            counter.inc();
        }
    }

    /// Counts an attempt at the upstream: what came of it and what it took.
    pub fn upstream_request(&self, action: &'static str, outcome: &'static str, seconds: f64) {
        self.upstream_requests.with_label_values(&[action, outcome]).inc();
        self.upstream_duration.with_label_values(&[action]).observe(seconds);
    }

    /// Notes what a call waited for its token.
    pub fn waited(&self, action: &'static str, seconds: f64) {
        self.wait.with_label_values(&[action]).observe(seconds);
    }

    /// Notes by how much the upstream's clock is ahead of ours.
    pub fn clock_skew(&self, seconds: f64) {
        self.clock_skew.set(seconds);
    }

    /// Notes whether the shared store answers. Without one there is none to be away, and nothing to note.
    pub fn shared_store(&self, up: bool) {
        self.shared_store_up.set(up.into());
    }

    /// Something can be reloaded: it is there from the start, at zero.
    pub fn has_reloads(&self, what: &'static str) {
        for result in RELOAD_RESULTS {
            self.reloads.with_label_values(&[what, result]);
        }
    }

    /// Counts a reload: whether what is new is in force, or what was in force stayed so.
    pub fn reloaded(&self, what: &'static str, is_ok: bool) {
        let [ok, error] = RELOAD_RESULTS;
        self.reloads.with_label_values(&[what, if is_ok { ok } else { error }]).inc();
    }

    /// Everything in the text format of Prometheus, version 0.0.4.
    pub fn render(&self, readings: &Readings<'_>) -> Vec<u8> {
        let clamp = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.cache_bytes.set(clamp(readings.cache_bytes));
        self.credentials_expiry.set(readings.credentials_expiry.map_or(0, clamp));
        for (action, length) in &readings.queue_lengths {
            self.queue_length.with_label_values(&[action]).set(i64::try_from(*length).unwrap_or(i64::MAX));
        }
        for (issuer, succeeded, failed) in &readings.jwks_refreshes {
            for (result, count) in [("ok", succeeded), ("error", failed)] {
                let counter = self.jwks_refreshes.with_label_values(&[issuer, result]);
                counter.inc_by(count.saturating_sub(counter.get()));
            }
        }
        let mut text = Vec::new();
        // Writing to memory fails only for a family without a metric, and there is none.
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics were not rendered whole");
        }
        text
    }
}

/// Makes and registers families.
struct Families<'a> {
    registry: &'a Registry,
}

impl Families<'_> {
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    fn float_gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, labels))
    }

    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, family: prometheus::Result<C>) -> C {
        let family = family.expect("the name of every family in this file is one");
        self.registry.register(Box::new(family.clone())).expect("no two families in this file have one name");
        family
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(metrics: &Metrics) -> String {
        let readings = Readings {
            cache_bytes: 4096,
            queue_lengths: vec![("DescribeBackupUrl", 3)],
            credentials_expiry: Some(1_551_952_863),
            jwks_refreshes: vec![("sso", 2, 1)],
        };
        String::from_utf8(metrics.render(&readings)).unwrap()
    }

    #[test]
    fn every_family_is_there_from_the_start_with_its_help_and_type() {
        let metrics = Metrics::new("abc", &["expired"], &["DescribeBackupUrl"]);
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
            "gateway_credentials_expiry_timestamp_seconds",
            "gateway_clock_skew_seconds",
            "gateway_shared_store_up",
        ] {
            assert!(text.contains(&format!("# HELP {family} ")), "{family}");
            assert!(text.contains(&format!("# TYPE {family} ")), "{family}");
        }
    }

    #[test]
    fn what_happened_is_counted_where_it_belongs() {
        let metrics = Metrics::new("abc", &["expired"], &["DescribeBackupUrl"]);

        metrics.has_reloads("policies");
        metrics.reloaded("policies", false);
        metrics.auth_failure("expired");
        metrics.authz_denial(Action::ReadBackupUrls);
        metrics.cache_lookup(LookupResult::Stale);
        metrics.rejection(Scope::Circuit);
        metrics.upstream_request("DescribeBackupUrl", "timeout", 0.2);
        metrics.http.answered(Route::Urls, Method::Head, 200, std::time::Duration::from_micros(80));
        metrics.http.answered(Route::Unmatched, Method::Other, 418, std::time::Duration::from_micros(80));
        let text = rendered(&metrics);

        for line in [
            "gateway_auth_failures_total{reason=\"expired\"} 1",
            "gateway_authz_denials_total{action=\"ReadBackupUrls\"} 1",
            "gateway_cache_lookups_total{layer=\"local\",result=\"stale\"} 1",
            "gateway_rate_limit_rejections_total{scope=\"circuit\"} 1",
            "gateway_upstream_requests_total{action=\"DescribeBackupUrl\",outcome=\"timeout\"} 1",
            "gateway_http_requests_total{method=\"HEAD\",\
             route=\"/instances/{instance_id}/backups/{backup_id}/urls\",status=\"200\"} 1",
            "gateway_http_requests_total{method=\"other\",route=\"unmatched\",status=\"418\"} 1",
            "gateway_cache_bytes 4096",
            "gateway_shared_store_up 1",
            "gateway_reloads_total{result=\"error\",what=\"policies\"} 1",
            "gateway_reloads_total{result=\"ok\",what=\"policies\"} 0",
            "gateway_credentials_expiry_timestamp_seconds 1551952863",
            "gateway_rate_limit_queue_length{action=\"DescribeBackupUrl\"} 3",
            "gateway_jwks_refreshes_total{issuer=\"sso\",result=\"ok\"} 2",
            "gateway_jwks_refreshes_total{issuer=\"sso\",result=\"error\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
