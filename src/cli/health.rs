//! `health`: asks the admin listener of a running gateway. Plain sockets, because a container's health check starts a
//! process every few seconds and no runtime is worth starting for one line.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use super::{Outcome, output};

/// Docker and Kubernetes give a probe some seconds; an answer from the same machine that takes longer is a no.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The status line up to the code: `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// Asks `GET /healthz`, which is about this process alone, so that no outage elsewhere restarts it.
pub(super) fn run(admin_listen: SocketAddr) -> Outcome {
    let address = reachable(admin_listen);
    match ask(address) {
        Ok(200) => {
            output::line("healthy");
            Outcome::Done
        }
        Ok(status) => {
            output::error(&format!("unhealthy: http://{address}/healthz answered {status}"));
            Outcome::No
        }
        Err(error) => {
            output::error(&format!("unhealthy: http://{address}/healthz did not answer: {error}"));
            Outcome::No
        }
    }
}

/// A listener on all addresses is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut status_line = [0; STATUS_BYTES];
    stream.read_exact(&mut status_line)?;
    status(&status_line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1.1"))
}

fn status(line: &[u8; STATUS_BYTES]) -> Option<u16> {
    let code = line.strip_prefix(b"HTTP/1.1 ")?;
    if !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(code).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Answers one connection with `answer` and closes it.
    fn answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 512];
            let read = stream.read(&mut request).expect("a request");
            assert!(request[..read].starts_with(b"GET /healthz HTTP/1.1\r\n"));
            stream.write_all(answer).expect("an open connection");
        });
        address
    }

    #[test]
    fn the_status_line_is_what_counts() {
        assert_eq!(ask(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).ok(), Some(200));
        assert_eq!(ask(answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")).ok(), Some(503));
    }

    #[test]
    fn what_is_not_http_or_ends_early_is_no_answer() {
        for answer in
            [b"SSH-2.0-OpenSSH_9".as_slice(), b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/1.1 +20 OK\r\n", b"HTTP", b""]
        {
            assert!(ask(answering(answer)).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        for (listen, asked) in
            [("0.0.0.0:9090", "127.0.0.1:9090"), ("[::]:9090", "[::1]:9090"), ("10.1.2.3:9090", "10.1.2.3:9090")]
        {
            let listen: SocketAddr = listen.parse().expect("an address");

            assert_eq!(reachable(listen).to_string(), asked);
        }
    }

    #[test]
    fn nobody_there_is_no_answer() {
        // Port 1 (tcpmux) is nobody's any more, and a free port could be taken by another test.
        assert!(ask(SocketAddr::from(([127, 0, 0, 1], 1))).is_err());
    }
}
