//! A client of a few lines: HTTP/1.1 over connections that are kept, for what wrk cannot do (each request once).

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection, over TCP unless something lies between.
pub(crate) struct Connection<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The lines of the head behind the first.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S> Connection<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    pub(crate) fn into_stream(self) -> S {
        self.stream
    }
}

impl<S: Read + Write> Connection<S> {
    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request)?;
        self.receive()
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    pub(crate) fn receive(&mut self) -> io::Result<Answer> {
        let end_of_head = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end_of_head]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let fields: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let length = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.and_then(|(_, length)| length.parse().ok()).unwrap_or(0);
        while self.buffer.len() < end_of_head + length {
            self.read_more()?;
        }
        let body = self.buffer[end_of_head..][..length].to_vec();
        self.buffer.drain(..end_of_head + length);
        Ok(Answer { status: status.ok_or_else(|| io::Error::other("the answer is not HTTP"))?, fields, body })
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut part = [0; 16 << 10];
        match self.stream.read(&mut part)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.buffer.extend_from_slice(&part[..count]);
                Ok(())
            }
        }
    }
}

/// A `GET` with a token.
pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// Each of these requests once, over so many connections: all of them send, then all of them read. Every answer must be
/// a 200.
pub(crate) fn each_once(address: SocketAddr, connections: usize, requests: &[Vec<u8>]) -> io::Result<()> {
    let mut open = (0..connections).map(|_| Connection::open(address)).collect::<io::Result<Vec<_>>>()?;
    for turn in requests.chunks(connections) {
        for (connection, request) in open.iter_mut().zip(turn) {
            connection.send(request)?;
        }
        for (connection, _) in open.iter_mut().zip(turn) {
            let answer = connection.receive()?;
            if answer.status != 200 {
                return Err(io::Error::other(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body))));
            }
        }
    }
    Ok(())
}
