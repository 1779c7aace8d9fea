//! Many at once: one call for one backup, and never more than the upstream allows.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use sandbox::{Effect, Fault, known};

use crate::harness::{Stage, urls_path, wait};

#[test]
fn two_hundred_requests_for_one_cold_backup_make_one_call() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.latency_ms = 300);
    let tokens: Vec<_> = (0..20).map(|number| stage.token_of(&format!("caller-{number}"))).collect();

    let answers: Vec<_> = thread::scope(|scope| {
        let ask = |number: usize| {
            let authorization = format!("Bearer {}", tokens[number % tokens.len()]);
            let stage = &stage;
            scope.spawn(move || stage.gateway.get(&stage.seed_path(), &[("Authorization", &authorization)]))
        };
        let threads: Vec<_> = (0..200).map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    assert_eq!(stage.control().counters().calls_for_backup(known::ORDERS, known::SEED_BACKUP), 1);
    let collapsed = answers.iter().filter(|answer| answer.header("cache-status").unwrap().ends_with("collapsed"));
    assert!(collapsed.count() > 0);
    stage.gateway.records_of(200);
}

#[test]
fn forty_callers_who_ask_for_different_backups_share_the_quota_and_never_exceed_it() {
    let stage = Stage::new();
    let next = AtomicU32::new(0);
    let over = AtomicBool::new(false);
    let tokens: Vec<_> = (0..40).map(|number| stage.token_of(&format!("caller-{number}"))).collect();

    let answered: u32 = thread::scope(|scope| {
        let threads: Vec<_> = tokens
            .iter()
            .map(|token| {
                let (stage, next, over) = (&stage, &next, &over);
                scope.spawn(move || {
                    let authorization = format!("Bearer {token}");
                    let mut answered = 0;
                    while !over.load(Ordering::Relaxed) {
                        let backup = known::synthetic_backup(next.fetch_add(1, Ordering::Relaxed));
                        let answer = stage.gateway.get(&urls_path(&backup), &[("Authorization", &authorization)]);
                        assert!(matches!(answer.status, 200 | 429), "{}", answer.text());
                        answered += u32::from(answer.status == 200 && !over.load(Ordering::Relaxed));
                    }
                    answered
                })
            })
            .collect();
        wait(Duration::from_secs(5));
        over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });

    let counters = stage.control().counters();
    assert!(answered >= 90, "answered {answered}");
    assert!(counters.largest_rolling_second <= 20, "{counters:?}");
    assert_eq!(counters.refused, 0);
}

#[test]
fn a_caller_who_hangs_up_takes_the_fetch_from_nobody() {
    let stage = Stage::new();
    stage.control().inject(Fault::api(Effect::LatencyMs(400)).times(1));
    let authorization = format!("Bearer {}", stage.token());
    let request =
        format!("GET {} HTTP/1.1\r\nHost: gateway\r\nAuthorization: {authorization}\r\n\r\n", stage.seed_path());
    let mut leader = std::net::TcpStream::connect(stage.gateway.public).unwrap();
    std::io::Write::write_all(&mut leader, request.as_bytes()).unwrap();
    crate::harness::eventually("the call is under way", || {
        stage.control().counters().calls_of("DescribeBackupUrl") == 1
    });

    drop(leader);
    let follower = stage.get(&stage.seed_path());

    assert_eq!(follower.status, 200, "{}", follower.text());
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 1);
}

/// Sends a request and leaves its answer unread.
fn send(stage: &Stage, backup: &str) -> std::net::TcpStream {
    let mut socket = std::net::TcpStream::connect(stage.gateway.public).unwrap();
    let (path, token) = (urls_path(backup), stage.token());
    let request = format!("GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n");
    std::io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
    socket
}

#[test]
fn those_who_hang_up_in_the_queue_cost_no_token_and_are_written_down() {
    let stage = Stage::with("GATEWAY_RATE_LIMIT__REQUESTS_PER_SECOND=1\nGATEWAY_RATE_LIMIT__MAX_WAIT=9s");
    assert_eq!(stage.get(&urls_path("synthetic-1")).status, 200);
    let queued: Vec<_> = (10..15).map(|number| send(&stage, &known::synthetic_backup(number))).collect();
    let metrics = || stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
    let waiting = |count: u32| {
        metrics().contains(&format!("gateway_rate_limit_queue_length{{action=\"DescribeBackupUrl\"}} {count}\n"))
    };
    crate::harness::eventually("five wait", || waiting(5));

    drop(queued);
    crate::harness::eventually("nobody waits", || waiting(0));
    let patient = stage.get(&urls_path("synthetic-2"));

    assert_eq!(patient.status, 200, "{}", patient.text());
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 2);
    crate::harness::eventually("seven records are written", || stage.gateway.records().len() == 7);
    let hung_up = stage.gateway.records().iter().filter(|record| record["status"] == 499).count();
    assert_eq!(hung_up, 5);
}

#[test]
fn a_thousand_keys_asked_for_by_many_at_once_cost_one_call_each() {
    let stage =
        Stage::with("GATEWAY_RATE_LIMIT__REQUESTS_PER_SECOND=5000\nGATEWAY_RATE_LIMIT__PER_CALLER__BURST=100000");
    stage.control().update(|settings| settings.requests_per_second = 100_000);
    let tokens: Vec<_> = (0..8).map(|number| stage.token_of(&format!("caller-{number}"))).collect();

    thread::scope(|scope| {
        for token in &tokens {
            let stage = &stage;
            scope.spawn(move || {
                let client = crate::harness::Client::new(stage, token);
                for number in 0..300 {
                    assert_eq!(client.get(&urls_path(&known::synthetic_backup(number))).status, 200);
                }
            });
        }
    });

    let counters = stage.control().counters();
    let twice: Vec<_> = counters.backups.iter().filter(|(_, calls)| **calls != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(counters.calls_of("DescribeBackupUrl"), 300);
}
