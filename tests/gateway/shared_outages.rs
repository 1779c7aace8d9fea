//! The store goes and comes back; the gateways serve.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use sandbox::known;

use crate::{
    harness::{Answer, Client, Gateway, eventually, started, urls_path, wait},
    redis_server::Redis,
    shared::{Fleet, assert_cache_status},
};

fn readiness(gateway: &Gateway) -> Answer {
    gateway.ask(gateway.admin, "GET", "/readyz", &[])
}

fn store_is(gateway: &Gateway, state: &str) -> bool {
    readiness(gateway).json()["shared_store"] == state
}

/// Callers ask all gateways, each for a backup that nobody asked for before and for one that all ask for, until
/// `meanwhile` is over; their answers.
fn load_while(fleet: &Fleet, meanwhile: impl FnOnce()) -> Vec<Answer> {
    let (next, over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let callers: Vec<_> = (0..6)
            .map(|number| {
                let (next, over) = (&next, &over);
                let token = fleet.sandbox.token(&sandbox::TokenSpec::new(&format!("caller-{number}")).group("dba"));
                let client = Client::at(fleet.gateways[number % 2].public, &format!("Bearer {token}"));
                scope.spawn(move || {
                    let mut answers = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let cold = known::synthetic_backup(next.fetch_add(1, Ordering::Relaxed));
                        answers.push(client.get(&urls_path(&cold)));
                        answers.push(client.get(&urls_path(known::SEED_BACKUP)));
                        wait(Duration::from_millis(400));
                    }
                    answers
                })
            })
            .collect();
        meanwhile();
        over.store(true, Ordering::Relaxed);
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    })
}

/// Long enough for what a test does meanwhile; the store's outages are short.
const PATIENT: &str = "GATEWAY_RATE_LIMIT__MAX_WAIT=8s\nGATEWAY_SHARED__TIMEOUT=100ms";

#[test]
fn every_request_is_answered_while_the_store_is_killed_and_started_again() {
    let mut fleet = Fleet::with(2, PATIENT);
    let mut redis = std::mem::replace(&mut fleet.redis, Redis::start());

    let answers = load_while(&fleet, || {
        redis.kill();
        eventually("both know", || fleet.gateways.iter().all(|gateway| store_is(gateway, "away")));
        redis.restart();
        eventually("both know", || fleet.gateways.iter().all(|gateway| store_is(gateway, "ok")));
        eventually("they share again", || !redis.entries().is_empty());
    });

    let failed: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn every_request_is_answered_while_the_store_hangs() {
    let fleet = Fleet::with(2, PATIENT);

    let answers = load_while(&fleet, || {
        fleet.redis.freeze();
        eventually("both know", || fleet.gateways.iter().all(|gateway| store_is(gateway, "away")));
        wait(Duration::from_secs(1));
        fleet.redis.thaw();
        eventually("both know", || fleet.gateways.iter().all(|gateway| store_is(gateway, "ok")));
    });

    let failed: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn what_a_gateway_has_is_served_while_the_store_hangs_and_what_it_has_not_waits_for_a_few_trips_at_most() {
    let fleet = Fleet::with(1, &format!("{PATIENT}\nGATEWAY_RATE_LIMIT__PER_CALLER__BURST=10000"));
    fleet.warm(0, known::SEED_BACKUP);
    let client = Client::at(fleet.gateways[0].public, &format!("Bearer {}", fleet.token()));
    let hits = |when: &str| {
        let began = started();
        for _ in 0..500 {
            assert_cache_status(&client.get(&urls_path(known::SEED_BACKUP)), "; hit; ttl=");
        }
        // For docs/shared.md; shown by --nocapture. How fast a loaded machine is, is no test.
        eprintln!("500 hits {when}: {:?}", began.elapsed());
    };

    hits("with the store");
    fleet.redis.freeze();
    hits("while it hangs");
    let misses: Vec<_> = (0..10)
        .map(|number| {
            let began = started();
            assert_cache_status(&client.get(&urls_path(&known::synthetic_backup(number))), "fwd=miss; stored");
            began.elapsed()
        })
        .collect();
    eprintln!("misses while it hangs: {misses:?}");

    let log = fleet.gateways[0].log.lock().unwrap();
    assert_eq!(log.matches("goes on by itself").count(), 1, "{log}");
    drop(log);
    assert_eq!(fleet.looks(0, "unavailable"), 10);
}

#[test]
fn a_gateway_starts_without_its_store_and_says_so() {
    let mut redis = Redis::start();
    redis.kill();
    let mut fleet = Fleet::around(redis, 1, "");

    let ready = readiness(&fleet.gateways[0]);
    let without = fleet.get(0, &urls_path("synthetic-1"));
    let gauge = |fleet: &Fleet, value: u8| fleet.metrics(0).contains(&format!("gateway_shared_store_up {value}\n"));

    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("degraded")));
    assert_eq!(ready.json()["shared_store"], "away");
    assert!(gauge(&fleet, 0));
    assert_cache_status(&without, "fwd=miss; stored");
    fleet.redis.restart();
    eventually("it finds the store", || readiness(&fleet.gateways[0]).json()["status"] == "ready");
    assert!(gauge(&fleet, 1));
    fleet.warm(0, "synthetic-2");
}

#[test]
fn a_store_that_takes_no_writes_counts_as_away() {
    let fleet = Fleet::of(1);

    fleet.redis.ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(fleet.get(0, &urls_path("synthetic-1")).status, 200);
    eventually("it knows", || store_is(&fleet.gateways[0], "away"));
    fleet.redis.ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "0"]);

    eventually("it comes back", || store_is(&fleet.gateways[0], "ok"));
}

#[test]
fn a_notice_that_is_lost_is_made_up_for() {
    let fleet = Fleet::with(2, "GATEWAY_TENCENT__TIMEOUT=5s");
    fleet.warm(0, "synthetic-1");
    let control = fleet.sandbox.control();
    control.inject(sandbox::Fault::api(sandbox::Effect::LatencyMs(1000)).times(1));
    let path = urls_path("synthetic-2");

    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| fleet.get(0, &path));
        eventually("the first one calls", || fleet.calls_for("synthetic-2") == 1);
        let second = scope.spawn(|| fleet.get(1, &path));
        eventually("the second one waits", || fleet.looks(1, "miss") > 0);
        fleet.redis.ask::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        (first.join().unwrap(), second.join().unwrap())
    });

    assert_cache_status(&first, "fwd=miss; stored");
    assert_cache_status(&second, "fwd=miss; stored; collapsed");
    assert_eq!(fleet.calls_for("synthetic-2"), 1);
}

#[test]
fn a_store_that_forgets_its_scripts_is_taught_them_again() {
    let fleet = Fleet::of(2);
    fleet.warm(0, "synthetic-1");

    fleet.redis.ask::<()>(&["SCRIPT", "FLUSH"]);
    fleet.warm(0, "synthetic-2");

    assert_cache_status(&fleet.get(1, &urls_path("synthetic-2")), "; hit; ttl=");
}
