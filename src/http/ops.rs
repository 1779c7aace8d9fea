//! How the process is: for load balancers, orchestrators and people.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix_web::{HttpResponse, Resource, http::header, web};
use serde::Serialize;

use super::{
    context::Context,
    newcomers::{Newcomer, Newcomers},
    problem::Problem,
    unanswered::{Unanswered, Underway},
};
use crate::{
    broker::Broker,
    domain::clock::unix_seconds,
    identity::{Identity, IssuerReadiness, Reloaded},
    metrics::Readings,
    quota::Fleet,
    traces::Traces,
};

/// What readiness depends on.
pub struct Health {
    broker: Arc<Broker>,
    identity: Arc<Identity>,
    draining: AtomicBool,
    unanswered: Unanswered,
    newcomers: Newcomers,
    traces: Traces,
    fleet: Option<Fleet>,
}

#[derive(Serialize)]
struct Readiness<'a> {
    /// `ready`, `degraded` (still 200) or `not_ready`.
    status: &'static str,
    draining: bool,
    audit: &'static str,
    credentials: &'static str,
    upstream: &'static str,
    /// Left out where none is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_store: Option<&'static str>,
    /// Left out where none is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_quota: Option<&'static str>,
    issuers: Vec<Issuer<'a>>,
}

#[derive(Serialize)]
struct Issuer<'a> {
    name: &'a str,
    keys: &'static str,
}

impl Health {
    /// The health of a process that serves, with those who share its quota.
    pub fn new(broker: Arc<Broker>, identity: Arc<Identity>, traces: Traces, fleet: Option<Fleet>) -> Self {
        Self {
            broker,
            identity,
            draining: AtomicBool::new(false),
            unanswered: Unanswered::default(),
            newcomers: Newcomers::default(),
            traces,
            fleet,
        }
    }

    /// From now on the process is not ready, and asks its clients to leave.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Requests that ended without an answer so far: their callers hung up, or a drain cut them.
    pub fn unanswered(&self) -> usize {
        self.unanswered.count()
    }

    /// Connections of the public listener on which nothing has been asked yet.
    pub fn newcomers(&self) -> usize {
        self.newcomers.count()
    }

    /// A connection is there. What is returned is to be kept with its data for as long as it is.
    pub fn newcomer(&self) -> Newcomer {
        self.newcomers.arrives()
    }

    /// A request that is counted if it ends without an answer.
    pub(super) fn underway(&self) -> Underway<'_> {
        self.unanswered.underway()
    }

    /// Whether to send callers here. Not so only for what another replica does better: a dependency that all share takes
    /// none of them out.
    fn is_ready(&self, issuers: &[IssuerReadiness]) -> bool {
        !self.is_draining() && !self.broker.audit_is_failing() && issuers.iter().any(|issuer| issuer.has_keys)
    }

    /// Whether the process is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// `GET /healthz`: the process runs. Nothing it depends on is asked, for a restart mends none of that.
pub(super) fn healthz() -> Resource {
    web::resource("/healthz")
        .route(web::get().to(alive))
        .route(web::head().to(alive))
        .default_service(web::to(only_get))
}

/// `GET /readyz`: whether to send callers here, with a word on each part.
pub(super) fn readyz() -> Resource {
    web::resource("/readyz").route(web::get().to(ready)).route(web::head().to(ready)).default_service(web::to(only_get))
}

pub(super) async fn only_get(context: Context) -> HttpResponse {
    Problem::method_not_allowed("GET, HEAD").respond(&context)
}

/// `GET /metrics`: the text format of Prometheus.
pub(super) fn metrics() -> Resource {
    web::resource("/metrics")
        .route(web::get().to(scrape))
        .route(web::head().to(scrape))
        .default_service(web::to(only_get))
}

async fn scrape(health: web::Data<Health>) -> HttpResponse {
    let broker = &health.broker;
    let issuers = health.identity.readiness();
    let spans = health.traces.counts();
    if let Some(is_up) = broker.shared_store_is_up() {
        broker.metrics().shared_store(is_up);
    }
    let key_files_are_good = !issuers.iter().any(|issuer| issuer.has_bad_file);
    let readings = Readings {
        is_ready: health.is_ready(&issuers),
        cache_bytes: broker.cached_bytes(),
        queue_lengths: broker.queue_lengths(),
        credentials_expiry: broker.credentials_expire_at().map(unix_seconds),
        jwks_refreshes: issuers
            .iter()
            .map(|issuer| (&*issuer.name, issuer.refreshes_succeeded, issuer.refreshes_failed))
            .collect(),
        reloads: vec![(Reloaded::KeyFile.as_str(), key_files_are_good)],
        spans_exported: spans.exported,
        spans_dropped: spans.dropped(),
    };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(broker.metrics().render(&readings))
}

/// Whether the process runs
///
/// For load balancers. Nothing that it depends on is asked.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "is_alive",
    tag = "About",
    responses((status = 200, description = "it runs", content_type = "text/plain", body = String, example = json!("ok"))),
)]
pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body("ok")
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    let readiness = health.identity.readiness();
    let draining = health.is_draining();
    let audit_fails = health.broker.audit_is_failing();
    let lacks_keys = readiness.iter().any(|issuer| !issuer.has_keys);
    let have_expired = health.broker.credentials_have_expired();
    let is_left_alone = health.broker.upstream_is_left_alone();
    let store_is_up = health.broker.shared_store_is_up();
    let quota_is_shared = health.fleet.as_ref().map(Fleet::is_shared);
    let lacks_what_is_shared = store_is_up == Some(false) || quota_is_shared == Some(false);
    let (status, mut answer) = if !health.is_ready(&readiness) {
        ("not_ready", HttpResponse::ServiceUnavailable())
    } else if lacks_keys || have_expired || is_left_alone || lacks_what_is_shared {
        ("degraded", HttpResponse::Ok())
    } else {
        ("ready", HttpResponse::Ok())
    };
    let body = Readiness {
        status,
        draining,
        audit: if audit_fails { "failing" } else { "ok" },
        credentials: if have_expired { "expired" } else { "ok" },
        upstream: if is_left_alone { "failing" } else { "ok" },
        shared_store: store_is_up.map(|is_up| if is_up { "ok" } else { "away" }),
        shared_quota: quota_is_shared.map(|is_shared| if is_shared { "ok" } else { "failing" }),
        issuers: readiness
            .iter()
            .map(|issuer| Issuer { name: &issuer.name, keys: if issuer.has_keys { "ok" } else { "missing" } })
            .collect(),
    };
    if status == "not_ready" {
        answer.insert_header((header::RETRY_AFTER, "1"));
    }
    answer.insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}
