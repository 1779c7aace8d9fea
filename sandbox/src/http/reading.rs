//! Reads one request off a connection: the head as soon as it is complete, the body after it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const LARGEST_HEAD: usize = 64 * 1024;
const READ_AT_ONCE: usize = 8 * 1024;
const MOST_HEADERS: usize = 128;
/// The vendor takes a TC3-signed POST of up to 10 MB (document 1278/46710).
const LARGEST_BODY: usize = 10 * 1024 * 1024;

/// The request line and the header fields.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    persistent: bool,
}

impl Head {
    /// A head put together by hand, for tests.
    #[cfg(test)]
    pub(crate) fn new(method: &str, target: &str, headers: Vec<(String, String)>) -> Self {
        Self { method: method.into(), target: target.into(), headers, persistent: true }
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// The path as it stands on the wire.
    pub(crate) fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The query as it stands on the wire, empty when there is none.
    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The fields in the order of the wire.
    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The first value of a field, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).next()
    }

    /// All values of a field, whatever the case of its name.
    pub(crate) fn header_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether the client wants to send another request on this connection.
    pub(crate) fn is_persistent(&self) -> bool {
        self.persistent
    }
}

/// A whole request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

/// Why no request could be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The client closed the connection, or it broke.
    Gone,
    /// The client sent something that is answered with this status, and the connection closes.
    Refused(u16),
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads until the head is complete. What follows it stays in `buffer`.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<Head, ReadError> {
    loop {
        // A Vec grows by 64 bytes unless it is told; a head should come in one read.
        buffer.reserve(READ_AT_ONCE);
        if let Some((head, length)) = parse_head(buffer)? {
            buffer.drain(..length);
            return Ok(head);
        }
        if buffer.len() >= LARGEST_HEAD {
            return Err(ReadError::Refused(431));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(ReadError::Gone);
        }
    }
}

/// Reads the body that `head` announces. Chunked bodies are refused: no client of the vendor's API sends them.
pub(crate) async fn read_body(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut Vec<u8>,
    head: &Head,
) -> Result<Vec<u8>, ReadError> {
    if head.header("transfer-encoding").is_some() {
        return Err(ReadError::Refused(411));
    }
    let length = match head.header("content-length") {
        None => 0,
        Some(text) => text.parse::<usize>().map_err(|_| ReadError::Refused(400))?,
    };
    if length > LARGEST_BODY {
        return Err(ReadError::Refused(413));
    }
    if head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) && buffer.len() < length {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(ReadError::Gone);
        }
    }
    Ok(buffer.drain(..length).collect())
}

fn parse_head(buffer: &[u8]) -> Result<Option<(Head, usize)>, ReadError> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut fields);
    let length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ReadError::Refused(431)),
        Err(_) => return Err(ReadError::Refused(400)),
    };
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(ReadError::Refused(400));
    };
    let headers = parsed
        .headers
        .iter()
        .map(|field| Some((field.name.to_owned(), std::str::from_utf8(field.value).ok()?.to_owned())))
        .collect::<Option<Vec<_>>>()
        .ok_or(ReadError::Refused(400))?;
    let mut head = Head { method: method.into(), target: target.into(), headers, persistent: minor == 1 };
    if let Some(connection) = head.header("connection") {
        let wants = |token: &str| connection.split(',').any(|part| part.trim().eq_ignore_ascii_case(token));
        head.persistent = !wants("close") && (minor == 1 || wants("keep-alive"));
    }
    Ok(Some((head, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_complete_and_not_before() {
        let wire = b"POST /?a=b HTTP/1.1\r\nHost: 127.0.0.1:18080\r\nX-TC-Action: A\r\n\r\nbody";
        let end = wire.len() - "body".len();

        let is_whole = |length: usize| parse_head(&wire[..length]).expect("a part of a head is no mistake").is_some();
        let (head, length) = parse_head(wire).expect("parses").expect("is complete");

        assert!((0..end).all(|length| !is_whole(length)));
        assert_eq!((head.method(), head.path(), head.query()), ("POST", "/", "a=b"));
        assert_eq!(head.header("host"), Some("127.0.0.1:18080"));
        assert_eq!(length, end);
    }

    #[test]
    fn a_connection_lasts_as_long_as_its_version_and_header_say() {
        let persistent = |wire: &str| parse_head(wire.as_bytes()).expect("parses").expect("complete").0.is_persistent();

        assert!(persistent("GET / HTTP/1.1\r\n\r\n"));
        assert!(!persistent("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert!(!persistent("GET / HTTP/1.0\r\n\r\n"));
        assert!(persistent("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    }
}
