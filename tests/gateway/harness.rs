//! Starts a gateway process against a sandbox, asks it, and reads what it wrote.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use sandbox::{Control, Options, Sandbox, TokenSpec, credential, known};
use serde_json::Value;
use tempfile::TempDir;

/// Long enough for a loaded machine; a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A sandbox and a gateway in front of it.
pub struct Stage {
    pub sandbox: Sandbox,
    pub gateway: Gateway,
}

/// A gateway process.
pub struct Gateway {
    child: Child,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub log: Arc<Mutex<String>>,
    pub audit: Arc<Mutex<String>>,
    files: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Stage {
    pub fn new() -> Self {
        Self::with("")
    }

    /// `overrides` are environment variables, `NAME=value` a line.
    pub fn with(overrides: &str) -> Self {
        let sandbox = Sandbox::start(Options::default()).expect("the sandbox starts");
        let gateway = Gateway::start(&sandbox, overrides);
        Self { sandbox, gateway }
    }

    /// A gateway whose audit goes where the test says.
    pub fn with_stdout(stdout: Stdio, overrides: &str) -> Self {
        let sandbox = Sandbox::start(Options::default()).expect("the sandbox starts");
        let gateway = Gateway::spawn(&configuration(&sandbox), overrides, stdout).when_ready();
        Self { sandbox, gateway }
    }

    pub fn token(&self) -> String {
        self.sandbox.token(&TokenSpec::new("alice").group("dba"))
    }

    pub fn token_of(&self, subject: &str) -> String {
        self.sandbox.token(&TokenSpec::new(subject).group("dba"))
    }

    /// `GET` of a path with alice's token.
    pub fn get(&self, path: &str) -> Answer {
        self.gateway.get(path, &[("Authorization", &format!("Bearer {}", self.token()))])
    }

    pub fn control(&self) -> Control {
        self.sandbox.control()
    }

    /// The path of the seed's backup.
    pub fn seed_path(&self) -> String {
        urls_path(known::SEED_BACKUP)
    }
}

/// The path of a backup of the seed's instance.
pub fn urls_path(backup: &str) -> String {
    format!("/instances/{}/backups/{backup}/urls?region=ap-chengdu", known::ORDERS)
}

/// The configuration of a gateway in front of `sandbox`, with the example policies.
pub fn configuration(sandbox: &Sandbox) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
workers = 2
drain_delay = "0s"
shutdown_grace = "5s"

[[auth.issuers]]
name = "sandbox"
issuer = "{issuer}"
audiences = ["redis-backup-gateway"]
algorithms = ["RS256", "ES256", "EdDSA"]
jwks_url = "{issuer}/jwks"
groups_claim = "groups"

[policy]
dir = "{policies}"

[tencent]
regions = ["ap-guangzhou", "ap-chengdu", "ap-shanghai-fsi"]
endpoint = "{api}"
connect_timeout = "1s"
timeout = "1s"

[tencent.endpoints]
ap-shanghai-fsi = "{fsi}"

[tencent.credentials]
source = "env"
"#,
        issuer = sandbox.issuer_url(),
        policies = concat!(env!("CARGO_MANIFEST_DIR"), "/config/policies"),
        api = sandbox.api_url(),
        fsi = sandbox.fsi_url(),
    )
}

impl Gateway {
    pub fn start(sandbox: &Sandbox, overrides: &str) -> Self {
        Self::start_unready(sandbox, overrides).when_ready()
    }

    fn when_ready(self) -> Self {
        eventually("the gateway is ready", || self.ask(self.admin, "GET", "/readyz", &[]).status == 200);
        self
    }

    /// A gateway with a configuration of the test's own.
    pub fn configured(configuration: &str, overrides: &str) -> Self {
        Self::spawn(configuration, overrides, Stdio::piped()).when_ready()
    }

    /// A gateway whose log nobody reads once it listens, until what is returned with it is dropped.
    pub fn with_log_unread(configuration: &str, overrides: &str) -> (Self, mpsc::Sender<()>) {
        let (resume, resumed) = mpsc::channel();
        let command = Command::new(env!("CARGO_BIN_EXE_redis-backup-gateway"));
        let gateway = Self::spawn_read(command, configuration, overrides, Stdio::piped(), Some(resumed));
        (gateway.when_ready(), resume)
    }

    /// The same, started by a shell script that ends with `exec … "$0" "$@"`.
    pub fn launched(script: &str, configuration: &str, overrides: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_redis-backup-gateway")]);
        Self::spawn_by(command, configuration, overrides, Stdio::piped()).when_ready()
    }

    /// The same without waiting for it to be ready.
    pub fn start_unready(sandbox: &Sandbox, overrides: &str) -> Self {
        Self::spawn(&configuration(sandbox), overrides, Stdio::piped())
    }

    /// The sandbox's first key, as the environment carries it.
    pub fn credentials() -> [(&'static str, &'static str); 2] {
        [("TENCENTCLOUD_SECRET_ID", credential::SECRET_ID), ("TENCENTCLOUD_SECRET_KEY", credential::SECRET_KEY)]
    }

