//! A connection of a client, plain or over TLS, as the web server reads and writes it.
//!
//! It bounds what a client may say before it is answered, and how long it may take over that. What is in order passes
//! through untouched.

mod intake;
mod patience;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;

use self::{
    intake::{Intake, LONGEST_FAREWELL, Next},
    patience::Patience,
};
use super::{limits::Connections, socket::Socket, tls::Admitted};
use crate::http::{self, Conversation, Lease, Turn};

/// How long a client may take to go once it has had its last answer.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) struct Connection {
    transport: Transport,
    lease: Option<Lease>,
    conversation: Conversation,
    intake: Intake,
    patience: Patience,
    /// Whoever is to read on once something has been written.
    waits: Option<Waker>,
    farewell: Option<Pin<Box<Sleep>>>,
    refusal: Option<Refusal>,
}

enum Transport {
    Plain(Socket),
    /// It is large, and would make plain ones so.
    Tls(Box<TlsStream<Socket>>),
}

/// A head that is too large or too slow is being refused.
struct Refusal {
    unwritten: &'static [u8],
    is_shut: bool,
    discarded: usize,
}

impl Connection {
    pub(super) fn plain(socket: Socket, conversation: Conversation, may: Connections) -> Self {
        Self::new(Transport::Plain(socket), None, conversation, may)
    }

    pub(super) fn over_tls(Admitted { stream, lease }: Admitted, conversation: Conversation, may: Connections) -> Self {
        Self::new(Transport::Tls(Box::new(stream)), Some(lease), conversation, may)
    }

    fn new(transport: Transport, lease: Option<Lease>, conversation: Conversation, may: Connections) -> Self {
        Self {
            transport,
            lease,
            conversation,
            intake: Intake::default(),
            patience: Patience::new(may.request_head),
            waits: None,
            farewell: None,
            refusal: None,
        }
    }

    /// How long the connection may go on, where anybody has a say.
    pub(super) fn lease(&self) -> Option<Lease> {
        self.lease.clone()
    }

    pub(super) fn conversation(&self) -> Conversation {
        self.conversation.clone()
    }

    fn poll_read_at_most(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        room: usize,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut AsyncReadExt::take(&mut self.transport, room as u64)).poll_read(cx, buffer);
        self.intake.has_read(buffer.filled().len() - before);
        let (turn, asked) = (self.conversation.turn(), self.conversation.asked());
        if read.is_ready() {
            if turn == Turn::Client {
                self.patience.hears(asked);
            }
            return read;
        }
        self.intake.has_parsed();
        match turn {
            Turn::Client => match self.patience.poll_head(cx, asked, self.intake.is_blocked()) {
                Poll::Ready(()) => self.poll_refuse(cx, http::HEAD_TOO_SLOW),
                Poll::Pending => Poll::Pending,
            },
            Turn::Nobody => self.poll_farewell(cx).map(Ok),
            Turn::Gateway | Turn::Over => Poll::Pending,
        }
    }

    /// Answers in the parser's place, and reads what the client still sends, so that it sees the answer and not a reset.
    ///
    /// The answer is the one that the first call names.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, answer: &'static str) -> Poll<io::Result<()>> {
        let refusal =
            self.refusal.get_or_insert(Refusal { unwritten: answer.as_bytes(), is_shut: false, discarded: 0 });
        while let Poll::Ready(written) = self.transport.poll_write(cx, refusal.unwritten) {
            let written = written?;
            refusal.unwritten = refusal.unwritten.get(written..).unwrap_or_default();
            if refusal.unwritten.is_empty() {
                break;
            }
        }
        if refusal.unwritten.is_empty() && !refusal.is_shut {
            refusal.is_shut = self.transport.poll_shutdown(cx)?.is_ready();
        }
        let mut scratch = [0; 4 << 10];
        while refusal.discarded < LONGEST_FAREWELL {
            let mut part = ReadBuf::new(&mut scratch);
            let Poll::Ready(read) = Pin::new(&mut self.transport).poll_read(cx, &mut part) else {
                return self.poll_farewell(cx).map(Ok);
            };
            let () = read?;
            match part.filled().len() {
                0 => break,
                count => refusal.discarded += count,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.farewell.get_or_insert_with(|| Box::pin(sleep(FAREWELL))).as_mut().poll(cx)
    }

    /// So many bytes were taken; nothing where there was no room.
    fn has_written(&mut self, taken: Option<usize>) {
        match taken {
            None => self.intake.blocks(),
            Some(count) => {
                self.intake.has_written(count);
                if let Some(waker) = self.waits.take() {
                    waker.wake();
                }
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return this.poll_refuse(cx, http::HEAD_TOO_LARGE);
        }
        match this.intake.next(this.conversation.turn()) {
            Next::Read(room) => this.poll_read_at_most(cx, buffer, room),
            Next::Parse => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Next::Wait => {
                this.waits = Some(cx.waker().clone());
                Poll::Pending
            }
            Next::Refuse => this.poll_refuse(cx, http::HEAD_TOO_LARGE),
            Next::End => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            // The answer has been given.
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = this.transport.poll_write(cx, bytes);
        this.has_written(match &written {
            Poll::Pending => None,
            Poll::Ready(outcome) => Some(*outcome.as_ref().unwrap_or(&0)),
        });
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = this.transport.poll_flush(cx);
        // What TLS has taken the client has not, until this is done.
        this.has_written(flushed.is_ready().then_some(0));
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.as_ref().is_some_and(|refusal| refusal.is_shut) {
            return Poll::Ready(Ok(()));
        }
        this.transport.poll_shutdown(cx)
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl Transport {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use actix_web::rt::System;
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::server::socket::testing::{pair, shaken_hands};

    #[test]
    fn what_tls_has_taken_the_client_has_yet_to_take() {
        System::new().block_on(async {
            let (socket, client) = pair(Duration::from_secs(60)).await;
            let (stream, mut client) = shaken_hands(socket, client).await;
            let admitted = Admitted { stream, lease: Lease::default() };
            let mut connection = Connection::over_tls(admitted, Conversation::default(), Connections::at_most(1));
            let mut is_flushed = true;
            while is_flushed {
                // So little that TLS has room for it.
                connection.write_all(&[0; 512]).await.unwrap();
                is_flushed = poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll_flush(cx).is_ready())).await;
            }
            assert!(connection.intake.is_blocked());

            let reading =
                actix_web::rt::spawn(async move { tokio::io::copy(&mut client, &mut tokio::io::sink()).await });
            connection.flush().await.unwrap();

            assert!(!connection.intake.is_blocked());
            reading.abort();
        });
    }
}
