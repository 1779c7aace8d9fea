//! A server for tests that says exactly what it is told, over real sockets, and keeps what it was sent.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{pending, poll_fn},
    io::{Read, Write},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the peer does with one request.
pub(crate) enum Reply {
    /// Writes these bytes and waits for the next request on the connection.
    Send(Vec<u8>),
    /// Writes these bytes and closes.
    SendAndClose(Vec<u8>),
    /// Tears the connection down with a reset.
    Reset,
    /// Never answers.
    Silence,
}

/// A listening peer; it lives until its runtime ends.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    replies: RefCell<VecDeque<Reply>>,
    requests: RefCell<Vec<Vec<u8>>>,
    connections: Cell<usize>,
    closed: Cell<usize>,
    waiting: RefCell<Option<Waker>>,
}

/// Runs a test on a worker of its own, as the server does.
pub(crate) fn on_worker<T>(test: impl Future<Output = T>) -> T {
    actix_web::rt::System::new().block_on(test)
}

/// A `200` with this body and its length.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

impl Peer {
    /// Listens on a free port of loopback and plays `replies` in order, one a request; then it is silent.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let state = Rc::new(State { replies: RefCell::new(replies.into_iter().collect()), ..State::default() });
        let peer = Self { address: listener.local_addr().unwrap(), state };
        let accepting = peer.clone();
        actix_web::rt::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.state.connections.set(accepting.state.connections.get() + 1);
                actix_web::rt::spawn(accepting.clone().serve(stream));
            }
        });
        peer
    }

    /// `http://` and the address.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, head and body as they came.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.state.requests.borrow().clone()
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.get()
    }

    /// Waits until the peer has closed a connection and the news has reached this process's event loop.
    pub(crate) async fn closed(&self) {
        poll_fn(|context| {
            *self.state.waiting.borrow_mut() = Some(context.waker().clone());
            if self.state.closed.get() == 0 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        // A byte that arrives after the close is seen no earlier than the close.
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        near.write_all(b".").await.unwrap();
        far.read_u8().await.unwrap();
    }

    async fn serve(self, mut stream: TcpStream) {
        while let Some(request) = read_request(&mut stream).await {
            self.state.requests.borrow_mut().push(request);
            let reply = self.state.replies.borrow_mut().pop_front();
            match reply.unwrap_or(Reply::Silence) {
                Reply::Send(bytes) => {
                    // The client may hang up inside an answer that is too long for it.
                    let _ = stream.write_all(&bytes).await;
                }
                Reply::SendAndClose(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    break;
                }
                Reply::Reset => {
                    stream.set_zero_linger().unwrap();
                    break;
                }
                Reply::Silence => pending().await,
            }
        }
        drop(stream);
        self.state.closed.set(self.state.closed.get() + 1);
        if let Some(waker) = self.state.waiting.borrow_mut().take() {
            waker.wake();
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
        let Some(head_end) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&request[..head_end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.trim().parse::<usize>().unwrap());
        if request.len() >= head_end + 4 + length {
            return Some(request);
        }
    }
}

/// A TLS server with the certificate of `tests/vectors/tls` that answers one request with `body`; it returns the ALPN
/// protocol that was agreed on, of `h2` and `http/1.1`, or nothing where the client went away.
pub(crate) fn tls_server(body: Vec<u8>) -> (u16, std::thread::JoinHandle<Option<Vec<u8>>>) {
    let certificate = include_bytes!("../../tests/vectors/tls/server.pem");
    let key = include_bytes!("../../tests/vectors/tls/server.key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate).unwrap()],
            PrivateKeyDer::from_pem_slice(key).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let session = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(session, stream);
        let mut request = [0; 4096];
        // A client that does not trust the certificate ends the handshake here.
        let read = stream.read(&mut request).ok()?;
        assert!(request[..read].starts_with(b"GET /"));
        stream.write_all(&ok(std::str::from_utf8(&body).unwrap())).unwrap();
        stream.conn.alpn_protocol().map(<[u8]>::to_vec)
    });
    (port, serving)
}
