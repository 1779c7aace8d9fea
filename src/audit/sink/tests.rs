use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _, unix::net::UnixStream},
    path::Path,
};

use futures_util::future::join_all;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    super::{
        chain::verify::{Verified, Verifier},
        key::testing::{key_file, keys},
        record::testing::record_of,
    },
    batch::Batch,
    queue::Slot,
    *,
};

/// A folder with a key file and a place for records.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.set_keys(&[7]);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn set_keys(&self, keys: &[u8]) {
        fs::write(self.path("key"), key_file(keys)).unwrap();
    }

    fn settings(&self) -> Settings {
        let sink = Sink::File { path: self.path("audit"), key_file: self.path("key") };
        Settings { sink, timeout: Duration::from_secs(5) }
    }

    fn start(&self) -> Audit {
        Audit::start(&self.settings(), Clock::machine()).unwrap()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }
}

/// An audit over something that is not a file, with the keys of `keys(7, &[])`.
fn over(sink: impl Into<OwnedFd>, timeout: Duration) -> Audit {
    let settings = Settings { sink: Sink::Stdout { key_file: None }, timeout };
    let output = Output::stream(File::from(sink.into()));
    Audit::over(output, None, keys(7, &[]), &settings, Clock::machine()).unwrap()
}

/// What a worker does: one thread, everything on it.
fn on_a_worker<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

async fn write(desk: &Desk, numbers: std::ops::Range<u128>) -> Vec<Result<(), AuditError>> {
    join_all(numbers.map(|number| async move { desk.write(&record_of("alice", number), 200).await })).await
}

fn verify(bytes: &[u8], keys: &Keys) -> Verified {
    let mut verifier = Verifier::new(keys, None);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        verifier.line(line.strip_suffix(b"\n").expect("no line is torn at the end")).unwrap();
    }
    verifier.finish().unwrap()
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Event id and status of each record.
fn outline(bytes: &[u8]) -> Vec<(u64, u64)> {
    let number = |line: &Value| u64::from_str_radix(line["event_id"].as_str()?, 16).ok();
    lines(bytes).iter().map(|line| (number(line).unwrap(), line["status"].as_u64().unwrap())).collect()
}

