//! The sandbox, gateways in front of it, and the bare server beside them.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use aws_lc_rs::signature::RsaPublicKeyComponents;
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use sandbox::{Options, Sandbox, Settings, TokenSpec, credential, known};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Result,
    client::{Answer, Connection, each_once, get},
    process::{Cores, Process, SERVER},
    time::{now, pause},
    tls::Identity,
};

/// The cloud, and a folder for files.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) folder: TempDir,
}

/// A server under load.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// Where a gateway is asked how it is.
    pub(crate) admin: SocketAddr,
    /// From the start of the process to the first `200` of `/readyz`.
    pub(crate) ready_after: Duration,
}

/// How a gateway is started. The defaults are the measured ones: one worker, the audit to a file.
#[derive(Clone, Copy)]
pub(crate) struct How<'a> {
    pub(crate) cores: Cores,
    pub(crate) workers: usize,
    /// Calls a second to the cloud. Its own twenty would make a warm cache of ten thousand entries wait for minutes.
    pub(crate) upstream_per_second: u32,
    pub(crate) audit: Sink,
    /// Where traces go, if anywhere.
    pub(crate) collector: Option<SocketAddr>,
    /// Who it is over TLS, if it is spoken to so.
    pub(crate) tls: Option<&'a Identity>,
    /// Options of valgrind, where it runs in there.
    pub(crate) under_valgrind: Option<&'a [String]>,
}

/// Where the audit goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    File,
    /// Standard output, which leads to `/dev/null`: everything is done but keeping the records.
    Null,
}

/// Whom tokens are for.
pub(crate) const AUDIENCE: &str = "redis-backup-gateway";

/// More than is ever asked for: the quotas are not what is measured.
const UNLIMITED: u32 = 10_000;

impl Default for How<'_> {
    fn default() -> Self {
        Self {
            cores: SERVER,
            workers: 1,
            upstream_per_second: UNLIMITED,
            audit: Sink::File,
            collector: None,
            tls: None,
            under_valgrind: None,
        }
    }
}

impl Stage {
    pub(crate) fn new() -> Result<Self> {
        let settings = Settings { requests_per_second: UNLIMITED as usize, ..Settings::default() };
        Ok(Self { sandbox: Sandbox::start(Options::with_settings(settings))?, folder: TempDir::new()? })
    }

    /// The path of the URLs of synthetic backup `n`.
    pub(crate) fn path(n: u32) -> String {
        format!("/instances/{}/backups/{}/urls?region={}", known::ORDERS, known::synthetic_backup(n), known::CHENGDU)
    }

    pub(crate) fn token(&self, subject: &str) -> String {
        self.sandbox.token(&TokenSpec::new(subject).group("dba"))
    }

    /// A token that names many groups, as those of large organizations do.
    pub(crate) fn large_token(&self, subject: &str) -> String {
        let spec = TokenSpec::new(subject).group("dba");
        let groups = (0..100).map(|n| format!("a-team-with-some-name-{n}"));
        self.sandbox.token(&groups.fold(spec, |spec, group| spec.group(&group)))
    }

    /// Starts a gateway, and waits until it is ready.
    pub(crate) fn gateway(&self, program: &Path, how: How<'_>) -> Result<Server> {
        let folder = self.folder.path().join(how.name());
        fs::create_dir_all(&folder)?;
        let file = self.configure(&folder, how)?;
        let mut command = match how.under_valgrind {
            None => how.cores.command(program),
            Some(options) => valgrind(options, program),
        };
        command.args(["serve", "--config"]).arg(&file).current_dir(&folder);
        command.env("TENCENTCLOUD_SECRET_ID", credential::SECRET_ID);
        command.env("TENCENTCLOUD_SECRET_KEY", credential::SECRET_KEY);
        let began = now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = child.stderr.take().ok_or("the log of a child is piped")?;
        let process = Process(child);
        let (address, admin) = listening(BufReader::new(log))?;
        while !is_ready(admin) {
            if began.elapsed() > Duration::from_secs(60) {
                return Err("the gateway is not ready after a minute".into());
            }
            pause(Duration::from_micros(200));
        }
        Ok(Server { process, address, admin, ready_after: began.elapsed() })
    }

