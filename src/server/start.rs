//! From what the configuration describes to a gateway that listens.
//!
//! What can fail is in `parts`; from there on everything is there, and only has to be introduced to each other.

use std::{io, iter::once, rc::Rc, sync::Arc, time::Duration};

use actix_web::rt;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Setup,
    door::Door,
    duties::keep_at,
    failures::Failure,
    life::{self, Drain, Gateway},
    limits,
    listeners::{self, Service},
    memory,
    parts::{Files, Parts},
    reload::{self, ConfigurationFile, Reloadable, Reloading},
    sharing::Sharing,
    tls::Gate,
};
use crate::{
    broker::{Broker, Rooms, Worker},
    domain::Clock,
    http::{self, Edge, Health, Lines, cors::Cors},
    identity::Denial,
    metrics::{Metrics, Words},
    quota::CallerQuota,
    telemetry,
    tencent::{ApiAction, client::Client, error::CallError},
    traces::Traces,
};

/// How often callers that have been idle are forgotten. What they cost until then is a few dozen bytes each.
const IDLE_CALLERS_TICK: Duration = Duration::from_secs(60);

/// Starts everything that `setup` describes.
///
/// # Errors
///
/// Everything that keeps it from serving.
pub(super) async fn start(setup: Setup) -> Result<Gateway, Vec<Failure>> {
    let clock = Clock::machine();
    // Before there is anything to keep, and so before there is a log.
    let kept_private = memory::keep_private();
    let parts = Parts::gather(&setup, &clock).await?;
    if let Err(error) = kept_private {
        tracing::warn!(%error, "a core dump of this process is possible, and would hold keys and URLs");
    }
    assemble(setup, parts, clock).map_err(|error| vec![Failure::of_system(error)])
}

