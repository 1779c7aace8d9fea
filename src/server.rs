//! Listeners, workers, and how the process lives and ends.
//!
//! It introduces what the configuration describes to each other and then only waits; no rule of a request lives here.

mod connection;
mod door;
mod duties;
mod failures;
mod life;
mod limits;
mod listeners;
mod memory;
mod parts;
mod reload;
mod sharing;
mod socket;
mod start;
mod tls;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use actix_web::rt;

pub use failures::Failure;
pub use parts::check_files;
pub use tls::Settings as TlsSettings;

use crate::{audit, cache, http::cors, identity, policy, quota, store, telemetry, tencent, traces::CollectorUrl};

/// What `[server]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The public listener.
    pub listen: SocketAddr,
    /// The listener for health checks; never exposed to callers.
    pub admin_listen: SocketAddr,
    /// Worker threads; zero is one for each processor that the process may use.
    pub workers: usize,
    /// The longest that a request may take.
    pub request_timeout: Duration,
    /// After SIGTERM: not ready, still accepting.
    pub drain_delay: Duration,
    /// After that: requests in flight may end.
    pub shutdown_grace: Duration,
    /// Networks whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// TLS on the public listener; without it, it speaks plain HTTP.
    pub tls: Option<TlsSettings>,
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
    /// The store that replicas share, where there is one.
    pub shared: Option<store::Settings>,
    /// The record of decisions.
    pub audit: audit::Settings,
    /// Log lines.
    pub log: telemetry::Settings,
    /// Where spans are sent, if anywhere.
    pub otlp: Option<CollectorUrl>,
}

/// Serves until a signal ends it. Exit code 0 after the drain, of which the log says what it cut; 1 where a second
/// signal cut it short, 2 where it did not start.
pub fn run(setup: Setup) -> ExitCode {
    let _last_lines = telemetry::LastLines;
    rt::System::new().block_on(async {
        match start::start(setup).await {
            Ok(gateway) => gateway.live().await,
            Err(failures) => {
                report(&failures);
                ExitCode::from(2)
            }
        }
    })
}

/// A start that failed is told twice where it can be: in the log, and plainly for a person at a terminal. Where nobody
/// takes the log, nobody takes the rest either, and waiting for them would keep the process from ending.
#[expect(clippy::print_stderr, reason = "logging itself may be what did not start")]
fn report(failures: &[Failure]) {
    for failure in failures {
        tracing::error!(key = failure.key, error = failure.reason, "the gateway did not start");
    }
    if telemetry::flush() {
        failures.iter().for_each(|failure| eprintln!("redis-backup-gateway: {failure}"));
    }
}
