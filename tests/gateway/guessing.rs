//! Somebody makes up ids: what it costs the cloud, and those who mean well.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use sandbox::{TokenSpec, known};

use crate::harness::{Stage, started, urls_path};

#[test]
fn a_thousand_made_up_instances_cost_a_listing_of_each_region_and_nobody_time() {
    // The guesser's own quota (50 a second) would stop him first; here it is what comes after it that is tried.
    let stage = Stage::with(
        "GATEWAY_RATE_LIMIT__PER_CALLER__REQUESTS_PER_SECOND=1000\nGATEWAY_RATE_LIMIT__PER_CALLER__BURST=1000",
    );
    stage.control().update(|settings| settings.latency_ms = 50);
    let guesser = format!("Bearer {}", stage.token_of("guesser"));
    let other = format!("Bearer {}", stage.sandbox.token(&TokenSpec::new("bob").group("dba")));
    let next = AtomicU32::new(0);
    let over = AtomicBool::new(false);
    let began = started();

    let slowest = thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= 1000 {
                        break;
                    }
                    let path = format!("/instances/crs-made-up-{number}/backups/latest/urls");
                    let answer = stage.gateway.get(&path, &[("Authorization", &guesser)]);
                    answer.assert_problem(404, "instance_not_found");
                }
                over.store(true, Ordering::Relaxed);
            });
        }
        let mut slowest = Duration::ZERO;
        let mut number = 0;
        while !over.load(Ordering::Relaxed) || number == 0 {
            let asked = started();
            let path = urls_path(&known::synthetic_backup(number));
            let answer = stage.gateway.get(&path, &[("Authorization", &other)]);
            assert_eq!(answer.status, 200, "{}", answer.text());
            slowest = slowest.max(asked.elapsed());
            number += 1;
        }
        slowest
    });

    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    let counters = stage.control().counters();
    assert!(counters.calls_of("DescribeInstances") <= 6, "{}", counters.calls_of("DescribeInstances"));
    assert_eq!(counters.calls_of("DescribeInstanceBackups"), 0);
}
