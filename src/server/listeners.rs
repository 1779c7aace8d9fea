//! The two listeners, and what a connection may cost.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_http::HttpService;
use actix_service::{ServiceFactoryExt as _, fn_service, map_config};
use actix_web::{
    App,
    dev::{AppConfig, Server},
    middleware::from_fn,
    web,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::sleep,
};

use super::{
    connection::Connection,
    limits::{Connections, MAX_ADMIN_CONNECTIONS},
    socket::Socket,
    tls::Gate,
};
use crate::{
    http::{self, Conversation, Edge, Health},
    identity::LastToken,
};

/// How long a connection is new after its handshake: a drain that has begun meanwhile does not close it in that time.
const NEW_CONNECTION: Duration = Duration::from_secs(1);

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
        // Connections have it from here: neither the end of a handshake nor an answer behind another one waits for the
        // client's acknowledgement, which may take 40 ms.
        socket.set_nodelay(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    bound().map_err(|error| ListenError { address, error })
}

/// How a server serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    pub(super) workers: usize,
    pub(super) connections: Connections,
    /// How long requests in flight may take once it is stopped, in whole seconds.
    pub(super) grace: Duration,
}

/// The server for callers: over TLS where `gate` makes a gate, plain where it does not. `edge` and `gate` are called once
/// on each worker's own thread.
///
/// The web server's own TLS cannot be used: it offers HTTP/2 wherever any part of the program was built with it, and our
/// client was (`docs/adr/0008-tls.md`). What is behind the gate here speaks HTTP/1.1 by its type.
///
/// # Errors
///
/// When the system does not let the listener be used.
pub(super) fn public(
    listener: TcpListener,
    service: Service,
    health: Arc<Health>,
    edge: impl Fn() -> Rc<Edge> + Clone + Send + 'static,
    gate: impl Fn() -> Option<Gate> + Clone + Send + 'static,
) -> io::Result<Server> {
    serve(listener, service, Some(health), gate, move |config| {
        config.app_data(edge());
        http::public(config);
    })
}

/// The server for health checks and scrapes.
///
/// # Errors
///
/// When the system does not let the listener be used.
pub(super) fn admin(listener: TcpListener, health: Arc<Health>) -> io::Result<Server> {
    let connections = Connections::of_machines(MAX_ADMIN_CONNECTIONS);
    let service = Service { workers: 1, connections, grace: Duration::from_secs(1) };
    let health = web::Data::from(health);
    serve(
        listener,
        service,
        None,
        || None,
        move |config| {
            config.app_data(health.clone());
            http::admin(config);
        },
    )
}

/// A server behind the outermost layer. Its connections are newcomers of `health` until they ask, where it is there.
///
/// The web server's own listener gives the parser whatever a client sends; here it reads a [`Connection`].
fn serve(
    listener: TcpListener,
    service: Service,
    health: Option<Arc<Health>>,
    gate: impl Fn() -> Option<Gate> + Clone + Send + 'static,
    configure: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let Service { workers, connections, grace } = service;
    let address = listener.local_addr()?;
    let server = Server::build();
    let stopping = server.graceful_shutdown_signal();
    let server = server
        .workers(workers)
        .max_concurrent_connections(connections.most)
        .disable_signals()
        .shutdown_timeout(grace.as_secs())
        .listen("http", listener, move || {
            let (stopping, arriving, connected) = (stopping.clone(), health.clone(), health.clone());
            let gate = gate().map(Rc::new);
            let has_handshakes = gate.is_some();
            let app = App::new().wrap(from_fn(http::outermost)).configure(&configure);
            // Nothing here asks the web server under which name or scheme it is called.
            let app = map_config(app, |()| AppConfig::default());
            let service = HttpService::build()
                .local_addr(address)
                // A client that closes its side has hung up: it leaves the queue and costs no token.
                .h1_allow_half_closed(false)
                .keep_alive(connections.keep_alive)
                .client_request_timeout(connections.request_head)
                .client_disconnect_timeout(connections.disconnect)
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move {
                        // A client that takes longer over its handshake than a drain waits has its request on the way,
                        // and it is answered.
                        let is_new = async {
                            if has_handshakes {
                                sleep(NEW_CONNECTION).await;
                            }
                        };
                        _ = tokio::join!(stopping.notified(), is_new);
                    }
                })
                .on_connect_ext(move |connection: &Connection, data| {
                    data.insert(connection.conversation());
                    if let Some(lease) = connection.lease() {
                        data.insert(lease);
                    }
                    if let Some(health) = &connected {
                        data.insert(health.newcomer());
                        data.insert(LastToken::default());
                    }
                })
                .h1(app.map_err(|error: actix_web::Error| error.error_response()));
            let admit = fn_service(move |stream: TcpStream| {
                let gate = gate.clone();
                let keeps_none = connections.keep_alive.is_zero();
                let conversation = if keeps_none { Conversation::of_one_request() } else { Conversation::default() };
                // Whoever still shakes hands has yet to ask, too.
                let shaking_hands = gate.as_ref().and(arriving.as_ref()).map(|health| health.newcomer());
                async move {
                    let peer = stream.peer_addr().ok();
                    let socket = Socket::new(stream, connections.unread);
                    let Some(gate) = gate else {
                        return Ok((Connection::plain(socket, conversation, connections), peer));
                    };
                    // What ended here has been counted and logged; the web server does not care.
                    // Boxed, for a handshake takes kilobytes that the connection would keep, a plain one too.
                    let admitted = Box::pin(gate.admit(socket, peer)).await;
                    drop(shaking_hands);
                    admitted.map(|admitted| (Connection::over_tls(admitted, conversation, connections), peer)).ok_or(())
                }
            });
            admit.and_then(service.map_err(|_| ()))
        })?;
    Ok(server.run())
}

#[cfg(test)]
mod tests;
