use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::mpsc,
    thread,
    time::Instant,
};

use actix_web::rt::System;

use super::*;
use crate::domain::Clock;

/// Nothing here takes longer on a machine that is alive.
const PATIENCE: Duration = Duration::from_secs(10);

const BRIEF: Duration = Duration::from_millis(400);

/// More than the system keeps of an answer for a client that does not read it.
const LARGE: usize = 32 << 20;

/// A server of three routes on a thread of its own, until it is dropped.
struct Serving {
    address: SocketAddr,
    stop: actix_web::dev::ServerHandle,
    thread: Option<thread::JoinHandle<()>>,
}

impl Serving {
    fn with(connections: Connections) -> Self {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            System::new().block_on(async {
                let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
                let address = listener.local_addr().unwrap();
                let service = Service { workers: 1, connections, grace: Duration::from_secs(1) };
                let routes = |config: &mut web::ServiceConfig| {
                    config.route("/", web::get().to(async || "here"));
                    config.route("/slow", web::get().to(slow));
                    config.route("/large", web::get().to(async || vec![b' '; LARGE]));
                };
                let server = serve(listener, service, None, || None, routes).unwrap();
                sender.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, stop) = receiver.recv_timeout(PATIENCE).unwrap();
        Self { address, stop, thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Dropping the future of a command does not take the command back.
        drop(self.stop.stop(false));
        let _ = self.thread.take().unwrap().join();
    }
}

/// Whoever answers here has to wait for somebody else.
async fn slow() -> &'static str {
    sleep(BRIEF * 3).await;
    "here"
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n").unwrap();
}

/// What comes until the answer is whole.
fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while !text.ends_with(b"here") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(text).unwrap()
}

/// What comes until the server closes the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// What a slow client does.
#[expect(clippy::disallowed_methods, reason = "this thread is the client's")]
fn pause(time: Duration) {
    thread::sleep(time);
}

fn now() -> Instant {
    Clock::machine().monotonic()
}

