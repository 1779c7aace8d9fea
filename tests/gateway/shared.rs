//! Several gateways with one store: one cache, one fetch, and what the store gets to see.

use std::{collections::BTreeSet, fs, thread, time::Duration};

use sandbox::{Effect, Fault, Options, Sandbox, TokenSpec, known};
use tempfile::TempDir;

use crate::{
    harness::{Answer, Client, Gateway, PATIENCE, configuration, eventually, started, urls_path, wait},
    redis_server::Redis,
};

/// Base64 of 32 bytes.
pub const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const NEWER_KEY: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

/// Gateways in front of one sandbox, with one store.
pub struct Fleet {
    pub sandbox: Sandbox,
    pub redis: Redis,
    pub gateways: Vec<Gateway>,
    files: TempDir,
}

impl Fleet {
    pub fn of(size: usize) -> Self {
        Self::with(size, "")
    }

    /// `overrides` are environment variables of every gateway, `NAME=value` a line.
    pub fn with(size: usize, overrides: &str) -> Self {
        Self::around(Redis::start(), size, overrides)
    }

    pub fn around(redis: Redis, size: usize, overrides: &str) -> Self {
        let sandbox = Sandbox::start(Options::default()).unwrap();
        let files = TempDir::new().unwrap();
        fs::write(files.path().join("key"), KEY).unwrap();
        let mut fleet = Self { sandbox, redis, gateways: Vec::new(), files };
        for _ in 0..size {
            fleet.add(overrides);
        }
        fleet
    }

    /// One more gateway.
    pub fn add(&mut self, overrides: &str) {
        let gateway = Gateway::configured(&self.configuration(), overrides);
        self.gateways.push(gateway);
    }

    pub fn configuration(&self) -> String {
        let (url, key) = (self.redis.url(), self.key_file());
        // A second is more than a loaded machine needs; what a frozen store costs is another test's.
        let shared = format!("[shared]\nurl = \"{url}\"\nencryption_key_file = \"{key}\"\ntimeout = \"1s\"\n");
        format!("{}{shared}", configuration(&self.sandbox))
    }

    pub fn key_file(&self) -> String {
        self.files.path().join("key").to_str().unwrap().to_owned()
    }

    pub fn token(&self) -> String {
        self.sandbox.token(&TokenSpec::new("alice").group("dba"))
    }

    /// `GET` at one of the gateways.
    pub fn get(&self, at: usize, path: &str) -> Answer {
        self.gateways[at].get(path, &[("Authorization", &format!("Bearer {}", self.token()))])
    }

    pub fn calls_for(&self, backup: &str) -> u64 {
        self.sandbox.control().counters().calls_for_backup(known::ORDERS, backup)
    }

    /// What a look into the shared cache came to so often, at one of the gateways.
    pub fn looks(&self, at: usize, result: &str) -> u64 {
        let name = format!("gateway_cache_lookups_total{{layer=\"shared\",result=\"{result}\"}} ");
        self.metrics(at).lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
    }

    pub fn metrics(&self, at: usize) -> String {
        self.gateways[at].ask(self.gateways[at].admin, "GET", "/metrics", &[]).text()
    }

    /// Has a backup's entry in the store.
    pub fn warm(&self, at: usize, backup: &str) {
        let before = self.redis.entries().len();
        assert_eq!(self.get(at, &urls_path(backup)).status, 200);
        eventually("the entry is in the store", || self.redis.entries().len() == before + 1);
    }
}

#[track_caller]
pub fn assert_cache_status(answer: &Answer, ends_with: &str) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let status = answer.header("cache-status").unwrap();
    assert!(status.contains(ends_with), "{status}");
}

