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
    App, HttpServer,
    dev::{AppConfig, Extensions, Server},
    middleware::from_fn,
    web,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::sleep,
};

use super::{
    limits::{Connections, MAX_ADMIN_CONNECTIONS},
    tls::{Admitted, Gate},
};
use crate::http::{self, Edge, Health};

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

/// The server for callers. `edge` is called once on each worker's own thread.
///
/// # Errors
///
/// When the system does not let the listener be used.
pub(super) fn public(
    listener: TcpListener,
    service: Service,
    health: Arc<Health>,
    edge: impl Fn() -> Rc<Edge> + Clone + Send + 'static,
) -> io::Result<Server> {
    let arrives = move |data: &mut Extensions| {
        data.insert(health.newcomer());
    };
    serve(listener, service, arrives, move |config| {
        config.app_data(edge());
        http::public(config);
    })
}

/// The same over TLS. `edge` and `gate` are called once on each worker's own thread.
///
/// The web server's own TLS cannot be used: it offers HTTP/2 wherever any part of the program was built with it, and our
/// client was (`docs/adr/0008-tls.md`). What is behind the gate here speaks HTTP/1.1 by its type.
///
/// # Errors
///
/// When the system does not let the listener be used.
pub(super) fn public_over_tls(
    listener: TcpListener,
    service: Service,
    health: Arc<Health>,
    edge: impl Fn() -> Rc<Edge> + Clone + Send + 'static,
    gate: impl Fn() -> Gate + Clone + Send + 'static,
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
        .listen("public", listener, move || {
            let (stopping, health) = (stopping.clone(), Arc::clone(&health));
            let (arriving, connected) = (Arc::clone(&health), health);
            let app = App::new().app_data(edge()).wrap(from_fn(http::outermost)).configure(http::public);
            // Nothing here asks the web server under which name or scheme it is called.
            let app = map_config(app, |()| AppConfig::default());
            let service = HttpService::build()
                .secure()
                .local_addr(address)
                .h1_allow_half_closed(false)
                .keep_alive(connections.keep_alive)
                .client_request_timeout(connections.request_head)
                .client_disconnect_timeout(connections.disconnect)
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    // A client that takes longer over its handshake than a drain waits has its request on the way, and
                    // it is answered.
                    async move { _ = tokio::join!(stopping.notified(), sleep(NEW_CONNECTION)) }
                })
                .on_connect_ext(move |connection: &Admitted, data| {
                    data.insert(connection.lease());
                    data.insert(connected.newcomer());
                })
                .h1(app.map_err(|error: actix_web::Error| error.error_response()));
            let gate = Rc::new(gate());
            let admit = fn_service(move |stream: TcpStream| {
                let gate = Rc::clone(&gate);
                // Whoever still shakes hands has yet to ask, too.
                let shaking_hands = arriving.newcomer();
                // What ended here has been counted and logged; the web server does not care.
                async move {
                    let admitted = gate.admit(stream).await;
                    drop(shaking_hands);
                    admitted.ok_or(())
                }
            });
            admit.and_then(service.map_err(|_| ()))
        })?;
    Ok(server.run())
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
        |_| {},
        move |config| {
            config.app_data(health.clone());
            http::admin(config);
        },
    )
}

/// A server behind the outermost layer. `arrives` is called for each connection with the data that is kept with it.
fn serve(
    listener: TcpListener,
    service: Service,
    arrives: impl Fn(&mut Extensions) + Send + Sync + 'static,
    configure: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let Service { workers, connections, grace } = service;
    let server = HttpServer::new(move || App::new().wrap(from_fn(http::outermost)).configure(&configure))
        .workers(workers)
        // A client that closes its side has hung up: it leaves the queue and costs no token.
        .h1_allow_half_closed(false)
        .max_connections(connections.most)
        .keep_alive(connections.keep_alive)
        .client_request_timeout(connections.request_head)
        .client_disconnect_timeout(connections.disconnect)
        .on_connect(move |_, data| arrives(data))
        .disable_signals()
        .shutdown_timeout(grace.as_secs());
    Ok(server.listen(listener)?.run())
}

#[cfg(test)]
mod tests;
