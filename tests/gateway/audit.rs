//! The record: a chain over files, restarts and keys, read again by the commands.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::Output,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use sandbox::{Options, Sandbox, TokenSpec, known};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    harness::{Answer, Client, Gateway, Stage, eventually, urls_path},
    process::run,
};

/// A folder with the key and the file of records.
pub struct Records(TempDir);

/// 32 bytes each, in base64.
const KEYS: [&str; 2] =
    ["BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg="];

/// Callers may ask as fast as they can.
pub const NO_QUOTA: &str = "
    GATEWAY_RATE_LIMIT__PER_CALLER__REQUESTS_PER_SECOND=1000000
    GATEWAY_RATE_LIMIT__PER_CALLER__BURST=1000000";

impl Records {
    pub fn new() -> Self {
        let records = Self(tempfile::tempdir().unwrap());
        records.set_keys(&KEYS[..1]);
        records
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn set_keys(&self, keys: &[&str]) {
        fs::write(self.path("key"), keys.join("\n")).unwrap();
    }

    fn variables(&self, file: &str) -> [(&'static str, String); 3] {
        [
            ("GATEWAY_AUDIT__SINK", "file".to_owned()),
            ("GATEWAY_AUDIT__FILE", file.to_owned()),
            ("GATEWAY_AUDIT__KEY_FILE", self.text_path("key")),
        ]
    }

    /// The variables of a gateway that writes to `file`, or to the file `audit` of this folder.
    pub fn overrides(&self, file: Option<&str>) -> String {
        let file = file.map_or_else(|| self.text_path("audit"), str::to_owned);
        let variables = self.variables(&file).map(|(name, value)| format!("{name}={value}\n"));
        format!("{}{NO_QUOTA}", variables.concat())
    }

    pub fn read(&self, name: &str) -> Vec<Value> {
        lines(&fs::read_to_string(self.path(name)).unwrap())
    }

    /// `audit` with these arguments, of which those that begin with `@` are files of this folder.
    pub fn command(&self, sandbox: &Sandbox, arguments: &[&str]) -> (i32, String) {
        let path = |argument: &&str| match argument.strip_prefix('@') {
            Some(name) => self.text_path(name),
            None => (*argument).to_owned(),
        };
        let arguments: Vec<String> = ["audit"].iter().chain(arguments).map(path).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let variables = self.variables(&self.text_path("audit"));
        let variables = [0, 1, 2].map(|index| (variables[index].0, variables[index].1.as_str()));
        said(&run(sandbox, &arguments, &variables))
    }
}

/// Exit code, and everything that was said.
fn said(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts<'a>(records: &'a [Value], field: &str) -> Vec<&'a str> {
    records.iter().map(|record| record[field].as_str().unwrap()).collect()
}

fn token_of(sandbox: &Sandbox, subject: &str) -> String {
    format!("Bearer {}", sandbox.token(&TokenSpec::new(subject).group("dba")))
}

#[test]
fn a_file_is_for_its_owner_alone_and_goes_on_over_restarts() {
    let records = Records::new();
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let get = |gateway: &Gateway, path: &str| gateway.get(path, &[("Authorization", &token_of(&sandbox, "alice"))]);

    for _ in 0..3 {
        let mut gateway = Gateway::start(&sandbox, &records.overrides(None));
        assert_eq!(get(&gateway, &urls_path(known::SEED_BACKUP)).status, 200);
        assert_eq!(get(&gateway, &urls_path("!")).status, 400);
        gateway.signal("TERM");
        assert_eq!(gateway.wait().code(), Some(0));
        assert_eq!(gateway.records(), [] as [Value; 0], "nothing goes to standard output");
    }

    let written = records.read("audit");
    assert_eq!(written.iter().map(|record| record["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let mut segments = texts(&written, "segment");
    segments.dedup();
    assert_eq!(segments.len(), 3);
    assert_eq!(texts(&written, "prev")[1..], texts(&written, "hash")[..5]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(records.path("audit")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (code, text) = records.command(&sandbox, &["verify", "@audit"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("6 records") && text.contains("3 segments"), "{text}");
}

#[test]
fn verify_names_the_first_line_that_was_changed_removed_inserted_or_moved() {
    let records = Records::new();
    let stage = Stage::with(&records.overrides(None));
    for _ in 0..6 {
        assert_eq!(stage.get(&stage.seed_path()).status, 200);
    }
    let whole = fs::read_to_string(records.path("audit")).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let changed = lines[2].replace("\"alice\"", "\"malice\"");
    let verify = |file: &str| {
        fs::write(records.path("copy"), file).unwrap();
        records.command(&stage.sandbox, &["verify", "@copy"])
    };

    for (name, file, line, why) in [
        ("changed", [&lines[..2], &[&changed], &lines[3..]].concat().concat(), "line 3:", "changed"),
        ("removed", [&lines[..3], &lines[4..]].concat().concat(), "line 4:", "missing"),
        ("the first removed", lines[1..].concat(), "line 1:", "missing"),
        ("inserted", [&lines[..4], &lines[1..2], &lines[4..]].concat().concat(), "line 5:", "out of order"),
        ("moved", [&lines[..1], &lines[2..3], &lines[1..2], &lines[3..]].concat().concat(), "line 2:", "missing"),
        ("torn", whole[..whole.len() - 40].to_owned(), "line 6:", "torn"),
        ("made up", format!("{whole}{{}}\n"), "line 7:", "not a record"),
    ] {
        let (code, text) = verify(&file);

        assert_eq!(code, 1, "{name}: {text}");
        assert!(text.contains(&format!("copy: {line}")) && text.contains(why), "{name}: {text}");
    }
    assert_eq!(verify(&whole).0, 0);
}

#[test]
fn the_head_that_the_log_keeps_shows_an_end_that_was_cut_off() {
    let records = Records::new();
    let mut stage = Stage::with(&records.overrides(None));
    for _ in 0..3 {
        stage.get(&stage.seed_path());
    }
    stage.gateway.signal("TERM");
    stage.gateway.wait();
    let log = stage.gateway.log.lock().unwrap().clone();
    let last = lines(&log).into_iter().rfind(|line| line["hash"].is_string()).expect("the head is in the log");
    let head = last["hash"].as_str().unwrap();

    let whole = records.command(&stage.sandbox, &["verify", "@audit", "--expect", head]);
    let text = fs::read_to_string(records.path("audit")).unwrap();
    let cut: String = text.split_inclusive('\n').take(2).collect();
    fs::write(records.path("audit"), cut).unwrap();
    let unnoticed = records.command(&stage.sandbox, &["verify", "@audit"]);
    let noticed = records.command(&stage.sandbox, &["verify", "@audit", "--expect", head]);

    assert_eq!(last["seq"], 3);
    assert_eq!(whole.0, 0, "{whole:?}");
    assert_eq!(unnoticed.0, 0, "no chain can show that alone");
    assert_eq!(noticed.0, 1);
    assert!(noticed.1.contains("cut off") && noticed.1.contains(head), "{noticed:?}");
}

#[test]
fn a_torn_last_line_is_told_and_closed_by_the_next_start() {
    let records = Records::new();
    let mut stage = Stage::with(&records.overrides(None));
    for _ in 0..3 {
        stage.get(&stage.seed_path());
    }
    stage.gateway.signal("KILL");
    stage.gateway.wait();
    let whole = fs::read(records.path("audit")).unwrap();
    fs::write(records.path("audit"), &whole[..whole.len() - 100]).unwrap();

    let torn = records.command(&stage.sandbox, &["verify", "@audit"]);
    let again = Gateway::start(&stage.sandbox, &records.overrides(None));
    let answer = again.get(&stage.seed_path(), &[("Authorization", &token_of(&stage.sandbox, "alice"))]);
    let closed = records.command(&stage.sandbox, &["verify", "@audit"]);

    assert_eq!(torn.0, 1);
    assert!(torn.1.contains("line 3: torn") && torn.1.contains("before it: 2 records, intact"), "{torn:?}");
    assert_eq!(answer.status, 200);
    assert_eq!(closed.0, 0, "{closed:?}");
    assert!(closed.1.contains("line 3: torn, and closed") && closed.1.contains("3 records"), "{closed:?}");
}

#[test]
fn a_leaked_url_leads_to_whom_it_was_given_and_to_nobody_else() {
    let records = Records::new();
    let stage = Stage::with(&records.overrides(None));
    let get = |subject: &str, path: &str, accept: &str| {
        let token = token_of(&stage.sandbox, subject);
        stage.gateway.get(path, &[("Authorization", &token), ("Accept", accept)])
    };
    let file =
        |n: u32| format!("/instances/{}/backups/{}/files/{n}?region=ap-chengdu", known::ORDERS, known::SEED_BACKUP);
    let body = get("alice", &stage.seed_path(), "*/*").json();
    get("bob", &stage.seed_path(), "text/plain");
    get("carol", &file(1), "*/*");
    get("dave", &file(2), "*/*");
    get("erin", &format!("{}&network=inner", stage.seed_path()), "*/*");
    get("frank", &urls_path(&known::synthetic_backup(1)), "*/*");
    let url = |name: &str| body["files"][0][name].as_str().unwrap();
    let find = |url: &str| {
        fs::write(records.path("leaked"), format!("{url}\n")).unwrap();
        let (code, text) = records.command(&stage.sandbox, &["find", "--url-file", "@leaked", "@audit"]);
        let given = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        (code, given.map(|record| record["subject"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };

    let public = find(url("download_url"));
    let inner = find(url("inner_download_url"));
    let unknown = find("https://example.com/another.rdb?q-signature=0");

    assert_eq!(public, (0, ["alice", "bob", "carol"].map(str::to_owned).to_vec()));
    assert_eq!(inner, (0, ["alice", "erin"].map(str::to_owned).to_vec()));
    assert_eq!(unknown, (1, vec![]));
    let text = fs::read_to_string(records.path("audit")).unwrap();
    assert!(!text.contains("q-sign") && !text.contains("http"), "a fingerprint opens nothing");
}

#[test]
fn without_its_key_or_its_file_nothing_is_said_and_nothing_starts() {
    let records = Records::new();
    let stage = Stage::with(&records.overrides(None));
    stage.get(&stage.seed_path());
    let file = records.text_path("audit");

    let keyless = said(&run(&stage.sandbox, &["audit", "verify", &file], &[]));
    let missing = records.command(&stage.sandbox, &["verify", "@nowhere"]);
    let unnamed = records.command(&stage.sandbox, &["verify"]);
    let no_hash = records.command(&stage.sandbox, &["verify", "@audit", "--expect", "abc"]);
    let variables = records.variables(&file);
    let second =
        said(&run(&stage.sandbox, &["serve"], &[0, 1, 2].map(|at| (variables[at].0, variables[at].1.as_str()))));
    records.set_keys(&["hunter2"]);
    let bad_key = records.command(&stage.sandbox, &["verify", "@audit"]);
    let checked =
        said(&run(&stage.sandbox, &["check-config"], &[0, 1, 2].map(|at| (variables[at].0, variables[at].1.as_str()))));

    for ((code, text), named) in [
        (&keyless, "audit.key_file is not set"),
        (&missing, "nowhere"),
        (&unnamed, "FILE"),
        (&no_hash, "64 lower-case"),
        (&second, "another process"),
        (&bad_key, "line 1: a key is 32 bytes"),
    ] {
        assert_eq!(*code, 2, "{named}: {text}");
        assert!(text.contains(named), "{text}");
        assert!(!text.contains("hunter2"));
    }
    assert_eq!(checked.0, 1);
    assert!(checked.1.contains("audit.key_file") && !checked.1.contains("hunter2"), "{checked:?}");
}

/// Asks for the seed's URLs until it is over or the gateway is gone, and keeps the ids of the requests that were
/// answered with URLs.
fn ask_on(public: SocketAddr, authorization: &str, name: &str, over: &AtomicBool, answered: &AtomicUsize) -> Load {
    let client = Client::at(public, authorization);
    let mut load = Load::default();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{name}-{number}");
        match client.try_get(&urls_path(known::SEED_BACKUP), &[("X-Request-Id", &id)]) {
            Ok(answer) if answer.status == 200 => {
                load.given.push(id);
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => load.others.push(answer),
            Err(_) => break,
        }
    }
    load
}

#[derive(Default)]
struct Load {
    given: Vec<String>,
    others: Vec<Answer>,
}

#[test]
fn killed_twenty_times_under_load_every_url_that_was_received_has_its_line() {
    let records = Records::new();
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let token = token_of(&sandbox, "alice");
    let mut given = Vec::new();

    for round in 0..20 {
        let mut gateway = Gateway::start(&sandbox, &records.overrides(None));
        let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let clients: Vec<_> = (0..6)
                .map(|client| {
                    let (public, token, over, answered) = (gateway.public, &token, &over, &answered);
                    scope.spawn(move || ask_on(public, token, &format!("{round}-{client}"), over, answered))
                })
                .collect();
            eventually("some are answered", || answered.load(Ordering::Relaxed) > 20 + 37 * round % 150);
            gateway.signal("KILL");
            for client in clients {
                let load = client.join().unwrap();
                assert_eq!(load.others.len(), 0, "{:?}", load.others.first());
                given.extend(load.given);
            }
        });
        gateway.wait();
    }

    let text = fs::read_to_string(records.path("audit")).unwrap();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let recorded: std::collections::HashSet<String> = whole
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|record| record["status"] == 200)
        .map(|record| record["request_id"].as_str().unwrap().to_owned())
        .collect();
    assert!(given.len() > 1000, "{}", given.len());
    let unrecorded: Vec<_> = given.iter().filter(|id| !recorded.contains(*id)).collect();
    assert!(unrecorded.is_empty(), "{unrecorded:?} of {}", given.len());
    let (code, said) = records.command(&sandbox, &["verify", "@audit"]);
    assert!(code == 0 || said.contains("torn"), "{said}");
}

#[test]
fn file_and_key_are_replaced_under_load_without_a_failed_request() {
    let records = Records::new();
    let stage = Stage::with(&records.overrides(None));
    let token = token_of(&stage.sandbox, "alice");
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let more = |count: usize| {
        let before = answered.load(Ordering::Relaxed);
        eventually("more are answered", || answered.load(Ordering::Relaxed) > before + count);
    };

    let loads: Vec<Load> = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (public, token, over, answered) = (stage.gateway.public, &token, &over, &answered);
                scope.spawn(move || ask_on(public, token, &client.to_string(), over, answered))
            })
            .collect();
        more(50);
        fs::rename(records.path("audit"), records.path("audit.1")).unwrap();
        more(50);
        stage.gateway.signal("HUP");
        eventually("there is a new file", || records.path("audit").exists());
        more(50);
        records.set_keys(&[KEYS[1], KEYS[0]]);
        stage.gateway.signal("HUP");
        let has_new_key = || {
            let text = fs::read_to_string(records.path("audit")).unwrap();
            let segments: std::collections::BTreeSet<_> =
                text.lines().filter_map(|line| line.split("\"segment\":\"").nth(1)).map(|rest| &rest[..8]).collect();
            segments.len() == 2
        };
        eventually("there is a segment under the new key", has_new_key);
        more(50);
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });

    assert!(loads.iter().all(|load| load.others.is_empty()));
    let given: usize = loads.iter().map(|load| load.given.len()).sum();
    let (old, new) = (records.read("audit.1"), records.read("audit"));
    assert_eq!(old.len() + new.len(), given);
    assert_eq!(new[0]["prev"], old.last().unwrap()["hash"]);
    let (code, text) = records.command(&stage.sandbox, &["verify", "@audit.1", "@audit"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("3 segments"), "{text}");
    let (code, text) = records.command(&stage.sandbox, &["verify", "@audit"]);
    assert!(code == 0 && text.contains("continues a file"), "{text}");
    records.set_keys(&KEYS[1..]);
    let (code, text) = records.command(&stage.sandbox, &["verify", "@audit.1", "@audit"]);
    assert!(code == 1 && text.contains("audit.1: line 1: written under the key"), "{text}");
}

#[test]
fn a_key_file_that_changes_is_noticed_without_a_signal_and_a_bad_one_is_counted() {
    let records = Records::new();
    let stage = Stage::with(&records.overrides(None));
    stage.get(&stage.seed_path());

    records.set_keys(&["hunter2"]);
    eventually("the bad key is told", || {
        let metrics = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
        metrics.contains("gateway_reloads_total{result=\"error\",what=\"audit\"} 1")
    });
    assert_eq!(stage.get(&stage.seed_path()).status, 200);
    records.set_keys(&[KEYS[1], KEYS[0]]);
    eventually("the new key is in force", || {
        let metrics = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
        metrics.contains("gateway_reloads_total{result=\"ok\",what=\"audit\"} 1")
    });
    stage.get(&stage.seed_path());

    let written = records.read("audit");
    let key = |index: usize| texts(&written, "segment")[index][..8].to_owned();
    assert_eq!(key(0), key(1));
    assert_ne!(key(1), key(2));
    assert!(!stage.gateway.log.lock().unwrap().contains("hunter2"));
    assert_eq!(records.command(&stage.sandbox, &["verify", "@audit"]).0, 0);
}

#[test]
fn records_on_standard_output_are_a_chain_too() {
    let records = Records::new();
    let key = records.text_path("key");
    let mut stage = Stage::with(&format!("GATEWAY_AUDIT__KEY_FILE={key}"));
    for _ in 0..3 {
        stage.get(&stage.seed_path());
    }
    stage.gateway.signal("TERM");
    stage.gateway.wait();
    eventually("all is collected", || stage.gateway.audit.lock().unwrap().lines().count() == 3);

    let mut file = fs::File::create(records.path("collected")).unwrap();
    file.write_all(stage.gateway.audit.lock().unwrap().as_bytes()).unwrap();

    let (code, text) = records.command(&stage.sandbox, &["verify", "@collected"]);
    assert_eq!(code, 0, "{text}");
}