#[test]
fn sixty_callers_at_three_gateways_for_one_cold_backup_cost_one_call() {
    let fleet = Fleet::of(3);
    fleet.sandbox.control().inject(Fault::api(Effect::LatencyMs(500)).times(1));
    let path = urls_path(known::SEED_BACKUP);
    let clients: Vec<_> = (0..60)
        .map(|number| {
            let token = fleet.sandbox.token(&TokenSpec::new(&format!("caller-{number}")).group("dba"));
            Client::at(fleet.gateways[number % 3].public, &format!("Bearer {token}"))
        })
        .collect();

    let answers: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = clients.iter().map(|client| scope.spawn(|| client.get(&path))).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });

    assert!(answers.iter().all(|answer| answer.status == 200 && answer.json() == answers[0].json()));
    assert_eq!(fleet.calls_for(known::SEED_BACKUP), 1);
}

#[test]
fn what_one_gateway_fetched_is_a_hit_at_another() {
    let fleet = Fleet::of(2);
    fleet.warm(0, "synthetic-1");

    let answer = fleet.get(1, &urls_path("synthetic-1"));

    assert_cache_status(&answer, "; hit; ttl=");
    assert_eq!(fleet.calls_for("synthetic-1"), 1);
    assert_eq!(fleet.looks(1, "hit"), 1);
}

#[test]
fn that_there_is_no_such_backup_is_remembered_by_all() {
    let fleet = Fleet::of(2);
    fleet.get(0, &urls_path("no-such-backup")).assert_problem(404, "backup_not_found");
    eventually("the refusal is in the store", || fleet.redis.entries().len() == 1);

    fleet.get(1, &urls_path("no-such-backup")).assert_problem(404, "backup_not_found");

    assert_eq!(fleet.sandbox.control().counters().calls_of("DescribeBackupUrl"), 1);
    assert_eq!(fleet.looks(1, "negative"), 1);
}

#[test]
fn a_failure_is_not_shared_and_holds_nobody_up() {
    let fleet = Fleet::of(2);
    fleet.sandbox.control().inject(Fault::api_error("FailedOperation.Unknown").times(1));

    fleet.get(0, &urls_path("synthetic-1")).assert_problem(502, "upstream_error");
    let answer = fleet.get(1, &urls_path("synthetic-1"));

    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(fleet.sandbox.control().counters().calls_of("DescribeBackupUrl"), 2);
}

#[test]
fn a_fresh_one_that_was_asked_for_replaces_that_of_all() {
    let fleet = Fleet::with(2, "GATEWAY_CACHE__MIN_AGE=0s");
    fleet.warm(0, "synthetic-1");
    let first = fleet.get(1, &urls_path("synthetic-1"));
    let authorization = format!("Bearer {}", fleet.token());

    let forced = fleet.gateways[1]
        .get(&urls_path("synthetic-1"), &[("Authorization", &authorization), ("Cache-Control", "no-cache")]);

    assert_cache_status(&forced, "fwd=request; stored");
    assert_ne!(forced.json()["upstream_request_id"], first.json()["upstream_request_id"]);
    assert_eq!(fleet.calls_for("synthetic-1"), 2);
}

#[test]
fn an_uncontended_miss_takes_two_trips_to_the_cache_and_a_hit_none() {
    let fleet = Fleet::of(2);
    // The store has to be taught the scripts once.
    fleet.warm(0, "synthetic-1");
    let monitor = fleet.redis.monitor();

    fleet.warm(0, "synthetic-2");
    let of_miss = cache_trips(&monitor.sent(&fleet.redis));
    fleet.get(0, &urls_path("synthetic-2"));
    let of_local_hit = cache_trips(&monitor.sent(&fleet.redis));
    fleet.get(1, &urls_path("synthetic-2"));
    let of_shared_hit = cache_trips(&monitor.sent(&fleet.redis));

    assert_eq!((of_miss, of_local_hit, of_shared_hit), (2, 0, 1));
}

/// Trips of gateways for an entry; a look of the test's own is none.
fn cache_trips(sent: &[String]) -> usize {
    sent.iter().filter(|line| line.contains("\"EVALSHA\"") && line.contains(":urls\"")).count()
}

