//! A real `redis-server` of the test's own, on a port of its own, killed with it.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use tempfile::TempDir;

use crate::harness::{PATIENCE, eventually};

/// A running server.
pub struct Redis {
    child: Child,
    pub port: u16,
    arguments: Vec<String>,
    folder: TempDir,
}

/// Everything that a server was sent from a moment on, a line each.
pub struct Monitor(mpsc::Receiver<String>);

impl Redis {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A server with these arguments beside its port.
    pub fn with(arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // Whoever takes the port between the look and the start makes the server end at once.
        for _ in 0..10 {
            let port = free_port();
            let mut child = spawn(port, &arguments, &folder);
            if answers(port, &mut child) {
                return Self { child, port, arguments, folder };
            }
        }
        panic!("no redis-server starts");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection of the test's own, as the default user.
    pub fn connect(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// One command and its answer.
    pub fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let (name, arguments) = command.split_first().unwrap();
        redis::cmd(name).arg(arguments).query(&mut self.connect()).unwrap()
    }

    /// Every key of the cache, with its value and the milliseconds that it has left. Without those of a server's own
    /// making there is nothing else.
    pub fn dump(&self) -> BTreeMap<String, (Vec<u8>, i64)> {
        let keys: Vec<String> = self.ask(&["KEYS", "*"]);
        let mut connection = self.connect();
        keys.into_iter()
            .filter_map(|key| {
                let value: Option<Vec<u8>> = redis::cmd("DUMP").arg(&key).query(&mut connection).unwrap();
                let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).unwrap();
                // It may have ended since.
                Some((key, (value?, left)))
            })
            .collect()
    }

    /// The keys of cached entries.
    pub fn entries(&self) -> Vec<String> {
        self.dump().into_keys().filter(|key| key.ends_with(":urls")).collect()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again at the same port, with nothing in it.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, &self.arguments, &self.folder);
        let (port, child) = (self.port, &mut self.child);
        assert!(answers(port, child), "it starts again");
    }

    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub fn monitor(&self) -> Monitor {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        socket.write_all(b"MONITOR\r\n").unwrap();
        let mut lines = BufReader::new(socket).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "+OK");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Monitor(receiver)
    }
}

impl Monitor {
    /// What was sent so far by clients, scripts' own commands left out.
    pub fn sent(&self, redis: &Redis) -> Vec<String> {
        const MARK: &str = "the test has seen enough";
        redis.ask::<String>(&["ECHO", MARK]);
        let mut lines = Vec::new();
        loop {
            let line = self.0.recv_timeout(PATIENCE).expect("the monitor goes on");
            if line.contains(MARK) {
                return lines;
            }
            if !line.contains(" lua]") {
                lines.push(line);
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn spawn(port: u16, arguments: &[String], folder: &TempDir) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]);
    command.arg(folder.path()).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is installed: scripts/test sees to it")
}

/// Whether it answers, before it ends.
fn answers(port: u16, child: &mut Child) -> bool {
    let mut is_up = false;
    eventually("redis-server answers or ends", || {
        is_up = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap().get_connection().is_ok();
        is_up || child.try_wait().unwrap().is_some()
    });
    is_up
}
