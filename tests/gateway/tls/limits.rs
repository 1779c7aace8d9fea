//! What a stranger may cost: slow handshakes and many of them, and the end of the process in the middle of one.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use rustls::version::TLS13;
use sandbox::{Effect, Fault};

use super::{bearer, handshakes, old_hello, stage};
use crate::{
    certificates::{Authority, Folder},
    harness::{PATIENCE, eventually, started, wait},
    tls_client::TlsClient,
};

/// A connection that has sent the beginning of a handshake.
fn begun(address: SocketAddr, bytes: usize) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&old_hello(3)[..bytes]).unwrap();
    socket
}

#[test]
fn handshakes_that_take_too_long_are_cut_and_hold_nobody_up_until_then() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server());
    let stage = stage(&folder);
    let public = stage.gateway.public;
    let mut kept = TlsClient::new(&[&root]).connect(public).unwrap();
    // More than the web server's own limit on handshakes at a time, with which they would hold up everybody.
    let slow: Vec<TcpStream> = (0..700).map(|number| begun(public, number % 20)).collect();
    let began = started();
    let mut dripping = begun(public, 1);
    let drip = thread::spawn(move || {
        // A byte now and then is no reason to wait longer.
        for byte in &old_hello(3)[1..] {
            wait(Duration::from_millis(300));
            if dripping.write_all(&[*byte]).is_err() {
                break;
            }
        }
        began.elapsed()
    });

    for _ in 0..10 {
        let answer = TlsClient::new(&[&root]).get(public, "/healthz", &[]).unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(kept.ask("GET", "/healthz", &[]).unwrap().status, 200);
    }
    let took = began.elapsed();

    assert!(took < Duration::from_secs(4), "they waited for the slow ones: {took:?}");
    for mut socket in slow {
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
    }
    let dripped = drip.join().unwrap();
    assert!(dripped < Duration::from_secs(15), "{dripped:?}");
    eventually("all are counted", || handshakes(&stage, "timeout") == 701);
}

#[test]
fn garbage_is_refused_at_once_and_told_at_a_bounded_rate() {
    let folder = Folder::new(&Authority::new("root").server());
    let stage = stage(&folder);

    for _ in 0..200 {
        let mut socket = TcpStream::connect(stage.gateway.public).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&[0x16, 0x03, 0x01, 0x00, 0x05, 0xff, 0xff, 0xff, 0xff, 0xff]).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    }

    eventually("all are counted", || handshakes(&stage, "failed") == 200);
    let told = stage.gateway.log.lock().unwrap().matches("a TLS handshake failed").count();
    assert!((1..=100).contains(&told), "{told}");
}

#[test]
fn a_request_under_way_and_a_handshake_under_way_are_answered_before_the_end() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server());
    let mut stage = stage(&folder);
    let (public, bearer, path) = (stage.gateway.public, bearer(&stage), stage.seed_path());
    let client = TlsClient::speaking(&[&root], &TLS13);
    stage.control().inject(Fault::api(Effect::LatencyMs(500)).times(1));
    let mut idle = client.connect(public).unwrap();
    assert_eq!(idle.ask("GET", "/healthz", &[]).unwrap().status, 200);
    let mut under_way = client.connect(public).unwrap();
    under_way.send("GET", &path, &[("Authorization", &bearer)]).unwrap();
    let control = stage.control();
    eventually("the call is under way", || control.counters().calls_of("DescribeBackupUrl") == 1);
    // Accepted, and nothing said yet.
    let silent = TcpStream::connect(public).unwrap();
    // A connection is taken in turn, so the one that is asked on next came after it.
    for _ in 0..2 {
        assert_eq!(client.get(public, "/healthz", &[]).unwrap().status, 200);
    }

    stage.gateway.signal("TERM");
    let log = std::sync::Arc::clone(&stage.gateway.log);
    eventually("it accepts no more", || log.lock().unwrap().contains("no longer accepting"));
    let late = client.connect_on(silent).unwrap().ask("GET", "/healthz", &[]).unwrap();

    assert_eq!((late.status, late.header("connection")), (200, Some("close")));
    assert_eq!(under_way.answer().unwrap().status, 200);
    assert!(under_way.is_closed());
    assert!(idle.is_closed());
    assert_eq!(stage.gateway.wait().code(), Some(0));
    assert!(log.lock().unwrap().contains("\"drained\""), "{}", log.lock().unwrap());
}
