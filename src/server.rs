//! Listeners, workers, and how the process lives and ends.
//!
//! It introduces what the configuration describes to each other and then only waits; no rule of a request lives here.

mod memory;
mod reload;

use std::{
    io, net::SocketAddr, path::PathBuf, process::ExitCode, rc::Rc, sync::Arc, thread::available_parallelism,
    time::Duration,
};

use actix_web::{App, HttpServer, dev::Server, middleware::from_fn, rt, web};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use self::reload::{ConfigurationFile, Reloadable};
use crate::{
    audit::{self, Audit},
    broker::{Broker, Rooms, Worker},
    cache,
    domain::{Clock, Throttle},
    http::{self, Edge, Health, cors},
    identity::{self, Denial, Identity, IdentityError},
    metrics::Metrics,
    outbound::{RootsError, TlsRoots},
    policy::{self, Policies, PolicyErrors},
    quota::{self, CallerQuota},
    telemetry::{self, TelemetryError},
    tencent::{
        self, ApiAction,
        client::Client,
        credentials::{CredentialStore, CredentialsError},
    },
};

/// What `[server]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The public listener.
    pub listen: SocketAddr,
    /// The listener for health checks; never exposed to callers.
    pub admin_listen: SocketAddr,
    /// Worker threads; zero is one a core.
    pub workers: usize,
    /// The longest that a request may take.
    pub request_timeout: Duration,
    /// After SIGTERM: not ready, still accepting.
    pub drain_delay: Duration,
    /// After that: requests in flight may end.
    pub shutdown_grace: Duration,
    /// Networks whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// Everything that a gateway is made of, as the configuration describes it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The file that the configuration was read from, where there is one.
    pub file: Option<PathBuf>,
    /// Listeners, workers, the end of the process.
    pub server: Settings,
    /// Which web pages may read the answers.
    pub cors: cors::Settings,
    /// Who may call.
    pub auth: identity::Settings,
    /// What they may do.
    pub policy: policy::Settings,
    /// The cloud.
    pub tencent: tencent::Settings,
    /// Its quota.
    pub rate_limit: quota::Limits,
    /// Each caller's own quota.
    pub per_caller: quota::CallerLimits,
    /// What is kept, and for how long.
    pub cache: cache::Rules,
    /// The record of decisions.
    pub audit: audit::Settings,
    /// Log lines.
    pub log: telemetry::Settings,
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
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
    Audit(#[from] audit::StartError),
    #[error("{key}: cannot listen on {address}: {error}")]
    Listen { key: &'static str, address: SocketAddr, error: io::Error },
    #[error("signals cannot be received: {0}")]
    Signals(#[source] io::Error),
}

/// Connections that a worker holds; further ones wait in the kernel. Each has a buffer of its own, so this is what
/// strangers can make a worker hold: some 40 MB.
const MAX_CONNECTIONS: usize = 4096;

/// How long an idle connection is kept: longer than load balancers keep theirs (a minute, mostly), so that no request
/// of theirs meets a connection that is just being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client may take over the head of a request. Whoever takes longer holds a place on purpose.
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection that is being closed may take to do so.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often callers that have been idle are forgotten. What they cost until then is a few dozen bytes each.
const IDLE_CALLERS_TICK: Duration = Duration::from_secs(60);

/// How often the head of the audit's chain goes to the log.
const AUDIT_HEAD_TICK: Duration = Duration::from_secs(60 * 60);

/// What a write past the limit of a file's size (`ulimit -f`) raises. Unless somebody listens, the process dies of it;
/// the audit would rather have the error and withhold answers.
const SIGXFSZ: i32 = 25;

/// Log lines a second and worker for requests that are refused before policy: strangers cause them.
const REFUSALS_LOGGED_PER_SECOND: u32 = 5;

/// How long workers may take to end once they have been stopped.
const WORKERS_END: Duration = Duration::from_secs(1);

/// Serves until a signal ends it. Exit code 0 after the drain, of which the log says what it cut; 1 where a second
/// signal cut it short, 2 where it did not start.
pub fn run(setup: Setup) -> ExitCode {
    rt::System::new().block_on(async {
        match start(setup).await {
            Ok(gateway) => gateway.live().await,
            Err(error) => {
                report(&error);
                ExitCode::from(2)
            }
        }
    })
}

/// A start that failed is told twice where it can be: in the log, and plainly for a person at a terminal.
#[expect(clippy::print_stderr, reason = "logging itself may be what did not start")]
fn report(error: &StartError) {
    tracing::error!(%error, "the gateway did not start");
    eprintln!("redis-backup-gateway: {error}");
}

/// A gateway that listens.
struct Gateway {
    public: Server,
    admin: Server,
    health: Arc<Health>,
    audit: Audit,
    signals: Signals,
    drain_delay: Duration,
    shutdown_grace: Duration,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    _file_too_large: Signal,
}

async fn start(setup: Setup) -> Result<Gateway, StartError> {
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
    let rooms =
        Rooms { policies, audit: audit.clone(), credentials: Arc::clone(&credentials), metrics: Arc::clone(&metrics) };
    let (broker, drivers) = Broker::new(&tencent, setup.rate_limit, setup.cache, rooms, clock.clone());
    let caller_quota = Arc::new(CallerQuota::new(setup.per_caller, clock.clone()));
    let health = Arc::new(Health::new(Arc::clone(&broker), Arc::clone(&identity)));

    let reloadables = vec![
        Reloadable::policies(setup.policy.dir, policies_seen, Arc::clone(&broker)),
        Reloadable::credentials(Arc::clone(&credentials)),
        Reloadable::audit(audit.clone(), setup.audit.key_file().map(Into::into)),
    ];
    let configuration = setup.file.map(ConfigurationFile::new);

    let workers = match setup.server.workers {
        0 => available_parallelism().map_or(1, usize::from),
        some => some,
    };
    let trusted_proxies: Arc<[_]> = setup.server.trusted_proxies.into();
    let clock_of_renewal = clock.clone();
    let cors = cors::Cors::new(&setup.cors);
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
    let listen = setup.server.listen;
    let public =
        HttpServer::new(move || App::new().app_data(edge()).wrap(from_fn(http::outermost)).configure(http::public))
            .workers(workers)
            // A client that closes its side has hung up: it leaves the queue and costs no token.
            .h1_allow_half_closed(false)
            .max_connections(MAX_CONNECTIONS)
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(REQUEST_HEAD_TIMEOUT)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .disable_signals()
            .shutdown_timeout(whole_seconds(setup.server.shutdown_grace))
            .bind(listen)
            .map_err(|error| StartError::Listen { key: "server.listen", address: listen, error })?;
    let admin_listen = setup.server.admin_listen;
    let admin_health = web::Data::from(Arc::clone(&health));
    let admin = HttpServer::new(move || {
        App::new().app_data(admin_health.clone()).wrap(from_fn(http::outermost)).configure(http::admin)
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(admin_listen)
    .map_err(|error| StartError::Listen { key: "server.admin_listen", address: admin_listen, error })?;

    for driver in drivers {
        rt::spawn(driver.run());
    }
    rt::spawn(refresher.run(reload::of_identity(Arc::clone(&metrics))));
    rt::spawn(renewer.run(reload::of_credentials(credentials, clock_of_renewal, Arc::clone(&metrics))));
    rt::spawn(reload::run(reloadables, configuration, hangup, metrics));
    rt::spawn(forget_idle_callers(caller_quota));
    rt::spawn(say_audit_head(audit.clone()));
    let public_address = public.addrs().first().copied().unwrap_or(listen);
    let admin_address = admin.addrs().first().copied().unwrap_or(admin_listen);
    tracing::info!(%public_address, %admin_address, workers, version = env!("CARGO_PKG_VERSION"), "listening");
    Ok(Gateway {
        public: public.run(),
        admin: admin.run(),
        health,
        audit,
        signals,
        drain_delay: setup.server.drain_delay,
        shutdown_grace: setup.server.shutdown_grace,
    })
}

impl Gateway {
    /// Serves, drains and ends: not ready at once, accepting for `drain_delay` more, then only what is in flight.
    async fn live(self) -> ExitCode {
        let Self { public, admin, health, audit, mut signals, drain_delay, shutdown_grace } = self;
        let (public_handle, admin_handle) = (public.handle(), admin.handle());
        let public = rt::spawn(public);
        let admin = rt::spawn(admin);

        let name = signals.next().await;
        tracing::info!(signal = name, "draining: not ready, still accepting");
        health.drain();
        let drained = async {
            sleep(drain_delay).await;
            tracing::info!("no longer accepting; requests in flight may end");
            let unanswered_before = health.unanswered();
            public_handle.stop(true).await;
            admin_handle.stop(true).await;
            let _ = tokio::join!(public, admin);
            // A worker that was stopped drops its requests a moment later, and what was cut is on the record all the same.
            if !audit.desks_are_gone(WORKERS_END).await {
                tracing::error!("a worker did not end; records of requests that were cut may be missing");
            }
            audit.close().await;
            log_head(&audit);
            // Counted when the workers are gone: the web server cuts what is left when its time is up, and says nothing.
            health.unanswered() - unanswered_before
        };
        // The server counts the grace in whole seconds; a little more is the line where waiting turns into hanging.
        let limit = drain_delay + shutdown_grace + WORKERS_END + Duration::from_secs(2);
        tokio::select! {
            drained = timeout(limit, drained) => match drained {
                Ok(0) => {
                    tracing::info!("drained");
                    ExitCode::SUCCESS
                }
                Ok(unanswered) => {
                    tracing::error!(
                        unanswered,
                        "drained, but for requests that took longer than server.shutdown_grace or were given up"
                    );
                    ExitCode::SUCCESS
                }
                Err(_) => {
                    tracing::error!("requests in flight, or the audit, did not end in time");
                    ExitCode::FAILURE
                }
            },
            name = signals.next() => {
                tracing::warn!(signal = name, "cut short by a second signal");
                ExitCode::FAILURE
            }
        }
    }
}

/// The web server counts its grace in whole seconds; a part of one is rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0 || duration.is_zero())
}

impl Signals {
    fn register() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_too_large: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The head in a place that is not the file: with it, `audit verify --expect` finds a file whose end was cut off.
async fn say_audit_head(audit: Audit) {
    let mut tick = interval(AUDIT_HEAD_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        log_head(&audit);
    }
}

fn log_head(audit: &Audit) {
    if let Some(head) = audit.head() {
        tracing::info!(seq = head.seq, hash = %head.hash, "the audit's head");
    }
}

async fn forget_idle_callers(callers: Arc<CallerQuota>) {
    let mut tick = interval(IDLE_CALLERS_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        callers.forget_the_idle();
    }
}