#[test]
fn connections_beyond_the_limit_wait_until_one_ends_and_those_that_are_served_notice_nothing() {
    let serving = Serving::with(Connections::at_most(2));
    let mut served = [serving.connect(), serving.connect()];
    for stream in &mut served {
        ask(stream);
        answer(stream);
    }

    let mut beyond = serving.connect();
    ask(&mut beyond);
    beyond.set_read_timeout(Some(BRIEF)).unwrap();
    let waits = beyond.read(&mut [0; 1]).unwrap_err().kind();
    for stream in &mut served {
        ask(stream);
        answer(stream);
    }
    let [ended, _kept] = served;
    drop(ended);

    assert_eq!(waits, io::ErrorKind::WouldBlock);
    beyond.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(answer(&mut beyond).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_head_that_takes_too_long_is_a_408_and_the_end_of_the_connection() {
    let serving = Serving::with(Connections { request_head: BRIEF, ..Connections::at_most(16) });
    let began = now();
    let mut slow = serving.connect();
    let mut silent = serving.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: gate").unwrap();

    let told = [rest(&mut slow), rest(&mut silent)];

    assert!(began.elapsed() >= BRIEF, "{:?}", began.elapsed());
    assert!(told.iter().all(|text| text.starts_with("HTTP/1.1 408")), "{told:?}");
}

#[test]
fn a_further_head_that_takes_too_long_is_one_too() {
    let serving = Serving::with(Connections { request_head: BRIEF, ..Connections::at_most(16) });
    let kept = |requests| {
        let mut stream = serving.connect();
        for _ in 0..requests {
            ask(&mut stream);
            answer(&mut stream);
        }
        stream
    };
    let mut slow = [kept(1), kept(3), kept(1), kept(0)];
    let [once, later, dribbles, at_once] = &mut slow;
    let began = now();
    once.write_all(b"GET / HTTP/1.1\r\nHost: gate").unwrap();
    later.write_all(b"\r\n").unwrap();
    at_once.write_all(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\nGET / HT").unwrap();
    answer(at_once);
    at_once.write_all(b"TP").unwrap();
    dribbles.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    dribbles.set_read_timeout(Some(BRIEF / 8)).unwrap();
    while began.elapsed() < PATIENCE && dribbles.peek(&mut [0; 1]).is_err() {
        dribbles.write_all(b"X").unwrap();
    }
    dribbles.set_read_timeout(Some(PATIENCE)).unwrap();

    let told = slow.each_mut().map(rest);

    let took = began.elapsed();
    assert!(told.iter().all(|text| text.starts_with("HTTP/1.1 408")), "{told:?}");
    assert!((BRIEF..PATIENCE).contains(&took), "{took:?}");
}

#[test]
fn the_beginning_of_a_head_does_not_keep_an_idle_connection_open() {
    let brief = Connections { request_head: BRIEF, keep_alive: BRIEF * 3, ..Connections::at_most(16) };
    let serving = Serving::with(brief);
    let mut stream = serving.connect();
    ask(&mut stream);
    answer(&mut stream);
    let began = now();

    // In one piece with a request that is answered.
    stream.write_all(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\nGET / HTTP/1.1\r\nHo").unwrap();
    answer(&mut stream);
    let said = rest(&mut stream);

    assert_eq!(said, "");
    assert!(began.elapsed() >= BRIEF * 2, "{:?}", began.elapsed());
}

#[test]
fn a_connection_that_goes_on_asking_is_not_taken_for_a_slow_one() {
    let serving = Serving::with(Connections { request_head: BRIEF * 3, ..Connections::at_most(16) });
    let mut stream = serving.connect();

    for quarters in [0, 1, 3, 1, 6, 2, 5, 9, 4] {
        pause(BRIEF / 4 * quarters);
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        pause(BRIEF / 8);
        stream.write_all(b"Host: gateway\r\n\r\n").unwrap();
        assert!(answer(&mut stream).starts_with("HTTP/1.1 200"), "after {quarters}");
    }
}

#[test]
fn an_answer_that_takes_long_is_not_the_clients_slowness() {
    let serving = Serving::with(Connections { request_head: BRIEF, unread: BRIEF, ..Connections::at_most(16) });
    let mut stream = serving.connect();
    ask(&mut stream);
    answer(&mut stream);

    // The second is read while the first is being answered, the beginning of the third as well.
    let slow = b"GET /slow HTTP/1.1\r\nHost: gateway\r\n\r\n";
    stream.write_all(slow).unwrap();
    pause(BRIEF / 4);
    stream.write_all(slow).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();

    for _ in 0..2 {
        assert!(answer(&mut stream).starts_with("HTTP/1.1 200"));
    }
    stream.write_all(b"Host: gateway\r\n\r\n").unwrap();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_client_that_does_not_read_its_answer_gives_up_its_place_whatever_else_it_says() {
    let body = "POST / HTTP/1.1\r\nHost: gateway\r\nContent-Length: 10\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n";
    for said in ["", "G", "\0\0\r\n\r\n", body, last, "and goes"] {
        let serving = Serving::with(Connections { unread: BRIEF, ..Connections::at_most(1) });
        let mut silent = serving.connect();
        let began = now();
        silent.write_all(b"GET /large HTTP/1.1\r\nHost: gateway\r\n\r\n").unwrap();
        silent.read_exact(&mut [0; 1]).unwrap();
        // On a machine that is slow the server has given up by now; what counts comes below.
        let _ = match said {
            "and goes" => silent.shutdown(std::net::Shutdown::Write),
            said => silent.write_all(said.as_bytes()),
        };

        let mut next = serving.connect();
        ask(&mut next);

        assert!(answer(&mut next).starts_with("HTTP/1.1 200"), "{said:?}");
        assert!(began.elapsed() >= BRIEF || said == "and goes", "{said:?}: {:?}", began.elapsed());
    }
}

#[test]
fn a_client_that_reads_slowly_is_answered_to_the_end_before_its_next_head_is_too_slow() {
    let serving = Serving::with(Connections { unread: PATIENCE, request_head: BRIEF, ..Connections::at_most(16) });
    let mut slow = serving.connect();
    ask(&mut slow);
    answer(&mut slow);
    slow.write_all(b"GET /large HTTP/1.1\r\nHost: gateway\r\n\r\n").unwrap();
    let mut buffer = vec![0; LARGE / 8];
    slow.read_exact(&mut buffer[..1]).unwrap();
    slow.write_all(b"G").unwrap();
    pause(BRIEF * 2);

    let mut read = Vec::new();
    loop {
        let count = slow.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        read.extend_from_slice(&buffer[..count]);
        pause(BRIEF / 16);
    }

    let text = String::from_utf8(read).unwrap();
    let (_, behind_head) = text.split_once("\r\n\r\n").unwrap();
    let (body, refusal) = behind_head.split_at_checked(LARGE).unwrap_or_default();
    assert!(body.bytes().all(|byte| byte == b' '), "nothing is written into an answer");
    assert!(refusal.starts_with("HTTP/1.1 408"), "{} bytes, {refusal:?}", text.len());
}

#[test]
fn an_idle_connection_is_closed_after_its_time_and_not_before() {
    let serving = Serving::with(Connections { keep_alive: BRIEF * 3, ..Connections::at_most(16) });
    let mut kept = serving.connect();
    for _ in 0..3 {
        ask(&mut kept);
        answer(&mut kept);
    }
    let idle_since = now();

    let said = rest(&mut kept);

    assert_eq!(said, "");
    assert!(idle_since.elapsed() >= BRIEF * 2, "{:?}", idle_since.elapsed());
}

#[test]
fn a_port_that_is_taken_is_named() {
    System::new().block_on(async {
        let taken = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = taken.local_addr().unwrap();

        let told = bind(address).unwrap_err().to_string();

        assert!(told.starts_with(&format!("cannot listen on {address}: ")), "{told}");
    });
}

#[test]
fn no_answer_waits_for_the_acknowledgement_of_the_one_before() {
    System::new().block_on(async {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();

        let (accepted, _) = listener.accept().unwrap();

        assert!(accepted.nodelay().unwrap());
    });
}