#[test]
fn a_miss_takes_at_most_three_trips_of_any_kind() {
    // With others to come there would be little to grant so soon after the store's start, and a fetch that waits has its
    // lock renewed.
    let fleet = Fleet::with(1, "GATEWAY_SHARED__REPLICAS=1");
    fleet.warm(0, "synthetic-1");
    let monitor = fleet.redis.monitor();

    fleet.warm(0, "synthetic-2");

    let sent = monitor.sent(&fleet.redis);
    // A sign of life is given ten times a second, whether anybody asks or not.
    let is_of_a_miss = |line: &&String| line.contains("\"EVAL") && !line.contains("\"stay\"");
    let trips: Vec<_> = sent.iter().filter(is_of_a_miss).collect();
    assert!(trips.len() <= 3, "{trips:#?}");
}

#[test]
fn what_the_store_holds_says_nothing_and_ends_by_itself() {
    let fleet = Fleet::of(2);
    fleet.warm(0, known::SEED_BACKUP);
    fleet.warm(1, "synthetic-1");
    fleet.get(0, &urls_path("no-such-backup")).assert_problem(404, "backup_not_found");
    eventually("three are there", || fleet.redis.entries().len() == 3);
    let answer = fleet.get(0, &urls_path(known::SEED_BACKUP)).json();
    let url = answer["files"][0]["download_url"].as_str().unwrap().to_owned();

    let dump = fleet.redis.dump();

    let host = url.split("://").nth(1).unwrap().split('/').next().unwrap();
    let signature = url.split("q-signature").nth(1).unwrap();
    let ids = [known::ORDERS, known::SEED_BACKUP, "synthetic-1", "no-such-backup"];
    let secrets = ["http", "q-sign", "sign=", "BackupNotExists", KEY, host, signature].into_iter().chain(ids);
    let secrets: Vec<&str> = secrets.collect();
    for (key, (value, left)) in &dump {
        assert!(key.starts_with("rbg:{") && key.contains('}'), "{key}");
        assert!(*left > 0, "{key} never ends");
        for secret in &secrets {
            let is_in_value = value.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!key.contains(secret) && !is_in_value, "{secret} stands in {key}");
        }
    }
}

/// Does something to an entry that none of us does.
type Meddle = fn(&Redis, entry: &str);

#[test]
fn what_somebody_else_wrote_is_a_miss_and_is_counted() {
    let cases: [(&str, Meddle); 6] = [
        ("changed", |redis, entry| {
            let mut value: Vec<u8> = redis.ask(&["GET", entry]);
            *value.last_mut().unwrap() ^= 1;
            let mut command = redis::cmd("SET");
            command.arg(entry).arg(value).arg("KEEPTTL").query::<()>(&mut redis.connect()).unwrap();
        }),
        ("foreign", |redis, entry| redis.ask(&["SET", entry, "hello", "PX", "60000"])),
        ("empty", |redis, entry| redis.ask(&["SET", entry, "", "PX", "60000"])),
        ("too long", |redis, entry| redis.ask(&["SET", entry, "x".repeat(48 << 20).as_str(), "PX", "60000"])),
        ("endless", |redis, entry| redis.ask(&["PERSIST", entry])),
        ("prolonged", |redis, entry| redis.ask(&["PEXPIRE", entry, "999999999"])),
    ];
    let mut fleet = Fleet::of(1);
    fleet.warm(0, "synthetic-1");
    let entry = fleet.redis.entries().remove(0);

    for (calls_before, (name, meddle)) in (1..).zip(cases) {
        meddle(&fleet.redis, &entry);
        let bad: Vec<u8> = fleet.redis.ask(&["GET", &entry]);
        // It has nothing of its own.
        fleet.add("");
        let answer = fleet.get(1, &urls_path("synthetic-1"));

        assert_cache_status(&answer, "fwd=miss; stored");
        assert_eq!((fleet.looks(1, "rejected"), fleet.looks(1, "hit")), (1, 0), "{name}");
        assert_eq!(fleet.calls_for("synthetic-1"), calls_before + 1, "{name}");
        eventually("a good one is in its place", || fleet.redis.ask::<Vec<u8>>(&["GET", &entry]) != bad);
        fleet.gateways.pop();
    }
}

