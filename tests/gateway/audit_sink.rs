//! No record, no URL: disks that are full, limits that are reached, pipes that nobody reads.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    audit::{NO_QUOTA, Records, lines},
    harness::{Answer, Stage, eventually, started},
};

/// Within this, the sink being well again is noticed.
const RECOVERY: Duration = Duration::from_secs(1);

/// A 503 that lets nothing of the withheld answer out.
fn assert_withheld(answer: &Answer) {
    answer.assert_problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
    let text = format!("{:?}{}", answer.headers, answer.text());
    assert!(!text.contains("http") && !text.contains("sign"), "{text}");
}

fn is_ready(stage: &Stage) -> bool {
    stage.gateway.ask(stage.gateway.admin, "GET", "/readyz", &[]).status == 200
}

/// Asks until an answer is withheld.
fn ask_until_withheld(stage: &Stage) -> Answer {
    for _ in 0..2000 {
        let answer = stage.get(&stage.seed_path());
        if answer.status != 200 {
            return answer;
        }
    }
    panic!("the sink never refuses");
}

fn assert_recovers(stage: &Stage, since: Instant) {
    eventually("it is ready again", || is_ready(stage));
    let took = since.elapsed();
    assert!(took < RECOVERY, "it took {took:?}");
    assert_eq!(stage.get(&stage.seed_path()).status, 200);
}

/// What was withheld says so in the end, and what left has its record.
fn assert_truthful(records: &[Value]) {
    assert!(records.iter().any(|record| record["status"] == 200));
    let withheld: Vec<_> = records.iter().filter(|record| record["status"] == 503).collect();
    assert!(!withheld.is_empty(), "what was withheld is written later");
    assert!(withheld.iter().all(|record| record["decision"] == "allow"));
}

#[test]
fn a_device_that_is_always_full_never_lets_a_url_leave() {
    let records = Records::new();
    let stage = Stage::with(&records.overrides(Some("/dev/full")));

    let withheld = [0; 5].map(|_| stage.get(&stage.seed_path()));
    let bad = stage.get("/instances/!/backups/1/urls");
    let ready = stage.gateway.ask(stage.gateway.admin, "GET", "/readyz", &[]);

    withheld.iter().for_each(assert_withheld);
    bad.assert_problem(503, "unavailable");
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["audit"], "failing");
    assert_eq!(stage.gateway.get("/healthz", &[]).status, 200);
}

/// A small filesystem of its own. Mounting needs root; where that is not to be had, the limit below stands for it.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path) -> Option<Self> {
        let options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
        let mount = Command::new("mount").args(options).arg(folder).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_filesystem_withholds_answers_and_recovers_once_there_is_space() {
    let records = Records::new();
    let disk = records.path("disk");
    fs::create_dir(&disk).unwrap();
    let Some(_mount) = Mount::new(&disk) else {
        eprintln!("no tmpfs can be mounted here: the limit of a file's size stands for a full disk, in the test below");
        return;
    };
    let stage = Stage::with(&records.overrides(Some(disk.join("audit").to_str().unwrap())));
    assert_eq!(stage.get(&stage.seed_path()).status, 200);

    let mut filler = File::create(disk.join("filler")).unwrap();
    while filler.write_all(&[0; 1024]).is_ok() {}
    let withheld = ask_until_withheld(&stage);
    let ready = is_ready(&stage);
    let again = stage.get(&stage.seed_path());
    drop(filler);
    fs::remove_file(disk.join("filler")).unwrap();
    let freed = started();

    assert_withheld(&withheld);
    assert!(!ready);
    assert_withheld(&again);
    assert_recovers(&stage, freed);
    assert_truthful(&records.read("disk/audit"));
    let (code, text) = records.command(&stage.sandbox, &["verify", "@disk/audit"]);
    assert_eq!(code, 0, "{text}");
}

/// The kernel takes a part of a record and refuses the rest, as a disk does that becomes full within one.
#[test]
fn a_limit_that_is_reached_within_a_record_tears_no_line_and_recovers_once_it_is_raised() {
    let records = Records::new();
    let stage = Stage::with(&records.overrides(None));
    let limit = |bytes: &str| {
        let pid = stage.gateway.pid().to_string();
        let status = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}")]).status();
        assert!(status.expect("util-linux is there").success());
    };
    assert_eq!(stage.get(&stage.seed_path()).status, 200);
    let length = fs::metadata(records.path("audit")).unwrap().len();

    limit(&format!("{}:", length + length / 2));
    let withheld = ask_until_withheld(&stage);
    let while_limited = fs::metadata(records.path("audit")).unwrap().len();
    let ready = is_ready(&stage);
    limit("unlimited:");
    let raised = started();

    assert_withheld(&withheld);
    assert_eq!(while_limited, length, "the part is taken back");
    assert!(!ready);
    assert_recovers(&stage, raised);
    let written = records.read("audit");
    assert_truthful(&written);
    assert_eq!(written.len(), 3);
    let (code, text) = records.command(&stage.sandbox, &["verify", "@audit"]);
    assert!(code == 0 && !text.contains("torn"), "{text}");
}

#[test]
fn a_pipe_that_nobody_reads_holds_nobody_up_but_those_who_want_urls() {
    const TIMEOUT: Duration = Duration::from_millis(400);
    let records = Records::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let key = records.path("key");
    let overrides = format!("GATEWAY_AUDIT__TIMEOUT=400ms\nGATEWAY_AUDIT__KEY_FILE={}{NO_QUOTA}", key.display());
    let stage = Stage::with_stdout(writer.into(), &overrides);

    let first = ask_until_withheld(&stage);
    let began = started();
    let others = [0; 3].map(|_| stage.get(&stage.seed_path()));
    let refused_in = began.elapsed();
    let began = started();
    let health = [stage.gateway.public, stage.gateway.admin]
        .map(|address| stage.gateway.ask(address, "GET", "/healthz", &[]).status);
    let healthy_in = began.elapsed();
    let ready = is_ready(&stage);
    let collected = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    let drained = started();

    assert_withheld(&first);
    others.iter().for_each(assert_withheld);
    assert!(refused_in < TIMEOUT, "who comes while it is stalled is told at once, not after {refused_in:?}");
    assert_eq!(health, [200, 200]);
    assert!(healthy_in < TIMEOUT, "{healthy_in:?}");
    assert!(!ready);
    assert_recovers(&stage, drained);
    let sandbox = {
        let Stage { sandbox, mut gateway } = stage;
        gateway.signal("TERM");
        assert_eq!(gateway.wait().code(), Some(0));
        sandbox
    };
    let text = collected.join().unwrap();
    assert_truthful(&lines(&text));
    fs::write(records.path("collected"), text).unwrap();
    let (code, said) = records.command(&sandbox, &["verify", "@collected"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_drain_writes_what_waits_and_says_the_head() {
    let records = Records::new();
    let mut stage = Stage::with(&records.overrides(None));
    let answered = [0; 20].map(|_| stage.get(&stage.seed_path()).status);

    stage.gateway.signal("TERM");
    let code = stage.gateway.wait().code();

    assert_eq!(answered, [200; 20]);
    assert_eq!(code, Some(0));
    let written = records.read("audit");
    assert_eq!(written.len(), 20);
    let log = stage.gateway.log.lock().unwrap().clone();
    assert!(log.contains(written[19]["hash"].as_str().unwrap()), "{log}");
}
