//! What the process counts, and how Prometheus reads it.
//!
//! Every label comes from a closed set: no caller, instance, backup, URL or error text is ever one. Handles are
//! resolved once; a request adds to atomics and looks nothing up by name.

mod families;
mod handles;
mod labels;
mod shared;
mod tls;
mod words;

use std::sync::Arc;

use prometheus::{
    Encoder as _, Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

pub use handles::{HttpMetrics, Method, Route};
pub use labels::{Breadth, LookupResult, Scope};
pub use shared::SharedLookup;
pub use tls::{Handshake, TlsMetrics};

use self::{families::Families, words::Counters};
use crate::domain::Action;

/// Bounds in seconds of what a request takes: a hit tens of microseconds, a wait in the queue seconds. What runs into
/// `server.request_timeout` takes a little more than its 10 s, and has a bound behind them.
const REQUEST_BUCKETS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0, 15.0,
];

/// Bounds in seconds of what a call to the upstream takes: tens of milliseconds as a rule, and a little more than the
/// 5 s of `tencent.timeout` at the most.
const UPSTREAM_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5];

/// Bounds in seconds of a wait for a token: one token comes every 50 ms, and nobody waits longer than some seconds.
const WAIT_BUCKETS: &[f64] = &[0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0];

/// The results of a reload: what is new is in force, and what was in force stayed so.
const RELOAD_RESULTS: [&str; 2] = ["ok", "error"];

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// Requests by route, method and status, and what they took.
    pub http: HttpMetrics,
    /// TLS of the public listener.
    pub tls: TlsMetrics,
    auth_failures: Counters<1>,
    authz_denials: Vec<(Action, IntCounter)>,
    /// Policies that failed to evaluate and so denied.
    pub policy_errors: IntCounter,
    cache_lookups: [IntCounter; LookupResult::ALL.len()],
    shared_lookups: [IntCounter; SharedLookup::ALL.len()],
    cache_bytes: IntGauge,
    upstream_requests: Counters<2>,
    upstream_durations: Vec<(&'static str, Histogram)>,
    waits: Vec<(&'static str, Histogram)>,
    rejections: [IntCounter; Scope::ALL.len()],
    queue_length: IntGaugeVec,
    /// Audit records in the kernel's hands.
    pub audit_records: IntCounter,
    /// Answers withheld because their record could not be written.
    pub audit_failures: IntCounter,
    jwks_refreshes: IntCounterVec,
    reloads: IntCounterVec,
    last_reload: IntGaugeVec,
    credentials_expiry: IntGauge,
    shared_store_up: IntGauge,
    clock_skew: Gauge,
    ready: IntGauge,
    wide_readers: [IntCounter; Breadth::ALL.len()],
    /// Panics of requests and of what runs beside them.
    pub panics: IntCounter,
    /// Lines of the log that standard error did not take.
    pub lost_log_lines: IntCounter,
    spans_exported: IntCounter,
    spans_dropped: IntCounterVec,
}

/// Words that other rooms know, so that every one of them is there before it is needed.
#[derive(Default)]
pub struct Words<'a> {
    /// Why a request has no caller.
    pub auth_failure_reasons: &'a [&'static str],
    /// What is called at the upstream.
    pub upstream_actions: &'a [&'static str],
    /// What can come of such a call.
    pub upstream_outcomes: &'a [&'static str],
}