    fn spawn(configuration: &str, overrides: &str, stdout: Stdio) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_redis-backup-gateway"));
        Self::spawn_by(command, configuration, overrides, stdout)
    }

    fn spawn_by(command: Command, configuration: &str, overrides: &str, stdout: Stdio) -> Self {
        Self::spawn_read(command, configuration, overrides, stdout, None)
    }

    /// The log is read until the gateway listens, and from the end of `resumed` on where there is one.
    fn spawn_read(
        mut command: Command,
        configuration: &str,
        overrides: &str,
        stdout: Stdio,
        resumed: Option<mpsc::Receiver<()>>,
    ) -> Self {
        let files = TempDir::new().expect("a folder for the configuration");
        let file = files.path().join("gateway.toml");
        std::fs::write(&file, configuration).expect("the configuration is written");
        command.args(["serve", "--config"]).arg(&file).env_clear();
        command.envs(Self::credentials());
        for (name, value) in overrides.lines().filter_map(|line| line.trim().split_once('=')) {
            command.env(name, value);
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().expect("the gateway starts");
        let (log, listening) = collect_log(child.stderr.take().expect("standard error is piped"), resumed);
        let audit = child.stdout.take().map(collect).unwrap_or_default();
        let (public, admin) = listening.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("the gateway does not listen:\n{}", log.lock().unwrap());
        });
        Self { child, public, admin, log, audit, files }
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(self.public, "GET", path, headers)
    }

    pub fn ask(&self, address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask(address, method, path, headers)
    }

    /// The audit records so far, of which there must be this many. Each was in the pipe before its answer left, but what
    /// reads the pipe here is a thread of its own.
    #[track_caller]
    pub fn records_of(&self, count: usize) -> Vec<Value> {
        eventually("the records are read", || self.records().len() >= count);
        let records = self.records();
        assert_eq!(records.len(), count, "{records:?}");
        records
    }

    /// The audit records that have been read so far.
    pub fn records(&self) -> Vec<Value> {
        let text = self.audit.lock().unwrap();
        text.lines()
            .filter(|line| line.ends_with('}'))
            .map(|line| serde_json::from_str(line).expect("a record is JSON"))
            .collect()
    }

    /// The file that the process was started with.
    pub fn configuration_file(&self) -> PathBuf {
        self.files.path().join("gateway.toml")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, as an operator does.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let began = started();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the gateway does not end:\n{}", self.log.lock().unwrap());
            pause();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of the gateway\n{}", self.log.lock().unwrap());
        }
    }
}

/// One request on a connection of its own. Any status is an answer.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    try_ask(address, method, path, headers).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

pub fn try_ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
    send(&agent(), address, method, path, headers)
}

/// A caller that keeps its connection, as programs do.
pub struct Client {
    agent: ureq::Agent,
    address: SocketAddr,
    authorization: String,
}

impl Client {
    pub fn new(stage: &Stage, token: &str) -> Self {
        Self::at(stage.gateway.public, &format!("Bearer {token}"))
    }

    pub fn at(address: SocketAddr, authorization: &str) -> Self {
        Self { agent: agent(), address, authorization: authorization.to_owned() }
    }

    /// The same where the gateway may be gone.
    pub fn try_get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
        let headers = [headers, &[("Authorization", &*self.authorization)]].concat();
        send(&self.agent, self.address, "GET", path, &headers)
    }

    pub fn get(&self, path: &str) -> Answer {
        send(&self.agent, self.address, "GET", path, &[("Authorization", &self.authorization)])
            .unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .build()
        .into()
}

fn send(
    agent: &ureq::Agent,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, ureq::Error> {
    let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = agent.run(request.body(()).expect("the request is well formed"))?;
    let mut body = Vec::new();
    response.body_mut().as_reader().read_to_end(&mut body)?;
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
    Ok(Answer { status: response.status().as_u16(), headers: headers.collect(), body })
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Fails unless this is a well-formed problem document of that status and code.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/problems/{code}"));
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
    }
}

/// Four callers ask with this pause, each for what `paths` says next, for as long as `meanwhile` takes and a little
/// longer; their answers.
pub fn load_while(
    stage: &Stage,
    pause: Duration,
    paths: impl Fn() -> String + Sync,
    meanwhile: impl FnOnce(),
) -> Vec<Answer> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let caller = |number: usize| {
            let (paths, over) = (&paths, &over);
            let client = Client::new(stage, &stage.token_of(&format!("caller-{number}")));
            scope.spawn(move || {
                let mut answers = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    answers.push(client.get(&paths()));
                    wait(pause);
                }
                answers
            })
        };
        let callers: Vec<_> = (0..4).map(caller).collect();
        let stop = Stop(&over);
        meanwhile();
        drop(stop);
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    })
}

/// Stops the callers, also where what they wait for has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for something that must become true.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = started();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it does not become true that {what}");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test over real sockets lives in real time")]
pub fn started() -> Instant {
    Instant::now()
}

/// Lets real time pass, where the length of a load or of a life is the point of the test.
#[expect(clippy::disallowed_methods, reason = "a test over real sockets lives in real time")]
pub fn wait(duration: Duration) {
    thread::sleep(duration);
}

#[expect(clippy::disallowed_methods, reason = "polled with a deadline, because a process tells nobody that it changed")]
fn pause() {
    thread::sleep(Duration::from_millis(10));
}

fn collect(mut stream: impl std::io::Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&text);
    thread::spawn(move || {
        let mut buffer = [0; 64 << 10];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            sink.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
    text
}

/// Collects the log, and sends the addresses once the line that names them has come. From then on it waits for the end
/// of `resumed`, where there is one.
fn collect_log(
    stream: impl std::io::Read + Send + 'static,
    mut resumed: Option<mpsc::Receiver<()>>,
) -> (Arc<Mutex<String>>, mpsc::Receiver<(SocketAddr, SocketAddr)>) {
    let text = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&text);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = writeln!(sink.lock().unwrap(), "{line}");
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            let address = |name: &str| event[name].as_str()?.parse().ok();
            if let (Some(public), Some(admin)) = (address("public_address"), address("admin_address")) {
                let _ = sender.send((public, admin));
                // It is never sent to.
                let _ = resumed.take().map(|resumed| resumed.recv());
            }
        }
    });
    (text, receiver)
}