#[test]
fn a_record_is_in_the_file_before_the_request_hears_of_it() {
    let folder = Folder::new();
    let audit = folder.start();
    let desk = audit.desk();

    on_a_worker(async {
        for number in 1..4 {
            assert_eq!(write(&desk, number..number + 1).await, [Ok(())]);
            assert_eq!(lines(&folder.read("audit")).len() as u128, number);
        }
    });

    let file = folder.read("audit");
    let verified = verify(&file, &keys(7, &[]));
    assert_eq!(verified.head.map(|(_, link)| link), audit.head());
    assert_eq!(lines(&file)[2]["seq"], 3);
    assert_eq!(fs::metadata(folder.path("audit")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_requests_of_one_turn_and_of_several_workers_share_one_chain() {
    let folder = Folder::new();
    let audit = folder.start();

    thread::scope(|scope| {
        for worker in 0..4 {
            let audit = &audit;
            scope.spawn(move || {
                on_a_worker(async {
                    let desk = audit.desk();
                    for turn in 0..20 {
                        let first = worker * 10_000 + turn * 100;
                        let written = write(&desk, first..first + 50).await;
                        assert!(written.iter().all(Result::is_ok));
                    }
                });
            });
        }
    });

    let verified = verify(&folder.read("audit"), &keys(7, &[]));
    assert_eq!((verified.records, verified.segments), (4000, 1));
}

#[test]
fn a_chain_goes_on_over_restarts_and_over_a_torn_line() {
    let folder = Folder::new();
    let start_and_write = |number| {
        let audit = folder.start();
        let desk = audit.desk();
        on_a_worker(async {
            assert_eq!(write(&desk, number..number + 2).await, [Ok(()), Ok(())]);
            audit.close().await;
        });
        wait_for_lock(&folder.path("audit"));
    };

    start_and_write(1);
    start_and_write(3);
    OpenOptions::new().append(true).open(folder.path("audit")).unwrap().write_all(b"{\"time\":\"2026").unwrap();
    start_and_write(5);
    let length = fs::metadata(folder.path("audit")).unwrap().len();
    File::options().write(true).open(folder.path("audit")).unwrap().set_len(length - 1).unwrap();
    start_and_write(7);

    let file = folder.read("audit");
    let verified = verify(&file, &keys(7, &[]));
    assert_eq!((verified.records, verified.segments, verified.torn.len()), (8, 4, 1));
    assert!(file.ends_with(b"\n"));
}

/// The writer's thread lets the file go a moment after it was closed.
fn wait_for_lock(path: &Path) {
    File::open(path).unwrap().lock().unwrap();
}

#[test]
fn what_nobody_waits_for_is_written_too_even_where_the_worker_ends() {
    let folder = Folder::new();
    let audit = folder.start();
    let (idle, busy) = (audit.desk(), audit.desk());

    idle.write_unattended(&record_of("alice", 1), 499);
    on_a_worker(async {
        assert_eq!(write(&busy, 2..3).await, [Ok(())]);
        busy.write_unattended(&record_of("alice", 3), 499);
    });
    drop(busy);
    on_a_worker(audit.close());

    assert_eq!(outline(&folder.read("audit")), [(1, 499), (2, 200), (3, 499)]);
}

#[test]
fn a_crowd_that_hangs_up_while_there_is_no_room_is_told_of_in_a_few_lines() {
    let folder = Folder::new();
    let audit = folder.start();
    let log = File::create(folder.path("log")).unwrap();
    let subscriber = tracing_subscriber::fmt().with_writer(Mutex::new(log)).finish();

    on_a_worker(async {
        let desk = audit.desk();
        assert_eq!(write(&desk, 1..2).await, [Ok(())]);
        let hang_up = || (2..20_000).for_each(|number| desk.write_unattended(&record_of("alice", number), 499));
        tracing::subscriber::with_default(subscriber, hang_up);
        drop(desk);
        audit.close().await;
    });

    let log = String::from_utf8(folder.read("log")).unwrap();
    let lost = 19_999 - outline(&folder.read("audit")).len();
    assert!(lost > 100, "{lost}");
    assert_eq!(log.matches("too slow for the record of a request that was given up").count(), 5, "{log}");
}

#[test]
fn two_gateways_do_not_write_one_file_and_no_other_file_is_taken_for_an_audit() {
    let folder = Folder::new();
    let _audit = folder.start();

    let second = Audit::start(&folder.settings(), Clock::machine());
    fs::write(folder.path("hosts"), "127.0.0.1 localhost\n").unwrap();
    let sink = Sink::File { path: folder.path("hosts"), key_file: folder.path("key") };
    let foreign = Audit::start(&Settings { sink, ..folder.settings() }, Clock::machine());
    let sink = Sink::File { path: folder.path("no/such/folder"), key_file: folder.path("key") };
    let nowhere = Audit::start(&Settings { sink, ..folder.settings() }, Clock::machine());

    assert!(matches!(second.as_ref().map_err(Vec::as_slice), Err([StartError::Open(OpenError::Locked { .. })])));
    assert!(matches!(foreign.as_ref().map_err(Vec::as_slice), Err([StartError::Open(OpenError::Foreign { .. })])));
    assert!(matches!(nowhere.as_ref().map_err(Vec::as_slice), Err([StartError::Open(OpenError::Io { .. })])));
}

#[test]
fn a_full_disk_is_an_error_for_each_record() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let audit = over(full, Duration::from_secs(5));
    let desk = audit.desk();

    let outcomes = on_a_worker(write(&desk, 1..4));

    assert_eq!(outcomes, [Err(AuditError::Refused); 3]);
    assert!(audit.is_failing());
    assert_eq!(audit.head(), None);
}

/// A socket that does not block takes a part and then refuses, as a disk does that becomes full.
#[test]
fn a_line_that_was_torn_is_closed_and_what_is_owed_is_written_once_there_is_room() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let audit = over(ours, Duration::from_secs(5));
    let desk = audit.desk();
    let mut received = Vec::new();

    on_a_worker(async {
        let outcomes = write(&desk, 1..2000).await;
        let refused = outcomes.iter().position(Result::is_err).expect("the socket is full at some time");
        assert!(refused > 0, "something went through");
        assert!(outcomes[..refused].iter().all(Result::is_ok));
        assert!(outcomes[refused..].iter().all(|outcome| *outcome == Err(AuditError::Refused)));
        assert!(audit.is_failing());

        theirs.set_nonblocking(true).unwrap();
        while audit.is_failing() {
            let _ = theirs.read_to_end(&mut received);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let _ = theirs.read_to_end(&mut received);
        assert_eq!(write(&desk, 5000..5001).await, [Ok(())]);
        audit.close().await;
        let _ = theirs.read_to_end(&mut received);

        let verified = verify(&received, &keys(7, &[]));
        assert!(!verified.torn.is_empty(), "a line was torn");
        let torn: Vec<u64> = verified.torn.iter().map(|place| place.line).collect();
        let whole: Vec<u8> = received
            .split_inclusive(|byte| *byte == b'\n')
            .zip(1_u64..)
            .filter(|(_, line)| !torn.contains(line))
            .flat_map(|(bytes, _)| bytes.iter().copied())
            .collect();
        let outline = outline(&whole);
        for (number, outcome) in (1..).zip(&outcomes) {
            let status = if outcome.is_ok() { 200 } else { 503 };
            assert_eq!(outline.iter().filter(|(event, _)| *event == number).collect::<Vec<_>>(), [&(number, status)]);
        }
        assert_eq!(outline.last(), Some(&(5000, 200)));
    });
}

#[test]
fn a_stalled_sink_is_told_in_time_lets_nobody_in_and_what_it_took_late_is_taken_back() {
    const TIMEOUT: Duration = Duration::from_millis(300);
    const TICK: Duration = Duration::from_millis(5);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let audit = over(ours, TIMEOUT);
    let desk = audit.desk();
    let clock = Clock::machine();
    let mut received = None;

    on_a_worker(async {
        let began = clock.monotonic();
        // More than a socket holds, and a few that come while the writer is stuck in it.
        let (stuck, behind) = futures_util::join!(write(&desk, 1..600), async {
            tokio::time::sleep(TIMEOUT / 2).await;
            write(&desk, 3000..3003).await
        });
        let waited = clock.monotonic() - began;
        assert_eq!(stuck, vec![Err(AuditError::TooSlow); 599]);
        assert_eq!(behind, [Err(AuditError::TooSlow); 3]);
        assert!((TIMEOUT..TIMEOUT * 10).contains(&waited), "{waited:?}");
        assert!(audit.is_failing());

        let began = clock.monotonic();
        assert_eq!(write(&desk, 4000..4001).await, [Err(AuditError::TooSlow)]);
        assert!(clock.monotonic() - began < TIMEOUT / 2);

        received = Some(thread::spawn(move || {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).unwrap();
            received
        }));
        while audit.is_failing() {
            tokio::time::sleep(TICK).await;
        }
        assert_eq!(write(&desk, 5000..5001).await, [Ok(())]);
        audit.close().await;
    });
    let received = received.unwrap().join().unwrap();

    assert_eq!(verify(&received, &keys(7, &[])).torn, []);
    let outline = outline(&received);
    for number in (1..600).chain(3000..3003) {
        let last = outline.iter().rfind(|(event, _)| *event == number);
        assert_eq!(last, Some(&(number, 503)), "what was withheld says so in the end");
    }
    assert_eq!(outline.iter().filter(|(event, status)| *event < 5000 && *status == 200).count(), 599);
    assert!(!outline.iter().any(|(event, _)| *event == 4000));
    assert!(outline.contains(&(5000, 200)));
}

#[test]
fn a_renamed_file_is_left_and_a_new_one_goes_on_with_the_chain() {
    let folder = Folder::new();
    let audit = folder.start();
    let desk = audit.desk();

    on_a_worker(async {
        write(&desk, 1..3).await;
        audit.reopen().unwrap();
        write(&desk, 3..4).await;
        fs::rename(folder.path("audit"), folder.path("audit.1")).unwrap();
        write(&desk, 4..5).await;
        audit.reopen().unwrap();
        write(&desk, 5..7).await;
    });

    let (old, new) = (folder.read("audit.1"), folder.read("audit"));
    assert_eq!(outline(&old).len(), 4);
    assert_eq!(lines(&old).last().unwrap()["segment"], lines(&old)[0]["segment"]);
    assert_eq!(outline(&new).len(), 2);
    assert_eq!(lines(&new)[0]["seq"], 1);
    assert_eq!(lines(&new)[0]["prev"], lines(&old)[3]["hash"]);
    assert_eq!(verify(&[old, new].concat(), &keys(7, &[])).records, 6);
}

#[test]
fn a_new_key_begins_a_segment_that_names_it_and_a_bad_one_changes_nothing() {
    let folder = Folder::new();
    let audit = folder.start();
    let desk = audit.desk();
    let fingerprints = |audit: &Audit| audit.fingerprints(["https://h/1"]);
    let before = fingerprints(&audit);

    on_a_worker(async {
        write(&desk, 1..3).await;
        fs::write(folder.path("key"), "hunter2").unwrap();
        let refused = audit.reopen().unwrap_err().to_string();
        assert!(refused.starts_with("audit.key_file: ") && !refused.contains("hunter2"), "{refused}");
        assert_eq!(fingerprints(&audit), before);
        write(&desk, 3..4).await;
        folder.set_keys(&[8, 7]);
        audit.reopen().unwrap();
        write(&desk, 4..6).await;
    });

    let file = folder.read("audit");
    assert_ne!(fingerprints(&audit), before);
    let segment = |index: usize| lines(&file)[index]["segment"].as_str().unwrap().to_owned();
    assert!(segment(2).starts_with(&keys(7, &[]).current().id().to_string()));
    assert!(segment(3).starts_with(&keys(8, &[]).current().id().to_string()));
    assert_eq!(verify(&file, &keys(8, &[7])).segments, 2);
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_written_on() {
    let folder = Folder::new();
    let audit = folder.start();
    let desk = audit.desk();

    on_a_worker(async {
        write(&desk, 1..2).await;
        fs::rename(folder.path("audit"), folder.path("audit.1")).unwrap();
        fs::create_dir(folder.path("audit")).unwrap();
        assert!(matches!(audit.reopen(), Err(ReopenError::Open(OpenError::Io { .. }))));
        assert_eq!(write(&desk, 2..3).await, [Ok(())]);
        audit.close().await;
        assert!(matches!(audit.reopen(), Err(ReopenError::Ended)));
    });

    assert_eq!(outline(&folder.read("audit.1")).len(), 2);
}

#[test]
fn nothing_of_the_key_shows() {
    let folder = Folder::new();
    let audit = folder.start();
    let shown = format!("{audit:?} {:?} {:?}", audit.desk(), folder.settings());

    assert!(!shown.contains(key_file(&[7]).trim()));
    assert!(!shown.contains("[7, 7"));
    assert!(!shown.contains("Hmac"));
}

#[test]
fn desks_that_end_hand_over_what_nobody_waited_for_before_they_are_counted_out() {
    let folder = Folder::new();
    let audit = folder.start();

    on_a_worker(async {
        let desk = audit.desk();
        let early = audit.desks_are_gone(Duration::from_millis(1)).await;
        desk.write_unattended(&record_of("alice", 1), 499);
        drop(desk);
        let gone = audit.desks_are_gone(Duration::from_secs(5)).await;
        audit.close().await;

        assert!(!early && gone);
    });

    assert_eq!(outline(&folder.read("audit")), [(1, 499)]);
}

/// A record of which whoever withholds it panics: its status stands where nothing is.
pub(super) fn unfit() -> Batch {
    let mut batch = Batch::default();
    batch.push(|bytes| {
        bytes.push(b'{');
        bytes.len() + 1
    });
    batch
}

#[test]
fn a_writer_that_panics_says_so_and_nothing_is_answered_any_more() {
    let folder = Folder::new();
    let audit = folder.start();
    let slot = Slot::default();
    slot.give_up(&AtomicBool::new(false));

    on_a_worker(async {
        let desk = audit.desk();
        let before = write(&desk, 1..2).await;
        audit.0.queue.push(Job::Write(unfit(), Arc::new(slot)));
        let ended = timeout(Duration::from_secs(10), audit.writer_has_ended()).await;
        let after = write(&desk, 2..3).await;

        assert_eq!((before, ended.is_ok(), after), (vec![Ok(())], true, vec![Err(AuditError::TooSlow)]));
    });

    assert!(audit.is_failing());
    assert!(matches!(audit.reopen(), Err(ReopenError::Ended)));
    verify(&folder.read("audit"), &keys(7, &[]));
}

#[test]
fn a_desk_whose_task_panics_strands_nobody_and_begins_anew() {
    const TIMEOUT: Duration = Duration::from_millis(300);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let audit = over(ours, TIMEOUT);
    let desk = audit.desk();

    on_a_worker(async {
        // The writer is stuck in what a socket does not hold; when that is late, what waits behind it is withheld.
        let (stuck, ()) = futures_util::join!(write(&desk, 1..600), async {
            tokio::time::sleep(TIMEOUT / 2).await;
            desk.replace_open(unfit());
        });
        let reading = thread::spawn(move || {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).unwrap();
            received
        });
        while audit.is_failing() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let after = write(&desk, 4000..4001).await;
        audit.close().await;

        assert_eq!(stuck, vec![Err(AuditError::TooSlow); 599]);
        assert_eq!(after, [Ok(())]);
        assert_eq!(outline(&reading.join().unwrap()).last(), Some(&(4000, 200)));
    });
}