/// Introduces the parts to each other, and sets everything going but the listeners.
fn assemble(setup: Setup, parts: Parts, clock: Clock) -> io::Result<Gateway> {
    let Parts { signals, hangup, files, credentials, renewer, public, admin, audit } = parts;
    let Files { roots, identity, refresher, policies_seen, policies, tls, sharing } = files;
    let traces = Traces::start(setup.otlp, &clock)?;
    let tencent = Arc::new(setup.tencent);
    let reasons = Denial::reasons();
    let outcomes: Vec<_> = once("ok").chain(CallError::kinds_of_calls()).collect();
    let words = Words {
        auth_failure_reasons: &reasons,
        upstream_actions: &ApiAction::ALL.map(ApiAction::as_str),
        upstream_outcomes: &outcomes,
    };
    let metrics = Metrics::new(option_env!("GATEWAY_REVISION").unwrap_or("unknown"), &words);
    let panics = metrics.panics.clone();
    telemetry::count_panics(move || panics.inc());
    let lost_lines = metrics.lost_log_lines.clone();
    telemetry::count_lost_lines(move |lines| lost_lines.inc_by(lines));
    let rooms = Rooms {
        policies,
        audit: audit.clone(),
        credentials: Arc::clone(&credentials),
        metrics: Arc::clone(&metrics),
        render: http::kept_body,
        store: sharing.as_ref().map(|sharing| sharing.store.clone()),
        fleet: sharing.as_ref().map(|sharing| sharing.fleet.clone()),
        shared_cache: sharing.as_ref().and_then(|sharing| Some(sharing.cache.as_ref()?.0.clone())),
    };
    let (broker, drivers) = Broker::new(&tencent, setup.rate_limit, setup.cache, rooms, clock.clone());
    let caller_quota = Arc::new(CallerQuota::new(setup.per_caller, clock.clone()));
    let fleet = sharing.as_ref().map(|sharing| sharing.fleet.clone());
    let health = Health::new(Arc::clone(&broker), Arc::clone(&identity), traces.clone(), fleet.clone());
    let health = Arc::new(health);

    let mut reloadables = vec![
        Reloadable::policies(setup.policy.dir, policies_seen, Arc::clone(&broker)),
        Reloadable::credentials(Arc::clone(&credentials)),
        Reloadable::audit(audit.clone(), setup.audit.key_file().map(Into::into)),
    ];
    reloadables.extend(Reloadable::identity(&identity));
    if let Some(tls) = &tls {
        reloadables.push(Reloadable::tls(Arc::clone(tls), Arc::clone(&metrics)));
    }
    if let Some(Sharing { mut keeper, heart, cache, .. }) = sharing {
        rt::spawn(async move { keep_at("shared store", async || keeper.run().await).await });
        rt::spawn(async move { keep_at("shared quota", async || heart.beat().await).await });
        reloadables.extend(cache.map(|(cache, key_file)| Reloadable::shared_cache(cache, key_file)));
    }
    let configuration = setup.file.map(ConfigurationFile::new);

    let workers = limits::workers(setup.server.workers);
    let drain = Drain::new(setup.server.drain_delay, setup.server.shutdown_grace);
    let service = Service { workers, connections: limits::connections(workers), grace: drain.grace };
    let trusted_proxies: Arc<[_]> = setup.server.trusted_proxies.as_slice().into();
    let clock_of_renewal = clock.clone();
    let cors = Cors::new(&setup.cors);
    let openapi = http::openapi::document(broker.regions());
    let edge = {
        let (health, credentials) = (Arc::clone(&health), Arc::clone(&credentials));
        let (caller_quota, traces) = (Arc::clone(&caller_quota), traces.clone());
        let ratelimit_policy = http::ratelimit_policy(&caller_quota);
        move || {
            let client = Client::new(Arc::clone(&tencent), &roots, Arc::clone(&credentials), clock.clone());
            Rc::new(Edge {
                worker: Rc::new(Worker::new(Arc::clone(&broker), client)),
                identity: Arc::clone(&identity),
                caller_quota: Arc::clone(&caller_quota),
                ratelimit_policy: ratelimit_policy.clone(),
                lines: Lines::default(),
                tracer: traces.tracer(&clock),
                cors: cors.clone(),
                openapi: openapi.clone(),
                health: Arc::clone(&health),
                trusted_proxies: Arc::clone(&trusted_proxies),
                request_timeout: setup.server.request_timeout,
            })
        }
    };
    let (public_address, admin_address) = (public.local_addr()?, admin.local_addr()?);
    let door = Door::of(&public)?;
    let speaks_tls = tls.is_some();
    let gate = {
        let metrics = Arc::clone(&metrics);
        move || tls.clone().map(|tls| Gate::new(tls, Arc::clone(&metrics)))
    };
    let public = listeners::public(public, service, Arc::clone(&health), edge, gate)?;
    let admin = listeners::admin(admin, Arc::clone(&health))?;

    for driver in drivers {
        rt::spawn(async move { keep_at("quota", async || driver.run().await).await });
    }
    let (key_files, renewals) = (
        reload::of_identity(Arc::clone(&metrics)),
        reload::of_credentials(credentials, clock_of_renewal, Arc::clone(&metrics)),
    );
    rt::spawn(async move { keep_at("key sets", async || refresher.run(&key_files).await).await });
    rt::spawn(async move { keep_at("credentials", async || renewer.run(&renewals).await).await });
    let mut reloading = Reloading { reloadables, configuration, hangup, metrics };
    rt::spawn(async move { keep_at("reload", async || reload::run(&mut reloading).await).await });
    rt::spawn(async move { keep_at("idle callers", async || forget_idle_callers(&caller_quota).await).await });
    let heads = audit.clone();
    rt::spawn(async move { keep_at("audit head", async || life::say_audit_head(&heads).await).await });
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(%public_address, %admin_address, tls = speaks_tls, workers, version, "listening");
    Ok(Gateway { public, admin, health, audit, traces, fleet, signals, door, drain })
}

async fn forget_idle_callers(callers: &CallerQuota) {
    let mut tick = interval(IDLE_CALLERS_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        callers.forget_the_idle();
    }
}