#[test]
fn of_a_value_that_is_too_long_to_be_ours_no_more_is_read_than_of_one_of_ours() {
    let fleet = Fleet::of(2);
    fleet.warm(0, "synthetic-1");
    let entry = fleet.redis.entries().remove(0);
    fleet.redis.ask::<()>(&["SET", &entry, "x".repeat(48 << 20).as_str(), "PX", "60000"]);
    let sent = || {
        let stats: String = fleet.redis.ask(&["INFO", "stats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        line.unwrap().parse::<u64>().unwrap()
    };

    let before = sent();
    assert_eq!(fleet.get(1, &urls_path("synthetic-1")).status, 200);

    assert!(sent() - before < 2 << 20, "{} bytes", sent() - before);
}

#[test]
fn that_there_was_no_such_backup_cannot_be_kept_and_said_again() {
    let fleet = Fleet::with(2, "GATEWAY_CACHE__NEGATIVE_TTL=1s");
    let path = urls_path("no-such-backup");
    assert_eq!(fleet.get(0, &path).status, 404);
    eventually("it is in the store", || !fleet.redis.entries().is_empty());
    let entry = fleet.redis.entries().remove(0);
    let said: Vec<u8> = fleet.redis.ask(&["GET", &entry]);
    eventually("it ends", || fleet.redis.entries().is_empty());

    let mut again = redis::cmd("SET");
    again.arg(&entry).arg(said).arg("PX").arg("900").query::<()>(&mut fleet.redis.connect()).unwrap();

    assert_eq!(fleet.get(1, &path).status, 404);
    assert_eq!((fleet.looks(1, "negative"), fleet.looks(1, "stale")), (0, 1));
    assert_eq!(fleet.calls_for("no-such-backup"), 2);
}

#[test]
fn a_value_of_another_type_is_a_miss() {
    let fleet = Fleet::of(2);
    fleet.warm(0, "synthetic-1");
    let entry = fleet.redis.entries().remove(0);
    fleet.redis.ask::<()>(&["DEL", &entry]);
    fleet.redis.ask::<()>(&["RPUSH", &entry, "hello"]);

    assert_eq!(fleet.get(1, &urls_path("synthetic-1")).status, 200);

    eventually("a good one is in its place", || fleet.redis.ask::<String>(&["TYPE", &entry]) == "string");
}

#[test]
fn a_value_in_the_place_of_another_is_a_miss() {
    let fleet = Fleet::of(2);
    fleet.warm(0, "synthetic-1");
    fleet.warm(0, "synthetic-2");
    let entries = fleet.redis.entries();
    fleet.redis.ask::<()>(&["COPY", &entries[0], &entries[1], "REPLACE"]);

    let answers = ["synthetic-1", "synthetic-2"].map(|backup| fleet.get(1, &urls_path(backup)).json());

    assert_eq!(answers.map(|answer| answer["backup_id"].clone()), ["synthetic-1", "synthetic-2"]);
    assert_eq!((fleet.looks(1, "rejected"), fleet.looks(1, "hit")), (1, 1));
    assert_eq!(fleet.calls_for("synthetic-1") + fleet.calls_for("synthetic-2"), 3);
}

#[test]
fn a_lock_that_nobody_of_us_would_leave_holds_nobody_up() {
    let fleet = Fleet::of(1);
    fleet.warm(0, "synthetic-1");
    let entry = fleet.redis.entries().remove(0);
    fleet.redis.ask::<()>(&["DEL", &entry]);
    fleet.redis.ask::<()>(&["SET", &entry.replace(":urls", ":lock"), "somebody"]);
    let gateway = Gateway::configured(&fleet.configuration(), "");

    let answer = gateway.get(&urls_path("synthetic-1"), &[("Authorization", &format!("Bearer {}", fleet.token()))]);

    assert_cache_status(&answer, "fwd=miss; stored");
}

#[test]
fn keys_are_rotated_without_losing_what_is_there() {
    let mut fleet = Fleet::of(1);
    fleet.warm(0, "synthetic-1");
    let reloads = |fleet: &Fleet| fleet.metrics(0).contains("reloads_total{result=\"ok\",what=\"shared_cache\"} 1\n");

    fs::write(fleet.key_file(), format!("{NEWER_KEY}\n{KEY}\n")).unwrap();
    eventually("the newer key is in force", || reloads(&fleet));
    fleet.add("");
    assert_cache_status(&fleet.get(1, &urls_path("synthetic-1")), "; hit; ttl=");
    fleet.warm(0, "synthetic-2");
    assert_cache_status(&fleet.get(1, &urls_path("synthetic-2")), "; hit; ttl=");
    fs::write(fleet.key_file(), NEWER_KEY).unwrap();
    fleet.add("");

    assert_cache_status(&fleet.get(2, &urls_path("synthetic-2")), "; hit; ttl=");
    assert_cache_status(&fleet.get(2, &urls_path("synthetic-1")), "fwd=miss; stored");
}

#[test]
fn who_has_another_key_is_served_all_the_same() {
    let mut fleet = Fleet::of(1);
    fleet.warm(0, "synthetic-1");
    fs::write(fleet.key_file(), NEWER_KEY).unwrap();
    fleet.add("");

    assert_cache_status(&fleet.get(1, &urls_path("synthetic-1")), "fwd=miss; stored");

    assert_eq!(fleet.calls_for("synthetic-1"), 2);
}

#[test]
fn a_gateway_that_dies_while_it_fetches_leaves_the_fetch_to_another() {
    let mut fleet = Fleet::of(2);
    fleet.sandbox.control().inject(Fault::api(Effect::LatencyMs(900)).times(1));
    let path = urls_path("synthetic-1");
    let first = send(&fleet.gateways[0], &path, &fleet.token());
    eventually("the first one calls", || fleet.calls_for("synthetic-1") == 1);

    fleet.gateways.remove(0);
    let answer = fleet.get(0, &path);

    drop(first);
    assert_cache_status(&answer, "fwd=miss; stored");
    assert_eq!(fleet.calls_for("synthetic-1"), 2);
}

#[test]
fn who_waits_for_another_gateway_keeps_its_own_deadline() {
    let mut fleet = Fleet::with(1, "GATEWAY_TENCENT__TIMEOUT=5s");
    fleet.add("GATEWAY_SERVER__REQUEST_TIMEOUT=300ms\nGATEWAY_SHARED__TIMEOUT=75ms");
    fleet.sandbox.control().inject(Fault::api(Effect::LatencyMs(1500)).times(1));
    let path = urls_path("synthetic-1");
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| fleet.get(0, &path));
        eventually("the first one calls", || fleet.calls_for("synthetic-1") == 1);
        let second = fleet.get(1, &path);
        (first.join().unwrap(), second)
    });

    assert_cache_status(&first, "fwd=miss; stored");
    second.assert_problem(504, "upstream_timeout");
    assert_eq!(fleet.calls_for("synthetic-1"), 1);
}

