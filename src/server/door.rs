//! The way in, beside the web server that uses it: it can be closed to newcomers without sending away those who are on
//! the threshold.
//!
//! Closing a listening socket resets connections that the kernel has completed and nobody has accepted yet, and their
//! callers have every reason to believe that they were let in. So the kernel is told first to drop the segments that
//! begin a connection (as if they were lost: the caller's system sends them again after a second, and is refused then,
//! when the socket is closed). Whatever has begun is completed, and accepted as ever.

use std::{io, net::TcpListener};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
#[cfg(target_os = "linux")]
use socket2::{SockFilter, SockRef};

/// A listening socket that is somebody else's to accept from. While this is there, the socket is not closed.
#[derive(Debug)]
pub(super) struct Door(TcpListener);

impl Door {
    /// # Errors
    ///
    /// When the system has no more file descriptors.
    pub(super) fn of(listener: &TcpListener) -> io::Result<Self> {
        listener.try_clone().map(Self)
    }

    /// From now on no connection begins.
    ///
    /// # Errors
    ///
    /// What the system says where it has no such filter. Then connections begin until the socket is closed.
    #[cfg(target_os = "linux")]
    pub(super) fn close_to_newcomers(&self) -> io::Result<()> {
        SockRef::from(&self.0).attach_filter(&WITHOUT_NEW_CONNECTIONS)
    }

    /// Elsewhere there is no such filter.
    ///
    /// # Errors
    ///
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn close_to_newcomers(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether a connection waits to be accepted.
    pub(super) fn has_waiting(&self) -> bool {
        let mut listener = [PollFd::new(&self.0, PollFlags::IN)];
        // A question that the system does not answer must not hold up the end of the process.
        poll(&mut listener, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

/// Classic BPF over a TCP segment, which the kernel hands over from its header on (`tcp_filter`, `socket(7)` and
/// `Documentation/networking/filter.rst`): SYN without ACK is dropped, the rest is kept whole.
#[cfg(target_os = "linux")]
const WITHOUT_NEW_CONNECTIONS: [SockFilter; 5] = {
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
};

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
        time::Duration,
    };

    use super::*;

    #[test]
    fn who_is_on_the_threshold_is_let_in_and_nobody_comes_after() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (door, address) = (Door::of(&listener).unwrap(), listener.local_addr().unwrap());
        let before = door.has_waiting();
        let mut early = TcpStream::connect(address).unwrap();

        door.close_to_newcomers().unwrap();
        let late = TcpStream::connect_timeout(&address, Duration::from_millis(300));
        let waits = door.has_waiting();
        let (mut accepted, _) = listener.accept().unwrap();
        early.write_all(b"ask").unwrap();
        let mut asked = [0; 3];
        accepted.read_exact(&mut asked).unwrap();
        accepted.write_all(b"yes").unwrap();
        early.read_exact(&mut asked).unwrap();

        assert_eq!((before, waits, door.has_waiting()), (false, true, false));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(&asked, b"yes");
    }
}
