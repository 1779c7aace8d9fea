//! The two listeners, and what a connection may cost.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_web::{App, HttpServer, dev::Server, middleware::from_fn, web};
use tokio::net::TcpSocket;

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

/// Connections that the kernel completes before they are accepted; what comes beyond is told to come again.
const BACKLOG: u32 = 2048;

/// An address that cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub(super) struct ListenError {
    address: SocketAddr,
    error: io::Error,
}

/// A listener at `address`; what connects waits until it is served. It belongs on a thread with a runtime.
///
/// # Errors
///
/// When the address cannot be listened at.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections of the process before may still be closing.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    bound().map_err(|error| ListenError { address, error })
}

/// The server for callers. `edge` is called once on each worker's own thread.
///
/// # Errors
///
/// When the system does not let the listener be used.
pub(super) fn public(
    listener: TcpListener,
    settings: &Settings,
    workers: usize,
    edge: impl Fn() -> Rc<Edge> + Clone + Send + 'static,
) -> io::Result<Server> {
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
            .shutdown_timeout(whole_seconds(settings.shutdown_grace));
    Ok(server.listen(listener)?.run())
}

/// The server for health checks and scrapes.
///
/// # Errors
///
/// When the system does not let the listener be used.
pub(super) fn admin(listener: TcpListener, health: Arc<Health>) -> io::Result<Server> {
    let health = web::Data::from(health);
    let server = HttpServer::new(move || {
        App::new().app_data(health.clone()).wrap(from_fn(http::outermost)).configure(http::admin)
    });
    Ok(server.workers(1).disable_signals().shutdown_timeout(1).listen(listener)?.run())
}

/// The web server counts its grace in whole seconds; a part of one is rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0 || duration.is_zero())
}
