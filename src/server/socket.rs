//! The socket of a client, beneath TLS where there is any.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// A socket that fails when the client takes nothing of what is written to it for too long.
///
/// The web server has no timer for that, and TLS takes what is written before the client does; so it is looked at here,
/// where whatever is on its way has to pass, also what is still to be sent when the connection is being closed.
pub(super) struct Socket {
    stream: TcpStream,
    unread: Duration,
    /// Set while there is no room.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// `unread` is how long the client may take nothing.
    pub(super) fn new(stream: TcpStream, unread: Duration) -> Self {
        Self { stream, unread, stalled: None }
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    fn in_time(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.unread)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.in_time(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// A socket and its client, for tests.
#[cfg(test)]
pub(super) mod testing {
    use std::{sync::Arc, time::Duration};

    use rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, ServerName},
    };
    use tokio::{
        io::{AsyncRead, AsyncWrite},
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

    use super::Socket;
    use crate::server::tls::testing::Authority;

    pub(crate) async fn pair(unread: Duration) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        (Socket::new(accepted, unread), client)
    }

    /// Both ends of a TLS connection over these.
    pub(crate) async fn shaken_hands<S, C>(server: S, client: C) -> (server::TlsStream<S>, client::TlsStream<C>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let authority = Authority::new("root");
        let leaf = authority.server();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(leaf.key.serialize_der()).unwrap();
        let accepting = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.certificate.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().to_vec().into()).unwrap();
        let connecting = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (accepted, connected) = tokio::join!(
            TlsAcceptor::from(Arc::new(accepting)).accept(server),
            TlsConnector::from(Arc::new(connecting)).connect(ServerName::try_from("localhost").unwrap(), client)
        );
        (accepted.unwrap(), connected.unwrap())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, thread};

    use actix_web::rt::System;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{
        testing::{pair, shaken_hands},
        *,
    };

    const BRIEF: Duration = Duration::from_millis(400);

    /// Writes until it fails.
    async fn fill(stream: &mut (impl AsyncWrite + Unpin)) -> io::ErrorKind {
        loop {
            // So little that TLS has room for it.
            let written = async {
                stream.write_all(&[0; 512]).await?;
                stream.flush().await
            };
            if let Err(error) = written.await {
                return error.kind();
            }
        }
    }

    #[test]
    fn a_client_that_takes_nothing_is_an_error_in_its_time() {
        System::new().block_on(async {
            let (mut socket, _client) = pair(BRIEF).await;

            assert_eq!(fill(&mut socket).await, io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn so_it_is_beneath_tls_which_has_taken_what_the_client_has_not() {
        System::new().block_on(async {
            let (socket, client) = pair(BRIEF).await;
            let (mut server, _client) = shaken_hands(socket, client).await;

            assert_eq!(fill(&mut server).await, io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn a_client_that_takes_something_now_and_then_has_its_time_anew() {
        System::new().block_on(async {
            const PARTS: usize = 24;
            const PART: usize = 4 << 20;
            let (mut socket, client) = pair(BRIEF * 3).await;
            let mut client = client.into_std().unwrap();
            client.set_nonblocking(false).unwrap();
            // Longer than the client may take nothing at once.
            let reader = thread::spawn(move || {
                let mut part = vec![0; PART];
                for _ in 0..PARTS {
                    slow_down();
                    client.read_exact(&mut part).unwrap();
                }
            });

            for _ in 0..PARTS {
                socket.write_all(&vec![0; PART]).await.unwrap();
            }

            drop(socket);
            reader.join().unwrap();
        });
    }

    #[test]
    fn what_a_client_says_passes_through() {
        System::new().block_on(async {
            let (mut socket, mut client) = pair(BRIEF).await;
            client.write_all(b"hello").await.unwrap();
            let mut said = [0; 5];

            socket.read_exact(&mut said).await.unwrap();

            assert_eq!(&said, b"hello");
        });
    }

    #[expect(clippy::disallowed_methods, reason = "this thread is the client's")]
    fn slow_down() {
        thread::sleep(BRIEF / 4);
    }
}
