//! The two listeners, and what a connection may cost.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use actix_web::{App, HttpServer, dev::Server, middleware::from_fn, web};

use super::Settings;
use crate::http::{self, Edge, Health};

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

/// A bound listener, and where it is: port 0 has become a port.
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) server: Server,
}

/// An address that cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {address}: {error}")]
pub(super) struct ListenError {
    key: &'static str,
    address: SocketAddr,
    error: io::Error,
}

/// The listener for callers, bound. `edge` is called once on each worker's own thread.
///
/// # Errors
///
/// When the address cannot be listened at.
pub(super) fn public(
    settings: &Settings,
    workers: usize,
    edge: impl Fn() -> Rc<Edge> + Clone + Send + 'static,
) -> Result<Listener, ListenError> {
    let address = settings.listen;
    let server =
        HttpServer::new(move || App::new().app_data(edge()).wrap(from_fn(http::outermost)).configure(http::public))
            .workers(workers)
            // A client that closes its side has hung up: it leaves the queue and costs no token.
            .h1_allow_half_closed(false)
            .max_connections(MAX_CONNECTIONS)
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(REQUEST_HEAD_TIMEOUT)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .disable_signals()
            .shutdown_timeout(whole_seconds(settings.shutdown_grace))
            .bind(address)
            .map_err(|error| ListenError { key: "server.listen", address, error })?;
    Ok(Listener { address: server.addrs().first().copied().unwrap_or(address), server: server.run() })
}

/// The listener for health checks and scrapes, bound.
///
/// # Errors
///
/// When the address cannot be listened at.
pub(super) fn admin(settings: &Settings, health: Arc<Health>) -> Result<Listener, ListenError> {
    let address = settings.admin_listen;
    let health = web::Data::from(health);
    let server = HttpServer::new(move || {
        App::new().app_data(health.clone()).wrap(from_fn(http::outermost)).configure(http::admin)
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(address)
    .map_err(|error| ListenError { key: "server.admin_listen", address, error })?;
    Ok(Listener { address: server.addrs().first().copied().unwrap_or(address), server: server.run() })
}

/// The web server counts its grace in whole seconds; a part of one is rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0 || duration.is_zero())
}
