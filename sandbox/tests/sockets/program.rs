//! The program: what it prints, how it ends.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sandbox");
const LISTENERS: [&str; 7] = ["--api", "--fsi", "--issuer", "--storage", "--metadata", "--sts", "--control"];

/// A running program that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(other: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("serve").stdout(Stdio::piped()).stderr(Stdio::piped());
    for listener in LISTENERS.iter().filter(|listener| !other.contains(listener)) {
        command.args([listener, "127.0.0.1:0"]);
    }
    command.args(other);
    command
}

/// Starts the program and reads its lines up to `ready`.
fn start() -> (Running, Vec<(String, String)>) {
    let mut running = Running(serve(&[]).spawn().expect("starts"));
    let lines = BufReader::new(running.0.stdout.take().expect("a pipe")).lines();
    let named = lines
        .map(|line| line.expect("a line"))
        .take_while(|line| line != "ready")
        .filter_map(|line| line.split_once(' ').map(|(name, url)| (name.to_owned(), url.trim().to_owned())))
        .collect();
    (running, named)
}

#[test]
fn it_names_its_listeners_hands_out_a_token_and_ends_on_sigterm() {
    let (mut running, named) = start();
    let issuer = &named.iter().find(|(name, _)| name == "issuer").expect("is named").1;

    let token = Command::new(PROGRAM)
        .args([
            "token",
            "--sub",
            "alice",
            "--group",
            "dba",
            "--lifetime",
            "10m",
            "--alg",
            "es256",
            "--issuer-url",
            issuer,
        ])
        .output()
        .expect("runs");
    let pid = running.0.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().expect("runs");
    let exit = running.0.wait().expect("ends");

    assert_eq!(
        named.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["api", "fsi", "issuer", "storage", "metadata", "sts", "control"]
    );
    assert!(token.status.success());
    assert_eq!(String::from_utf8_lossy(&token.stdout).trim().split('.').count(), 3);
    assert!(exit.success());
}

#[test]
fn a_busy_port_is_named_and_the_exit_code_is_1() {
    let busy = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = busy.local_addr().expect("has an address").to_string();

    let output = serve(&["--storage", &address]).output().expect("runs");

    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("cannot listen on {address}")));
}

#[test]
fn an_address_off_loopback_is_refused() {
    let output = serve(&["--api", "0.0.0.0:0"]).output().expect("runs");

    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not on loopback"));
}
