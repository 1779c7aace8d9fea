//! From what the configuration describes to a gateway that listens.
//!
//! Everything that can fail does so here, before the first caller is served.

use std::{io, path::PathBuf, rc::Rc, sync::Arc, thread::available_parallelism, time::Duration};

use actix_web::rt;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use super::{
    Setup,
    life::{self, Gateway, Signals},
    listeners::{self, ListenError},
    memory,
    reload::{self, ConfigurationFile, Reloadable},
};
use crate::{
    audit::{self, Audit},
    broker::{self, Broker, Rooms, Worker},
    cache::{
        self,
        shared::{Ring, RingError},
    },
    domain::{Clock, Throttle},
    http::{self, Edge, Health, cors::Cors},
    identity::{Denial, Identity, IdentityError},
    metrics::Metrics,
    outbound::{RootsError, TlsRoots},
    policy::{self, Policies, PolicyErrors},
    quota::CallerQuota,
    store::{self, Store},
    telemetry::{self, TelemetryError},
    tencent::{
        self, ApiAction,
        client::Client,
        credentials::{CredentialStore, CredentialsError},
    },
};

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("tencent.ca_file: {0}")]
    Roots(#[from] RootsError),
    #[error("tencent.credentials: {0}")]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("policy.dir: {0}")]
    Policies(#[from] PolicyErrors),
    #[error(transparent)]
    Store(#[from] store::SetupError),
    #[error("shared.encryption_key_file: {0}")]
    CacheKeys(#[from] RingError),
    #[error(transparent)]
    Audit(#[from] audit::StartError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("signals cannot be received: {0}")]
    Signals(#[source] io::Error),
}

/// How often callers that have been idle are forgotten. What they cost until then is a few dozen bytes each.
const IDLE_CALLERS_TICK: Duration = Duration::from_secs(60);

/// Log lines a second and worker for requests that are refused before policy: strangers cause them.
const REFUSALS_LOGGED_PER_SECOND: u32 = 5;

/// Starts everything that `setup` describes.
///
/// # Errors
///
/// What keeps it from serving.
pub(super) async fn start(setup: Setup) -> Result<Gateway, StartError> {
    telemetry::start(&setup.log)?;
    if let Err(error) = memory::keep_private() {
        tracing::warn!(%error, "a core dump of this process is possible, and would hold keys and URLs");
    }
    let clock = Clock::machine();
    let signals = Signals::register().map_err(StartError::Signals)?;
    // Registered before anything slow: until then a SIGHUP would end the process.
    let hangup = signal(SignalKind::hangup()).map_err(StartError::Signals)?;
    let roots = TlsRoots::load(setup.tencent.ca_file.as_deref())?;
    let (credentials, renewer) = CredentialStore::start(&setup.tencent.credentials, &roots, &clock).await?;
    let (identity, refresher) = Identity::new(&setup.auth, clock.clone())?;
    let policies_seen = policy::Fingerprint::of(&setup.policy.dir);
    let policies = Policies::load(&setup.policy.dir)?;
    let audit = Audit::start(&setup.audit, clock.clone())?;
    let tencent = Arc::new(setup.tencent);
    let reasons = Denial::reasons();
    let actions = ApiAction::ALL.map(ApiAction::as_str);
    let metrics = Metrics::new(option_env!("GATEWAY_REVISION").unwrap_or("unknown"), &reasons, &actions);
    let (sharing, keeper) = share(setup.shared, &tencent, &clock).await?.unzip();
    let (store, shared_cache) = sharing.unzip();
    let shared_cache = shared_cache.flatten();
    let rooms = Rooms {
        policies,
        audit: audit.clone(),
        credentials: Arc::clone(&credentials),
        metrics: Arc::clone(&metrics),
        store,
        shared_cache: shared_cache.clone().map(|(cache, _)| cache),
    };
    let (broker, drivers) = Broker::new(&tencent, setup.rate_limit, setup.cache, rooms, clock.clone());
    let caller_quota = Arc::new(CallerQuota::new(setup.per_caller, clock.clone()));
    let health = Arc::new(Health::new(Arc::clone(&broker), Arc::clone(&identity)));

    let mut reloadables = vec![
        Reloadable::policies(setup.policy.dir, policies_seen, Arc::clone(&broker)),
        Reloadable::credentials(Arc::clone(&credentials)),
        Reloadable::audit(audit.clone(), setup.audit.key_file().map(Into::into)),
    ];
    reloadables.extend(shared_cache.map(|(cache, key_file)| Reloadable::shared_cache(cache, key_file)));
    let configuration = setup.file.map(ConfigurationFile::new);

    let workers = match setup.server.workers {
        0 => available_parallelism().map_or(1, usize::from),
        some => some,
    };
    let trusted_proxies: Arc<[_]> = setup.server.trusted_proxies.as_slice().into();
    let clock_of_renewal = clock.clone();
    let cors = Cors::new(&setup.cors);
    let openapi = http::openapi::document(broker.regions());
    let edge = {
        let (health, credentials) = (Arc::clone(&health), Arc::clone(&credentials));
        let caller_quota = Arc::clone(&caller_quota);
        move || {
            let client = Client::new(Arc::clone(&tencent), &roots, Arc::clone(&credentials), clock.clone());
            Rc::new(Edge {
                worker: Rc::new(Worker::new(Arc::clone(&broker), client)),
                identity: Arc::clone(&identity),
                caller_quota: Arc::clone(&caller_quota),
                refusals_to_log: Throttle::new(REFUSALS_LOGGED_PER_SECOND),
                cors: cors.clone(),
                openapi: openapi.clone(),
                health: Arc::clone(&health),
                trusted_proxies: Arc::clone(&trusted_proxies),
                request_timeout: setup.server.request_timeout,
            })
        }
    };
    let public = listeners::public(&setup.server, workers, edge)?;
    let admin = listeners::admin(&setup.server, Arc::clone(&health))?;

    for driver in drivers {
        rt::spawn(driver.run());
    }
    if let Some(keeper) = keeper {
        rt::spawn(keeper.run());
    }
    rt::spawn(refresher.run(reload::of_identity(Arc::clone(&metrics))));
    rt::spawn(renewer.run(reload::of_credentials(credentials, clock_of_renewal, Arc::clone(&metrics))));
    rt::spawn(reload::run(reloadables, configuration, hangup, metrics));
    rt::spawn(forget_idle_callers(caller_quota));
    rt::spawn(life::say_audit_head(audit.clone()));
    let (public_address, admin_address) = (public.address, admin.address);
    tracing::info!(%public_address, %admin_address, workers, version = env!("CARGO_PKG_VERSION"), "listening");
    Ok(Gateway {
        public: public.server,
        admin: admin.server,
        health,
        audit,
        signals,
        drain_delay: setup.server.drain_delay,
        shutdown_grace: setup.server.shutdown_grace,
    })
}

/// What replicas share: the store, and the cache in it with the file of its keys.
type Sharing = (Store, Option<(cache::Shared, PathBuf)>);

/// The store that replicas share, where one is configured. One that cannot be reached does not keep the gateway from
/// serving; files that cannot be used do, for those are this gateway's own mistake.
async fn share(
    settings: Option<store::Settings>,
    tencent: &tencent::Settings,
    clock: &Clock,
) -> Result<Option<(Sharing, store::Keeper)>, StartError> {
    let Some(settings) = settings else { return Ok(None) };
    if !settings.address.is_tls() && !settings.address.is_loopback() {
        tracing::warn!(store = %settings.address, "without TLS the network between hears the store's password");
    }
    let key_file = settings.encryption_key_file.clone();
    let ring = key_file.as_deref().map(Ring::load).transpose()?;
    let (store, mut keeper) = Store::new(settings, clock.clone());
    let scope = [tencent.account.as_bytes(), &tencent.download_digest()];
    let process = broker::random_id();
    let cache = ring.map(|ring| cache::Shared::new(store.clone(), ring, &scope, process.as_str()));
    if cache.is_none() {
        tracing::warn!("without shared.encryption_key_file the quota is shared and the cache is not");
    }
    keeper.check_files()?;
    keeper.reach().await;
    Ok(Some(((store, cache.zip(key_file)), keeper)))
}

async fn forget_idle_callers(callers: Arc<CallerQuota>) {
    let mut tick = interval(IDLE_CALLERS_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        callers.forget_the_idle();
    }
}