    /// Starts the bare server, which answers the bytes that a gateway has answered.
    pub(crate) fn bare(&self, cores: Cores, workers: usize, sample: &Answer) -> Result<Server> {
        let mut command = cores.command(std::env::current_exe()?);
        command.args(["bare", "--workers", &workers.to_string()]);
        serve(command, sample)
    }

    /// The same with so many copies of the body, which the backup in the path chooses from.
    pub(crate) fn bare_of_many(&self, bodies: u32, sample: &Answer) -> Result<Server> {
        let mut command = SERVER.command(std::env::current_exe()?);
        command.args(["bare", "--bodies", &bodies.to_string()]);
        serve(command, sample)
    }

    /// The same with a queue of its own length.
    pub(crate) fn bare_with_backlog(&self, backlog: u32, sample: &Answer) -> Result<Server> {
        let mut command = SERVER.command(std::env::current_exe()?);
        command.args(["bare", "--backlog", &backlog.to_string()]);
        serve(command, sample)
    }

    /// The same in valgrind.
    pub(crate) fn bare_under(&self, options: &[String], sample: &Answer) -> Result<Server> {
        let mut command = valgrind(options, &std::env::current_exe()?);
        command.arg("bare");
        serve(command, sample)
    }

    /// The RSA key that tokens are signed with.
    pub(crate) fn rsa_key(&self) -> Result<RsaPublicKeyComponents<Vec<u8>>> {
        let keys: Value = serde_json::from_slice(&self.key_set()?)?;
        let key = keys["keys"].as_array().and_then(|keys| keys.iter().find(|key| key["kty"] == "RSA"));
        let key = key.ok_or("the sandbox has an RSA key")?;
        let part = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap_or(""));
        Ok(RsaPublicKeyComponents { n: part("n")?, e: part("e")? })
    }

    /// The issuer's keys, as it publishes them.
    fn key_set(&self) -> Result<Vec<u8>> {
        let issuer = self.sandbox.issuer_url();
        let address = issuer.strip_prefix("http://").ok_or("the sandbox speaks http")?.parse()?;
        Ok(Connection::open(address)?.ask(b"GET /jwks HTTP/1.1\r\nHost: issuer\r\n\r\n")?.body)
    }

    fn configure(&self, folder: &Path, how: How<'_>) -> Result<PathBuf> {
        let keys = folder.join("keys.json");
        fs::write(&keys, self.key_set()?)?;
        fs::write(folder.join("audit-key"), BASE64_STANDARD.encode([7; 32]))?;
        let audit = match how.audit {
            Sink::File => "sink = \"file\"\nfile = \"audit.jsonl\"\nkey_file = \"audit-key\"",
            Sink::Null => "sink = \"stdout\"\nkey_file = \"audit-key\"",
        };
        let tls = match how.tls {
            None => "",
            Some(identity) => {
                fs::write(folder.join("cert.pem"), identity.certificate_pem())?;
                fs::write(folder.join("key.pem"), identity.key_pem())?;
                "[server.tls]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\""
            }
        };
        let file = folder.join("gateway.toml");
        write!(
            File::create(&file)?,
            r#"
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
workers = {workers}
drain_delay = "0s"

{tls}

[[auth.issuers]]
name = "sandbox"
issuer = "{issuer}"
audiences = ["{AUDIENCE}"]
algorithms = ["RS256"]
jwks_file = "{keys}"
groups_claim = "groups"

[policy]
dir = "{policies}"

[tencent]
regions = ["{region}"]
endpoint = "{api}"

[tencent.credentials]
source = "env"

[rate_limit]
requests_per_second = {upstream_per_second}

[rate_limit.per_caller]
requests_per_second = 1000000
burst = 1000000

[cache]
max_bytes = "256MiB"

[audit]
{audit}

[log]
{traces}
"#,
            workers = how.workers,
            keys = keys.display(),
            policies = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/policies"),
            issuer = self.sandbox.issuer_url(),
            region = known::CHENGDU,
            api = self.sandbox.api_url(),
            upstream_per_second = how.upstream_per_second,
            traces = how.collector.map(|at| format!("otlp_endpoint = \"http://{at}\"")).unwrap_or_default(),
        )?;
        Ok(file)
    }
}

