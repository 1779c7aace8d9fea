//! An issuer's web server on loopback that says, byte for byte, what a test wants said.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::identity::{KeySetUrl, KeySource};

/// Serves one answer at a time until it is dropped.
pub(super) struct Server {
    pub(super) url: String,
    answer: Arc<Mutex<Answer>>,
    served: watch::Receiver<usize>,
    request: Arc<Mutex<String>>,
    gate: watch::Sender<bool>,
    accepting: tokio::task::JoinHandle<()>,
}

/// What is written, and whether the connection is left open after it.
#[derive(Clone)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    stalls: bool,
}

impl Answer {
    /// A complete answer.
    pub(super) fn new(status: &str, content_type: &str, body: &[u8]) -> Self {
        Self::with_header(status, &format!("content-type: {content_type}"), body)
    }

    /// The same with another header line.
    pub(super) fn with_header(status: &str, header: &str, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {status}\r\n{header}\r\ncontent-length: {}\r\n", body.len());
        Self::raw([head.as_bytes(), b"connection: close\r\n\r\n", body].concat())
    }

    /// A key set, as it should be.
    pub(super) fn key_set(document: &[u8]) -> Self {
        Self::new("200 OK", "application/json", document)
    }

    /// These bytes and the end of the connection.
    pub(super) fn raw(bytes: Vec<u8>) -> Self {
        Self { bytes, stalls: false }
    }

    /// These bytes and no end.
    pub(super) fn stalled(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), stalls: true }
    }
}

impl Server {
    pub(super) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(answer));
        let request = Arc::<Mutex<String>>::default();
        let (count, served) = watch::channel(0);
        let (gate, open) = watch::channel(true);
        let accepting = tokio::spawn({
            let (answer, request) = (Arc::clone(&answer), Arc::clone(&request));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (answer, request) = (Arc::clone(&answer), Arc::clone(&request));
                    tokio::spawn(serve(stream, answer, request, count.clone(), open.clone()));
                }
            }
        });
        Self { url, answer, served, request, gate, accepting }
    }

    /// A key set that is fetched here.
    pub(super) fn source(&self) -> KeySource {
        KeySource::Url(KeySetUrl::try_from(self.url.as_str()).unwrap())
    }

    /// A discovery document that is fetched here, whatever issuer it is for.
    pub(super) fn discovery(&self) -> KeySource {
        let origin = self.url.strip_suffix("/jwks").unwrap();
        KeySource::Discovery(KeySetUrl::of_discovery(origin).unwrap())
    }

    /// The head of the last request.
    pub(super) fn last_request(&self) -> String {
        self.request.lock().unwrap().clone()
    }

    /// What is said from now on.
    pub(super) fn say(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Keeps answers back until [`release`](Self::release).
    pub(super) fn hold(&self) {
        self.gate.send_replace(false);
    }

    pub(super) fn release(&self) {
        self.gate.send_replace(true);
    }

    /// How many requests came so far.
    pub(super) fn requests(&self) -> usize {
        *self.served.borrow()
    }

    /// Waits until so many requests have come.
    pub(super) async fn saw(&self, requests: usize) {
        self.served.clone().wait_for(|served| *served >= requests).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: Arc<Mutex<Answer>>,
    seen: Arc<Mutex<String>>,
    count: watch::Sender<usize>,
    mut open: watch::Receiver<bool>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    *seen.lock().unwrap() = String::from_utf8_lossy(&request).into_owned();
    count.send_modify(|count| *count += 1);
    if open.wait_for(|is_open| *is_open).await.is_err() {
        return;
    }
    let answer = answer.lock().unwrap().clone();
    // The client may have hung up, for which some of the tests are made.
    let _ = stream.write_all(&answer.bytes).await;
    if answer.stalls {
        std::future::pending::<()>().await;
    }
    let _ = stream.shutdown().await;
}
