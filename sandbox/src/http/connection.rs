//! One connection: request after request, until someone ends it.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::reading::{Head, ReadError, Request, read_body, read_head};
use super::reply::{Answer, Outcome, Pace, Reply, reason};
use crate::text::http_date;

/// Who answers the requests of a listener.
pub(crate) trait Service: Send + Sync + 'static {
    /// What is kept from the moment when the head was read until the answer.
    type Ticket: Send;

    /// A connection was accepted.
    fn connected(&self);

    /// Whether the connection is to be cut now, its first bytes being there but unread.
    fn cuts_before_reading(&self) -> bool;

    /// The head has been read: this is when a request arrives.
    fn head_read(&self, head: &Head) -> Self::Ticket;

    /// The whole request has been read.
    fn answer(&self, request: Request, ticket: Self::Ticket) -> impl Future<Output = Answer> + Send;

    /// The time for the `Date` field, in seconds since 1970.
    fn unix_now(&self) -> i64;
}

/// Whether a connection goes on after an answer.
#[derive(PartialEq, Eq)]
enum Then {
    Continue,
    Close,
}

/// Serves a connection to its end.
pub(crate) async fn serve<S: Service>(mut stream: TcpStream, service: Arc<S>) {
    // An answer is written in one go; waiting for more to send would only add 40 ms now and then.
    let _ = stream.set_nodelay(true);
    service.connected();
    let mut buffer = Vec::new();
    loop {
        match serve_one(&mut stream, &mut buffer, service.as_ref()).await {
            Ok(Then::Continue) => {}
            Ok(Then::Close) | Err(ReadError::Gone) => return,
            Err(ReadError::Refused(status)) => {
                let _ = send(&mut stream, &Reply::html(status), service.unix_now(), false, false).await;
                return;
            }
        }
    }
}

async fn serve_one<S: Service>(stream: &mut TcpStream, buffer: &mut Vec<u8>, service: &S) -> Result<Then, ReadError> {
    if buffer.is_empty() && stream.peek(&mut [0]).await? == 0 {
        return Err(ReadError::Gone);
    }
    if service.cuts_before_reading() {
        // The kernel turns closing with unread bytes into a reset.
        return Ok(Then::Close);
    }
    let head = read_head(stream, buffer).await?;
    let ticket = service.head_read(&head);
    // All listeners share a thread: whoever else has sent a head arrives before this one is worked on.
    yield_now().await;
    let body = read_body(stream, buffer, &head).await?;

    let (persistent, is_head) = (head.is_persistent(), head.method() == "HEAD");
    let answer = service.answer(Request { head, body }, ticket).await;
    sleep(answer.delay).await;
    match answer.outcome {
        Outcome::Reply(reply) => Ok(send(stream, &reply, service.unix_now(), persistent, is_head).await?),
        Outcome::Close => Ok(Then::Close),
        Outcome::Reset => {
            let _ = stream.set_zero_linger();
            Ok(Then::Close)
        }
        Outcome::Hang => until_gone(stream).await,
    }
}

async fn send(stream: &mut TcpStream, reply: &Reply, now: i64, persistent: bool, is_head: bool) -> io::Result<Then> {
    let mut head = format!("HTTP/1.1 {} {}\r\nDate: {}\r\n", reply.status, reason(reply.status), http_date(now));
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let connection = if persistent { "keep-alive" } else { "close" };
    head.push_str(&format!("Content-Length: {}\r\nConnection: {connection}\r\n\r\n", reply.body.len()));

    let mut bytes = head.into_bytes();
    let body: &[u8] = if is_head { &[] } else { &reply.body };
    let after = if persistent { Then::Continue } else { Then::Close };
    match reply.pace {
        Pace::Whole => {
            bytes.extend_from_slice(body);
            stream.write_all(&bytes).await?;
            Ok(after)
        }
        Pace::ThenClose => {
            bytes.extend_from_slice(body);
            stream.write_all(&bytes).await?;
            Ok(Then::Close)
        }
        Pace::Slow { chunk_bytes, pause } => {
            stream.write_all(&bytes).await?;
            for chunk in body.chunks(chunk_bytes.max(1)) {
                sleep(pause).await;
                stream.write_all(chunk).await?;
            }
            Ok(after)
        }
        Pace::CutAfter(count) => {
            bytes.extend_from_slice(&body[..count.min(body.len())]);
            stream.write_all(&bytes).await?;
            Ok(Then::Close)
        }
        Pace::StallAfter(count) => {
            bytes.extend_from_slice(&body[..count.min(body.len())]);
            stream.write_all(&bytes).await?;
            until_gone(stream).await.map_err(|_| io::ErrorKind::UnexpectedEof.into())
        }
    }
}

/// Waits, reading and forgetting, until the client closes the connection.
async fn until_gone(stream: &mut TcpStream) -> Result<Then, ReadError> {
    let mut scrap = [0; 1024];
    while stream.read(&mut scrap).await? > 0 {}
    Ok(Then::Close)
}