/// What is read at the moment of a scrape, because it is kept elsewhere.
pub struct Readings<'a> {
    /// Whether `/readyz` says so.
    pub is_ready: bool,
    /// Bytes that the cache weighs.
    pub cache_bytes: u64,
    /// Places in the queues, by the upstream's action.
    pub queue_lengths: Vec<(&'static str, usize)>,
    /// When the cloud credentials end, in seconds since 1970; nothing where they do not.
    pub credentials_expiry: Option<u64>,
    /// Refreshes of key sets so far: issuer name, those that succeeded, those that failed.
    pub jwks_refreshes: Vec<(&'a str, u64, u64)>,
    /// What is reloaded by itself, and whether it could be when it was last looked at.
    pub reloads: Vec<(&'static str, bool)>,
    /// Spans that the collector took so far.
    pub spans_exported: u64,
    /// Spans that it will never see, by reason.
    pub spans_dropped: [(&'static str, u64); 3],
}

impl Metrics {
    /// All families, at zero.
    ///
    /// # Panics
    ///
    /// Where two families have one name or a name is no name: a mistake in this file that its tests find.
    pub fn new(revision: &str, words: &Words<'_>) -> Arc<Self> {
        let registry = Registry::new();
        let family = Families { registry: &registry };
        let build = family.gauges("gateway_build_info", "The running build; always 1.", &["version", "revision"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        let denials = family.counters("gateway_authz_denials_total", "Requests that the policy denied.", &["action"]);
        let lookups =
            family.counters("gateway_cache_lookups_total", "Looks into the cache of URLs.", &["layer", "result"]);
        let rejections = family.counters(
            "gateway_rate_limit_rejections_total",
            "Requests turned away by a limit or an open circuit.",
            &["scope"],
        );
        let wide_readers = family.counters(
            "gateway_wide_readers_total",
            "Callers who were given the URLs of more different backups within an hour than beyond says, \
             and again for each hour that it goes on.",
            &["beyond"],
        );
        let by_action = |name, help, buckets| {
            let histograms = family.histograms(name, help, &["action"], buckets);
            words.upstream_actions.iter().map(|action| (*action, histograms.with_label_values(&[action]))).collect()
        };
        let queue_length =
            family.gauges("gateway_rate_limit_queue_length", "Places in the queues for a token.", &["action"]);
        for action in words.upstream_actions {
            queue_length.with_label_values(&[action]);
        }
        let shared_store_up = family
            .gauge("gateway_shared_store_up", "1: the shared store answers, or none is configured; 0: it is away.");
        shared_store_up.set(1);
        Arc::new(Self {
            http: HttpMetrics::new(
                family.counters(
                    "gateway_http_requests_total",
                    "Requests answered on the public listener.",
                    &["route", "method", "status"],
                ),
                &family.histograms(
                    "gateway_http_request_duration_seconds",
                    "What a request took on the public listener, from its head to the head of its answer.",
                    &["route"],
                    REQUEST_BUCKETS,
                ),
            ),
            tls: TlsMetrics::new(&family),
            auth_failures: Counters::new(
                family.counters("gateway_auth_failures_total", "Requests without an acceptable token.", &["reason"]),
                words.auth_failure_reasons.iter().map(|reason| [*reason]),
            ),
            authz_denials: Action::ALL
                .into_iter()
                .map(|action| (action, denials.with_label_values(&[action.as_str()])))
                .collect(),
            policy_errors: family
                .counter("gateway_policy_errors_total", "Policies that failed to evaluate, and so denied."),
            cache_lookups: LookupResult::ALL.map(|result| lookups.with_label_values(&["local", result.as_str()])),
            shared_lookups: SharedLookup::ALL.map(|result| lookups.with_label_values(&["shared", result.as_str()])),
            cache_bytes: family.gauge("gateway_cache_bytes", "Bytes that cached answers weigh, bodies included."),
            upstream_requests: Counters::new(
                family.counters(
                    "gateway_upstream_requests_total",
                    "Calls to the upstream, every attempt counted.",
                    &["action", "outcome"],
                ),
                words
                    .upstream_actions
                    .iter()
                    .flat_map(|action| words.upstream_outcomes.iter().map(move |outcome| [*action, *outcome])),
            ),
            upstream_durations: by_action(
                "gateway_upstream_request_duration_seconds",
                "What a call to the upstream took, from its grant to its answer.",
                UPSTREAM_BUCKETS,
            ),
            waits: by_action(
                "gateway_rate_limit_wait_seconds",
                "What a call waited for its token of the upstream's quota.",
                WAIT_BUCKETS,
            ),
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
            last_reload: family.gauges(
                "gateway_last_reload_successful",
                "1: what was last found is in force; 0: it has a mistake, and what was there before stays in force.",
                &["what"],
            ),
            credentials_expiry: family.gauge(
                "gateway_credentials_expiry_timestamp_seconds",
                "When the cloud credentials in force end, in seconds since 1970; 0 where they do not.",
            ),
            shared_store_up,
            clock_skew: family.float_gauge(
                "gateway_clock_skew_seconds",
                "The upstream's clock less ours, by the Date of its last answer, which has whole seconds.",
            ),
            ready: family.gauge("gateway_ready", "1: /readyz says 200; 0: it says 503, and why."),
            wide_readers: Breadth::ALL
                .map(|breadth| wide_readers.with_label_values(&[breadth.backups().to_string().as_str()])),
            panics: family
                .counter("gateway_panics_total", "Panics; each is a mistake in the program, told in the log."),
            lost_log_lines: family.counter(
                "gateway_log_lines_dropped_total",
                "Lines of the log that were lost, because nobody took them from standard error in time.",
            ),
            spans_exported: family.counter("gateway_otlp_spans_exported_total", "Spans that the collector took."),
            spans_dropped: family.counters(
                "gateway_otlp_spans_dropped_total",
                "Spans that were recorded and will not reach the collector.",
                &["reason"],
            ),
            registry,
        })
    }

    /// Counts a request without an acceptable token.
    pub fn auth_failure(&self, reason: &'static str) {
        self.auth_failures.inc([reason]);
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
        self.upstream_requests.inc([action, outcome]);
        observe(&self.upstream_durations, action, seconds);
    }

    /// Notes what a call waited for its token.
    pub fn waited(&self, action: &'static str, seconds: f64) {
        observe(&self.waits, action, seconds);
    }

    /// Notes by how much the upstream's clock is ahead of ours.
    pub fn clock_skew(&self, seconds: f64) {
        self.clock_skew.set(seconds);
    }

    /// Notes whether the shared store answers. Without one there is none to be away, and nothing to note.
    pub fn shared_store(&self, up: bool) {
        self.shared_store_up.set(up.into());
    }

    /// Counts a caller who has been given the URLs of many different backups, and says no more of it.
    pub fn wide_reader(&self, breadth: Breadth) {
        if let Some(counter) = self.wide_readers.get(breadth as usize) {
            counter.inc();
        }
    }

    /// Something can be reloaded: it is there from the start, at zero, and what is in force is what was found.
    pub fn has_reloads(&self, what: &'static str) {
        self.last_reload.with_label_values(&[what]).set(1);
        for result in RELOAD_RESULTS {
            self.reloads.with_label_values(&[what, result]);
        }
    }

    /// Counts a reload: whether what is new is in force, or what was in force stayed so.
    pub fn reloaded(&self, what: &'static str, is_ok: bool) {
        let [ok, error] = RELOAD_RESULTS;
        self.reloads.with_label_values(&[what, if is_ok { ok } else { error }]).inc();
        self.looked_for_a_reload(what, is_ok);
    }

    /// Notes that what was found is in force, or has a mistake, whether that is news or not.
    pub fn looked_for_a_reload(&self, what: &'static str, is_ok: bool) {
        self.last_reload.with_label_values(&[what]).set(is_ok.into());
    }

    /// Everything in the text format of Prometheus, version 0.0.4.
    pub fn render(&self, readings: &Readings<'_>) -> Vec<u8> {
        let clamp = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.cache_bytes.set(clamp(readings.cache_bytes));
        self.credentials_expiry.set(readings.credentials_expiry.map_or(0, clamp));
        self.ready.set(readings.is_ready.into());
        for (what, is_ok) in &readings.reloads {
            self.looked_for_a_reload(what, *is_ok);
        }
        for (action, length) in &readings.queue_lengths {
            self.queue_length.with_label_values(&[action]).set(i64::try_from(*length).unwrap_or(i64::MAX));
        }
        for (issuer, succeeded, failed) in &readings.jwks_refreshes {
            for (result, count) in [("ok", succeeded), ("error", failed)] {
                catch_up(&self.jwks_refreshes.with_label_values(&[issuer, result]), *count);
            }
        }
        catch_up(&self.spans_exported, readings.spans_exported);
        for (reason, count) in readings.spans_dropped {
            catch_up(&self.spans_dropped.with_label_values(&[reason]), count);
        }
        let mut text = Vec::new();
        // Writing to memory fails only for a family without a metric, and there is none.
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics were not rendered whole");
        }
        text
    }
}

/// Brings a counter to what is counted elsewhere.
fn catch_up(counter: &IntCounter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

fn observe(histograms: &[(&'static str, Histogram)], action: &'static str, seconds: f64) {
    if let Some((_, histogram)) = histograms.iter().find(|(of, _)| *of == action) {
        histogram.observe(seconds);
    }
}

#[cfg(test)]
mod tests;
