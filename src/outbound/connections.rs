//! Opens connections for the client, and tells whoever is sending that this is happening.
//!
//! awc takes a connection from its pool or opens one inside `send`, without a word. Whoever counts the moments at which
//! requests arrive must know: a request that had to wait for a handshake arrives late. It never pools or retries.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_tls::connect::{ConnectError, ConnectInfo, Connection, ConnectorService};
use actix_web::{dev::Service, rt::net::TcpStream};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;

tokio::task_local! {
    /// Set when the call that runs in this scope opens a connection.
    static OPENING: Rc<Cell<bool>>;
}

/// Polls `sending` (the future of awc's `send`) to its end, and calls `on_opening` once if it opens a connection, at
/// the moment at which the opening starts. Without that call the request went out on a connection that was open.
///
/// It relies on awc's pool polling the connector in the task of its caller; a test here fails should that change.
pub async fn watch_connections<F: Future>(sending: F, on_opening: impl FnOnce()) -> F::Output {
    let opening = Rc::new(Cell::new(false));
    let mut sending = pin!(OPENING.scope(Rc::clone(&opening), sending));
    let mut on_opening = Some(on_opening);
    poll_fn(|context| {
        let polled = sending.as_mut().poll(context);
        if opening.get()
            && let Some(tell) = on_opening.take()
        {
            tell();
        }
        polled
    })
    .await
}

/// actix-tls's own resolver and TCP connector, watched.
#[derive(Clone, Default)]
pub(super) struct Connections(ConnectorService);

impl Service<ConnectInfo<Uri>> for Connections {
    type Response = Connection<Uri, TcpStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<ConnectInfo<Uri>>::poll_ready(&self.0, context)
    }

    fn call(&self, target: ConnectInfo<Uri>) -> Self::Future {
        // Outside of a scope nobody asked.
        let _ = OPENING.try_with(|opening| opening.set(true));
        let connecting = self.0.call(target);
        Box::pin(async move {
            let connection = connecting.await?;
            // A request in two segments must not wait for the acknowledgement of the first.
            connection.io_ref().set_nodelay(true).map_err(ConnectError::Io)?;
            Ok(connection)
        })
    }
}