fn valgrind(options: &[String], program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(options).arg(program);
    command
}

/// Starts a bare server by `command`.
fn serve(mut command: Command, sample: &Answer) -> Result<Server> {
    let began = now();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().ok_or("the input of a child is piped")?;
    let output = child.stdout.take().ok_or("the output of a child is piped")?;
    let process = Process(child);
    for (name, value) in &sample.fields {
        // These two are the web server's own.
        if !["content-length", "date"].contains(&name.to_ascii_lowercase().as_str()) {
            writeln!(input, "{name}: {value}")?;
        }
    }
    input.write_all(b"\n")?;
    input.write_all(&sample.body)?;
    drop(input);
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, line.trim().parse()?));
    Ok(Server { process, address, admin: address, ready_after: began.elapsed() })
}

impl How<'_> {
    /// A folder for each way, so that two gateways do not meet in one file.
    fn name(self) -> String {
        let audit = if self.audit == Sink::File { "file" } else { "null" };
        let traces = if self.collector.is_some() { "-traces" } else { "" };
        let tls = self.tls.map(|identity| format!("-{:?}", identity.key)).unwrap_or_default();
        format!("{audit}-{}-{}{traces}{tls}", self.workers, self.upstream_per_second)
    }
}

impl Server {
    /// Fetches the first `count` synthetic backups into the cache, and returns an answer from there.
    pub(crate) fn warm(&self, token: &str, count: u32) -> Result<Answer> {
        let requests: Vec<_> = (0..count).map(|n| get(&Stage::path(n), token)).collect();
        each_once(self.address, 16, &requests)?;
        self.hit(token, 0)
    }

    /// The answer of synthetic backup `n` out of the cache.
    pub(crate) fn hit(&self, token: &str, n: u32) -> Result<Answer> {
        let answer = Connection::open(self.address)?.ask(&get(&Stage::path(n), token))?;
        let is_hit = answer.fields.iter().any(|(name, value)| name == "cache-status" && value.contains("; hit"));
        if answer.status == 200 && is_hit { Ok(answer) } else { Err("what was fetched before is no hit".into()) }
    }

    /// A metric without labels.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let answer = Connection::open(self.admin)?.ask(b"GET /metrics HTTP/1.1\r\nHost: gateway\r\n\r\n")?;
        let text = String::from_utf8(answer.body)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.ok_or_else(|| format!("there is no metric {name}"))?.parse()?)
    }
}

fn is_ready(admin: SocketAddr) -> bool {
    let answer =
        Connection::open(admin).and_then(|mut admin| admin.ask(b"GET /readyz HTTP/1.1\r\nHost: gateway\r\n\r\n"));
    answer.is_ok_and(|answer| answer.status == 200)
}

/// Where a gateway listens, by the line of its log that says so. The rest of the log is read by a thread, for a full
/// pipe would stop the gateway.
fn listening(mut log: BufReader<std::process::ChildStderr>) -> Result<(SocketAddr, SocketAddr)> {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        if log.read_line(&mut line)? == 0 {
            return Err(format!("the gateway does not listen: {seen}").into());
        }
        let fields: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = |name: &str| find(&fields, name).and_then(|text| text.parse().ok());
        if let (Some(public), Some(admin)) = (address("public_address"), address("admin_address")) {
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Ok((public, admin));
        }
        seen.push_str(&line);
    }
}

/// A field of a line of the log, at whatever depth it stands.
fn find<'a>(fields: &'a Value, name: &str) -> Option<&'a str> {
    match fields {
        Value::Object(members) => {
            members.get(name).and_then(Value::as_str).or_else(|| members.values().find_map(|value| find(value, name)))
        }
        _ => None,
    }
}
