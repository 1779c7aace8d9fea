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