#[test]
fn who_hangs_up_in_the_line_of_one_gateway_does_not_keep_another_waiting() {
    let fleet = Fleet::with(2, "GATEWAY_RATE_LIMIT__REQUESTS_PER_SECOND=1\nGATEWAY_RATE_LIMIT__MAX_WAIT=20s");
    let path = urls_path("synthetic-9");
    assert_eq!(fleet.get(0, &urls_path("synthetic-1")).status, 200);
    let ask = |path: &str| send(&fleet.gateways[0], path, &fleet.token());
    let waiting: Vec<_> = (5..9).map(|number| ask(&urls_path(&format!("synthetic-{number}")))).collect();
    let last = ask(&path);
    let locks = || fleet.redis.dump().into_keys().filter(|key| key.ends_with(":lock")).count();
    eventually("all of them hold their locks", || locks() == 5);

    drop(last);
    let answer = fleet.get(1, &path);

    drop(waiting);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn an_entry_of_one_gateway_bridges_an_outage_at_another() {
    // What a temporary key signed is fresh for a second here, and of use for hours.
    let fleet = Fleet::with(2, "GATEWAY_CACHE__TOKEN_URL_MAX=1s\nGATEWAY_TENCENT__MAX_RETRIES=0");
    fleet.sandbox.control().update(|settings| settings.urls.security_token = true);
    fleet.warm(0, "synthetic-1");
    wait(Duration::from_millis(1100));
    fleet.sandbox.control().inject(Fault::api(Effect::Reset));

    let answer = fleet.get(1, &urls_path("synthetic-1"));

    assert_cache_status(&answer, "detail=stale-if-error");
    assert_eq!(fleet.looks(1, "stale"), 1);
}

#[test]
fn the_password_of_the_store_stands_in_no_log() {
    let redis = Redis::with(&["--user", "gateway", "on", ">hunter2-hunter2", "~rbg:*", "&rbg:*", "+@all"]);
    let mut fleet = Fleet::around(redis, 0, "");
    let password = fleet.files.path().join("password");
    fs::write(&password, "hunter2-hunter2\n").unwrap();
    let overrides = format!(
        "GATEWAY_LOG__LEVEL=trace\nGATEWAY_SHARED__USERNAME=gateway\nGATEWAY_SHARED__PASSWORD_FILE={}",
        password.display()
    );

    fleet.add(&overrides);
    fleet.warm(0, "synthetic-1");
    fs::write(&password, "another-wrong-one").unwrap();
    fleet.redis.ask::<()>(&["CLIENT", "KILL", "TYPE", "normal"]);
    eventually("the store does not know it any more", || {
        fleet.gateways[0].log.lock().unwrap().contains("does not know us")
    });

    let log = fleet.gateways[0].log.lock().unwrap();
    assert!(!log.contains("hunter2") && !log.contains("another-wrong-one"));
}

/// Sends a request and leaves its answer unread.
pub fn send(gateway: &Gateway, path: &str, token: &str) -> std::net::TcpStream {
    let mut socket = std::net::TcpStream::connect(gateway.public).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n");
    std::io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
    socket
}

#[test]
fn names_in_the_store_differ_by_account_and_restriction() {
    let mut fleet = Fleet::of(1);
    fleet.add("GATEWAY_TENCENT__ACCOUNT=other");
    fleet.add("GATEWAY_TENCENT__DOWNLOAD__LIMIT_TYPE=NoLimit");

    for at in 0..3 {
        fleet.warm(at, "synthetic-1");
    }

    assert_eq!(fleet.redis.entries().into_iter().collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(fleet.calls_for("synthetic-1"), 3);
}

#[test]
fn what_all_are_asked_for_costs_one_call_however_many_gateways_there_are() {
    const BACKUPS: u32 = 150;
    for size in [1, 2, 4] {
        let fleet = Fleet::with(
            size,
            "GATEWAY_RATE_LIMIT__REQUESTS_PER_SECOND=5000\nGATEWAY_RATE_LIMIT__PER_CALLER__BURST=100000",
        );
        fleet.sandbox.control().update(|settings| settings.requests_per_second = 100_000);
        let token = format!("Bearer {}", fleet.token());
        let began = started();

        thread::scope(|scope| {
            for gateway in &fleet.gateways {
                let token = &token;
                scope.spawn(move || {
                    let client = Client::at(gateway.public, token);
                    for number in 0..BACKUPS {
                        assert_eq!(client.get(&urls_path(&known::synthetic_backup(number))).status, 200);
                    }
                });
            }
        });

        let took = began.elapsed();
        let counters = fleet.sandbox.control().counters();
        let stats: String = fleet.redis.ask(&["INFO", "commandstats"]);
        let scripts = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
        // For the table of docs/shared.md; shown by --nocapture.
        eprintln!("{size} gateways, {BACKUPS} backups at each: {took:?}, {scripts}");
        assert_eq!(counters.calls_of("DescribeBackupUrl"), u64::from(BACKUPS), "{size} gateways");
        assert!(counters.backups.values().all(|calls| *calls == 1), "{:?}", counters.backups);
    }
}
