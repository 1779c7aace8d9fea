//! The model that the simulations ask, and the scripts themselves in a real `redis-server`: the same requests at the
//! same moments get the same answers.
//!
//! The scripts read the server's clock and run id in two lines of their prelude; here they are told both, so that hours
//! pass in no time. That the real lines work is a test of its own.

use std::{
    num::NonZeroU32,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis::{Connection, Script};
use redis_backup_gateway::quota::shared::{
    Agreement,
    protocol::{self, Books, Envelope, Known, Outcome, Purpose, Renewal, Reply, Settled, Take},
};
use tempfile::TempDir;

use crate::{
    chance::Chance,
    fleet::agreement,
    ms,
    store::{Server, Store},
};

const READS_CLOCK: &str = "redis.call('TIME')";
const READS_INFO: &str = "redis.call('INFO', 'server')";

/// A server of the test's own, on a socket of its own, killed with it.
struct Redis {
    child: Child,
    _folder: TempDir,
    connection: Connection,
}

impl Redis {
    fn start() -> Self {
        let folder = TempDir::new().expect("a folder for the socket");
        let socket = folder.path().join("redis.sock");
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"])
            .arg(folder.path())
            .arg("--unixsocket")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed: scripts/test sees to it");
        let connection = connect(&socket, &mut child);
        Self { child, _folder: folder, connection }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries until the server answers; it has no other way to say that it is there.
#[expect(clippy::disallowed_methods, reason = "there is nothing to wait for but time, and the test has one thread")]
fn connect(socket: &Path, child: &mut Child) -> Connection {
    let client = redis::Client::open(format!("unix://{}", socket.display())).expect("the address is one");
    for _ in 0..1000 {
        if let Ok(connection) = client.get_connection() {
            return connection;
        }
        assert!(child.try_wait().expect("it can be asked").is_none(), "redis-server ended at once");
        std::thread::sleep(ms(10));
    }
    panic!("redis-server does not answer");
}

/// The scripts with their clock and their run id in our hands.
fn told(script: &str) -> Script {
    let told = |script: &str, reads: &str, told: &str| {
        assert_eq!(script.matches(reads).count(), 1, "{reads}");
        script.replace(reads, told)
    };
    let script = told(script, READS_CLOCK, "redis.call('HMGET', 'told', 'seconds', 'micros')");
    Script::new(&told(&script, READS_INFO, "redis.call('HGET', 'told', 'info')"))
}

fn ask(script: &Script, keys: &[String], arguments: &[String], connection: &mut Connection) -> Vec<String> {
    let mut invocation = script.prepare_invoke();
    for key in keys {
        invocation.key(key);
    }
    for argument in arguments {
        invocation.arg(argument);
    }
    invocation.invoke(connection).expect("the script runs")
}

/// One replica, as far as a trace needs it.
#[derive(Clone, Debug)]
struct Replica {
    name: String,
    /// Numbers of tokens that it was granted, or believes that it was.
    open: Vec<u64>,
    next_number: u64,
}

struct Trace {
    chance: Chance,
    redis: Redis,
    model: Store,
    take: Script,
    renew: Script,
    agreement: Agreement,
    now: u64,
    run: u32,
    replicas: Vec<Replica>,
    granted: usize,
    outcomes: [usize; 4],
}

const BUCKETS: u32 = 2;

fn bucket_keys(bucket: u32) -> Vec<String> {
    ["pace", "open", "away", "line"].map(|part| format!("rbg:{{quota:test}}:{bucket}:{part}")).to_vec()
}

fn fleet_keys() -> Vec<String> {
    vec!["rbg:{quota:test}:fleet".to_owned(), "rbg:{quota:test}:members".to_owned()]
}

impl Trace {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::seeded(seed);
        let replicas = chance.one_of(&[1, 2, 3, 5, 21]);
        let agreement = Agreement {
            tokens: chance.one_of(&[1, 5, 20]),
            guard: chance.one_of(&[ms(0), ms(50)]),
            replicas: NonZeroU32::new(replicas).expect("at least one"),
            ..agreement(replicas)
        };
        let replicas = (0..chance.between(1, u64::from(replicas.min(4)) + 1))
            .map(|number| Replica { name: format!("replica{number}"), open: Vec::new(), next_number: 0 })
            .collect();
        Self {
            chance,
            redis: Redis::start(),
            model: Store::default(),
            take: told(protocol::TAKE),
            renew: told(protocol::RENEW),
            agreement,
            now: 1_800_000_000_000_000,
            run: 1,
            replicas,
            granted: 0,
            outcomes: [0; 4],
        }
    }

    fn run(&self) -> String {
        format!("{:040x}", self.run)
    }

    fn step(&mut self) {
        self.pass_time();
        let index = self.chance.between(0, self.replicas.len() as u64 - 1) as usize;
        let envelope = Envelope {
            run: match self.chance.between(0, 40) {
                0 => String::new(),
                1 => format!("{:040x}", self.run + 1),
                _ => self.run(),
            },
            void_after: self.now + 1000 - if self.chance.happens(2) { 2000 } else { 0 },
            replica: self.replicas[index].name.clone(),
            agreement: self.agreement,
        };
        if self.chance.happens(45) {
            self.renews(index, &envelope);
        } else {
            self.takes(index, &envelope);
        }
    }

    /// Mostly a little; at times so much that leases lapse; seldom so much that somebody is forgotten, backwards, or on
    /// another server.
    fn pass_time(&mut self) {
        let micros = match self.chance.between(0, 400) {
            0 => 4_000_000_000,
            1 => 11_000_000,
            2 => 70_000_000,
            3..=10 => self.chance.between(300_000, 3_000_000),
            _ => self.chance.between(0, 30_000),
        };
        self.now += micros;
        if self.chance.between(0, 900) == 0 {
            self.now -= self.chance.one_of(&[5_000, 700_000]);
        }
        if self.chance.between(0, 900) == 0 {
            self.run += 1;
            self.now = self.now + 30_000_000 - self.chance.one_of(&[0, 60_000_000]);
        }
        redis::cmd("HSET")
            .arg("told")
            .arg(&["seconds", &(self.now / 1_000_000).to_string()])
            .arg(&["micros", &(self.now % 1_000_000).to_string()])
            .arg("info")
            .arg(format!("# Server\r\nrun_id:{}\r\n", self.run()))
            .exec(&mut self.redis.connection)
            .expect("it takes what it is told");
    }

    fn takes(&mut self, index: usize, envelope: &Envelope) {
        let bucket = self.chance.between(0, u64::from(BUCKETS) - 1) as u32;
        let settled = self.settles(index);
        let take = Take {
            first: self.replicas[index].next_number,
            want: self.chance.one_of(&[0, 1, 1, 2, 7, 25]),
            refused: self.chance.happens(3).then(|| self.chance.duration(ms(0), ms(1500))),
            settled,
        };
        let mut keys = fleet_keys();
        keys.extend(bucket_keys(bucket));
        let real = ask(&self.take, &keys, &take.arguments(envelope), &mut self.redis.connection);
        let real = Reply::of_take(&real).expect("the script answers as it says");
        let run = self.run();
        let server = Server { run: &run, now: self.now };
        let model = self.model.take(&server, envelope, bucket, &take);
        assert_eq!(real, model, "{envelope:?} {take:?}");
        self.count(&real);
        if let Outcome::Done(granted) = real.outcome {
            let replica = &mut self.replicas[index];
            replica.open.extend((take.first..).take(granted.used_from.len()));
            replica.next_number += granted.used_from.len() as u64;
            self.granted += granted.used_from.len();
        }
    }

    fn renews(&mut self, index: usize, envelope: &Envelope) {
        let purpose = match self.chance.between(0, 40) {
            0 => Purpose::Leave,
            1..=4 => Purpose::Void,
            5..=14 => Purpose::Join,
            _ => Purpose::Stay,
        };
        let books = (0..BUCKETS)
            .map(|_| {
                let settled = self.settles(index);
                let open = self.replicas[index].open.clone();
                Books { waits: self.chance.happens(50), settled, open }
            })
            .collect();
        let all = self.chance.between(1, 4);
        let known = Known { all: all as u32, recent: self.chance.between(1, all) as u32 };
        let renewal = Renewal { purpose, known, books };
        let mut keys = fleet_keys();
        keys.extend((0..BUCKETS).flat_map(bucket_keys));
        let real = ask(&self.renew, &keys, &renewal.arguments(envelope), &mut self.redis.connection);
        let real = Reply::of_renewal(&real).expect("the script answers as it says");
        let buckets: Vec<_> = (0..BUCKETS).collect();
        let run = self.run();
        let server = Server { run: &run, now: self.now };
        let model = self.model.renew(&server, envelope, &buckets, &renewal);
        assert_eq!(real, model, "{envelope:?} {renewal:?}");
        self.count(&real);
    }

    /// Some tokens are said to settle: of what was granted, of either bucket, and now and then one that never was.
    fn settles(&mut self, index: usize) -> Vec<Settled> {
        let mut settled = Vec::new();
        while self.chance.happens(40) {
            let open = &mut self.replicas[index].open;
            let number = if open.is_empty() { 999_999 } else { open.remove(0) };
            let back_in = self.chance.duration(ms(0), ms(1100));
            settled.push(Settled { number, back_in: if self.chance.happens(20) { Duration::ZERO } else { back_in } });
        }
        settled
    }

    fn count<T>(&mut self, reply: &Reply<T>) {
        self.outcomes[match reply.outcome {
            Outcome::Done(_) => 0,
            Outcome::Moved => 1,
            Outcome::Late => 2,
            Outcome::Lapsed => 3,
        }] += 1;
    }
}

#[test]
fn the_scripts_answer_what_the_model_answers() {
    let (mut granted, mut outcomes) = (0, [0; 4]);
    for seed in 0..12 {
        let mut trace = Trace::new(seed);
        for _ in 0..2000 {
            trace.step();
        }
        granted += trace.granted;
        outcomes.iter_mut().zip(trace.outcomes).for_each(|(all, some)| *all += some);
    }

    assert!(granted > 1000, "only {granted} tokens were granted");
    assert!(outcomes.iter().all(|&count| count > 100), "some outcome was hardly tried: {outcomes:?}");
}

#[test]
fn every_key_ends_by_itself_and_begins_with_the_prefix() {
    let mut trace = Trace::new(1);
    while trace.granted < 200 {
        trace.step();
    }

    let keys: Vec<String> = redis::cmd("KEYS").arg("rbg:{quota:test}:*").query(&mut trace.redis.connection).unwrap();
    let all: usize = redis::cmd("DBSIZE").query(&mut trace.redis.connection).unwrap();

    assert_eq!(keys.len() + 1, all, "all but what the test tells");
    assert!(keys.len() > 6, "{keys:?}");
    for key in keys {
        let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut trace.redis.connection).unwrap();
        assert!((1..=86_400_000).contains(&left), "{key}: {left}");
    }
}

#[test]
fn every_key_ends_by_itself_whatever_an_emptied_server_is_asked_first() {
    let mut redis = Redis::start();
    let (take, renew) = (Script::new(protocol::TAKE), Script::new(protocol::RENEW));
    let info: String = redis::cmd("INFO").arg("server").query(&mut redis.connection).unwrap();
    let run = info.lines().find_map(|line| line.strip_prefix("run_id:")).expect("it has one").trim().to_owned();
    let void_after = 4_000_000_000_000_000;
    let envelope =
        |run: &str| Envelope { run: run.to_owned(), void_after, replica: "a".to_owned(), agreement: agreement(3) };
    let renewals = [Purpose::Join, Purpose::Stay, Purpose::Void, Purpose::Leave].map(|purpose| {
        Renewal { purpose, known: Known::ALONE, books: vec![Books::default()] }.arguments(&envelope(&run))
    });
    let look_up = Renewal { purpose: Purpose::Stay, known: Known::ALONE, books: Vec::new() }.arguments(&envelope(""));
    let takes =
        [0, 1].map(|want| Take { first: 0, want, refused: None, settled: Vec::new() }.arguments(&envelope(&run)));
    let requests = renewals.iter().chain([&look_up]).map(|arguments| (&renew, arguments));

    for (script, arguments) in requests.chain(takes.iter().map(|arguments| (&take, arguments))) {
        redis::cmd("FLUSHALL").exec(&mut redis.connection).expect("it empties itself");
        let mut keys = fleet_keys();
        keys.extend(bucket_keys(0));
        let answer = ask(script, &keys, arguments, &mut redis.connection);

        let kept: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis.connection).unwrap();
        assert!(!kept.is_empty(), "{answer:?}");
        for key in kept {
            let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut redis.connection).unwrap();
            assert!((1..=86_400_000).contains(&left), "{key}: {left} after {arguments:?}: {answer:?}");
        }
    }
}

#[test]
fn the_scripts_read_the_servers_own_clock_and_run_id() {
    let mut redis = Redis::start();
    let info: String = redis::cmd("INFO").arg("server").query(&mut redis.connection).unwrap();
    let run = info.lines().find_map(|line| line.strip_prefix("run_id:")).expect("it has one").trim().to_owned();
    let time = |redis: &mut Redis| {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(&mut redis.connection).unwrap();
        seconds * 1_000_000 + micros
    };
    let envelope =
        Envelope { run: String::new(), void_after: 0, replica: "replica".to_owned(), agreement: agreement(3) };
    let nothing = Renewal { purpose: Purpose::Stay, known: Known::ALONE, books: Vec::new() };

    let before = time(&mut redis);
    let look_up = Script::new(protocol::RENEW);
    let reply = ask(&look_up, &fleet_keys(), &nothing.arguments(&envelope), &mut redis.connection);
    let after = time(&mut redis);

    let reply = Reply::of_renewal(&reply).expect("it answers as it says");
    assert_eq!((reply.run, reply.outcome), (run, Outcome::Moved));
    assert!((before..=after).contains(&reply.now));
}
