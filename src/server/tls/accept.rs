//! From an accepted socket to a connection that is ready for HTTP, or to its end.
//!
//! The configuration is chosen when the client has said what it wants and not before, so that a slow client cannot keep
//! an old one alive. The whole handshake has one deadline, and a place of its own is all that it can hold until then.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{HandshakeKind, server::Acceptor};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{Tls, turns::Turns};
use crate::{
    domain::Throttle,
    http::{self, Lease},
    metrics::{Handshake, Metrics},
    server::socket::Socket,
};

/// How long a handshake may take, as long as the head of a request may: whoever takes longer holds a place on purpose.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Failed handshakes that are logged in a second, by each worker: strangers cause them.
const FAILURES_LOGGED_PER_SECOND: u32 = 5;

/// What is read of a message that is no TLS, so that its sender sees the answer and not a reset connection.
const PLAIN_BYTES_READ: u64 = 64 << 10;

/// The way in of one worker.
pub(in crate::server) struct Gate {
    tls: Arc<Tls>,
    metrics: Arc<Metrics>,
    turns: Turns,
    failures_to_log: Throttle,
}

/// A connection that has passed the gate.
pub(in crate::server) struct Admitted {
    pub(in crate::server) stream: TlsStream<Socket>,
    /// How long it may go on.
    pub(in crate::server) lease: Lease,
}

/// Why a connection did not.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the client closed the connection before its handshake")]
    Closed,
    #[error("plain HTTP on the port for HTTPS")]
    PlainHttp,
    #[error("no handshake within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    TimedOut,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Gate {
    pub(in crate::server) fn new(tls: Arc<Tls>, metrics: Arc<Metrics>) -> Self {
        let failures_to_log = Throttle::new(FAILURES_LOGGED_PER_SECOND);
        Self { tls, metrics, turns: Turns::new(), failures_to_log }
    }

    /// The connection with `peer`, or nothing, which has been counted and logged.
    pub(in crate::server) async fn admit(&self, socket: Socket, peer: Option<SocketAddr>) -> Option<Admitted> {
        let outcome = timeout(HANDSHAKE_TIMEOUT, self.shake_hands(socket)).await.unwrap_or(Err(Failure::TimedOut));
        let (counted, admitted) = match outcome {
            Ok(admitted) if admitted.is_resumed() => (Handshake::Resumed, Some(admitted)),
            Ok(admitted) => (Handshake::Full, Some(admitted)),
            Err(failure) => {
                self.log(&failure, peer);
                (failure.counted(), None)
            }
        };
        self.metrics.tls.handshake(counted);
        admitted
    }

    async fn shake_hands(&self, mut socket: Socket) -> Result<Admitted, Failure> {
        let mut first = [0];
        match socket.stream().peek(&mut first).await? {
            0 => return Err(Failure::Closed),
            _ if first[0].is_ascii_alphabetic() => {
                refuse_plain_http(&mut socket).await?;
                return Err(Failure::PlainHttp);
            }
            _ => {}
        }

        let hello = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let in_force = self.tls.in_force.load_full();
        let config = Arc::clone(&in_force.config);
        let stream = self.turns.take(|| hello.into_stream(config)).await.await?;
        Ok(Admitted { stream, lease: in_force.clients.lease.clone() })
    }

    fn log(&self, failure: &Failure, peer: Option<SocketAddr>) {
        // Load balancers open connections and close them, to see whether somebody is there.
        if matches!(failure, Failure::Closed) {
            return;
        }
        if let Some(suppressed) = self.failures_to_log.admit(self.tls.means.clock.monotonic()) {
            let peer = peer.map(|peer| peer.ip().to_canonical().to_string());
            tracing::info!(peer, %failure, suppressed, "a TLS handshake failed");
        }
    }
}

impl Failure {
    fn counted(&self) -> Handshake {
        match self {
            Self::Closed => Handshake::Closed,
            Self::PlainHttp => Handshake::PlainHttp,
            Self::TimedOut => Handshake::TimedOut,
            Self::Io(error) if is_hang_up(error) => Handshake::Closed,
            Self::Io(_) => Handshake::Failed,
        }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

/// Says what is wrong in words that the client understands, and reads the rest of what it said.
async fn refuse_plain_http(stream: &mut Socket) -> io::Result<()> {
    stream.write_all(http::PLAIN_ON_TLS.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(PLAIN_BYTES_READ);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

impl Admitted {
    fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}
