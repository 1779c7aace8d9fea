//! Many connections at the same moment, and what the kernel of the server makes of them.

use std::{fs, io, net::SocketAddr, time::Duration};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::{
    Result,
    time::{now, pause},
};

/// A client whose first packet is dropped sends another after a second, so whoever waits for longer than this was.
const SLOW: Duration = Duration::from_millis(900);

/// What became of a burst.
#[derive(Clone, Copy)]
pub(crate) struct Burst {
    /// Connections that were there when the last was asked for.
    pub(crate) at_once: usize,
    /// Connections that were not there after [`SLOW`].
    pub(crate) slow: usize,
    /// Connections that the kernel dropped because a queue of some listener was full, on the whole machine.
    pub(crate) overflows: u64,
}

/// Asks for so many connections as fast as one thread can, does what is to be done `meanwhile`, and waits for them. All
/// are reset in the end, so that none is remembered.
pub(crate) fn burst(address: SocketAddr, count: usize, meanwhile: impl FnOnce() -> Result<()>) -> Result<Burst> {
    let overflows = listen_overflows()?;
    let sockets = (0..count).map(|_| ask(address)).collect::<io::Result<Vec<_>>>()?;
    let asked = now();
    let mut waiting: Vec<_> = sockets.iter().filter(|socket| !is_connected(socket)).collect();
    let at_once = count - waiting.len();
    meanwhile()?;
    while !waiting.is_empty() && asked.elapsed() < SLOW {
        pause(Duration::from_millis(1));
        waiting.retain(|socket| !is_connected(socket));
    }
    Ok(Burst { at_once, slow: waiting.len(), overflows: listen_overflows()? - overflows })
}

/// Sends the first packet of a connection, and does not wait for the answer.
fn ask(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    match socket.connect(&address.into()) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

fn is_connected(socket: &Socket) -> bool {
    socket.peer_addr().is_ok()
}

/// How often a listener's queue was full so far.
fn listen_overflows() -> Result<u64> {
    counter(&fs::read_to_string("/proc/net/netstat")?, "ListenOverflows")
        .ok_or_else(|| "the kernel does not count what listeners drop".into())
}

/// A counter of `TcpExt`: a line of names, and a line of values.
fn counter(netstat: &str, name: &str) -> Option<u64> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    names.split(' ').zip(values.split(' ')).find(|(found, _)| *found == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let netstat = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\nIpExt: A\nIpExt: 4\n";

        assert_eq!(counter(netstat, "ListenOverflows"), Some(22));
        assert_eq!(counter(netstat, "Nothing"), None);
    }

    #[test]
    fn what_the_queue_has_no_room_for_is_slow() {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(10).unwrap();
        let listener = TcpListener::from(listener);
        let address = listener.local_addr().unwrap();

        // Linux has room for one more than it is told.
        let fits = burst(address, 11, || Ok(())).unwrap();
        for _ in 0..11 {
            drop(listener.accept().unwrap());
        }
        let does_not = burst(address, 15, || Ok(())).unwrap();

        assert_eq!((fits.at_once, fits.slow), (11, 0));
        assert_eq!((does_not.at_once, does_not.slow), (11, 4));
        assert!(does_not.overflows >= 4, "{}", does_not.overflows);
    }
}
