//! Several gateways with one store: one quota, whatever becomes of the store.

use std::{
    ops::Range,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use sandbox::{Arrival, TokenSpec, known};

use crate::{
    harness::{Answer, Client, eventually, urls_path, wait},
    redis_server::Redis,
    shared::Fleet,
};

const SECOND: Duration = Duration::from_secs(1);

/// Three, who wait long enough for what a test does meanwhile.
const PATIENT: &str = "GATEWAY_RATE_LIMIT__MAX_WAIT=8s\nGATEWAY_SERVER__REQUEST_TIMEOUT=20s\n\
    GATEWAY_SHARED__TIMEOUT=100ms\nGATEWAY_SHARED__REPLICAS=3";

/// Callers ask all gateways for backups that nobody asked for before, one after the other without a pause, until
/// `meanwhile` is over; their answers.
fn load_while(fleet: &Fleet, callers: usize, meanwhile: impl FnOnce()) -> Vec<Answer> {
    let (next, over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let callers: Vec<_> = (0..callers)
            .map(|number| {
                let (next, over) = (&next, &over);
                let token = fleet.sandbox.token(&TokenSpec::new(&format!("caller-{number}")).group("dba"));
                let client =
                    Client::at(fleet.gateways[number % fleet.gateways.len()].public, &format!("Bearer {token}"));
                scope.spawn(move || {
                    let mut answers = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let cold = known::synthetic_backup(next.fetch_add(1, Ordering::Relaxed));
                        answers.push(client.get(&urls_path(&cold)));
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

/// When calls for URLs arrived.
fn arrivals(fleet: &Fleet) -> Vec<Duration> {
    let of_urls = |arrival: &Arrival| arrival.action == "DescribeBackupUrl";
    let arrivals = fleet.sandbox.control().arrivals().into_iter().filter(of_urls);
    arrivals.map(|arrival| Duration::from_micros(arrival.at_us)).collect()
}

fn count_in(arrivals: &[Duration], span: Range<Duration>) -> usize {
    arrivals.iter().filter(|at| span.contains(*at)).count()
}

/// The longest time without a call, and the fewest and the most calls in any second.
fn longest_silence(arrivals: &[Duration]) -> Duration {
    arrivals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
}

#[track_caller]
fn assert_exact_and_kind(fleet: &Fleet, answers: &[Answer]) {
    let failed: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), answers.len(), failed[0]);
    let counters = fleet.sandbox.control().counters();
    assert!(counters.largest_rolling_second <= 20, "{counters:?}");
    assert_eq!(counters.refused, 0);
}

/// Waits until so many more calls have arrived.
fn until_calls_arrive(fleet: &Fleet, count: usize) {
    let before = arrivals(fleet).len();
    eventually("calls arrive", || arrivals(fleet).len() >= before + count);
}

fn all_see_the_store(fleet: &Fleet, state: &str) -> bool {
    fleet
        .gateways
        .iter()
        .all(|gateway| gateway.ask(gateway.admin, "GET", "/readyz", &[]).json()["shared_store"] == state)
}

#[test]
fn three_gateways_that_want_more_than_there_is_use_it_up_and_never_exceed_it() {
    let fleet = Fleet::with(3, PATIENT);

    let answers = load_while(&fleet, 60, || wait(12 * SECOND));

    assert_exact_and_kind(&fleet, &answers);
    let arrivals = arrivals(&fleet);
    let end = *arrivals.last().unwrap() - 2 * SECOND;
    let used = count_in(&arrivals, end - 5 * SECOND..end);
    eprintln!("{} a second", used as f64 / 5.0);
    assert!(used >= 93, "{used} in five seconds");
}

/// Under load the store is lost and comes back, with calls before, between and after. Nobody is to notice, but for the
/// silence that each of the two costs.
#[track_caller]
fn assert_an_outage_costs_about_two_seconds_each(mut fleet: Fleet, lose: fn(&mut Redis), regain: fn(&mut Redis)) {
    let mut redis = std::mem::replace(&mut fleet.redis, Redis::start());

    let answers = load_while(&fleet, 15, || {
        until_calls_arrive(&fleet, 60);
        lose(&mut redis);
        eventually("all know", || all_see_the_store(&fleet, "away"));
        until_calls_arrive(&fleet, 30);
        regain(&mut redis);
        eventually("all know", || all_see_the_store(&fleet, "ok"));
        until_calls_arrive(&fleet, 60);
    });

    assert_exact_and_kind(&fleet, &answers);
    let silence = longest_silence(&arrivals(&fleet));
    eprintln!("silent for {silence:?}");
    assert!(silence < 4 * SECOND, "{silence:?}");
}

#[test]
fn a_store_that_is_killed_and_started_again_costs_about_two_seconds_each_and_no_request() {
    assert_an_outage_costs_about_two_seconds_each(Fleet::with(3, PATIENT), Redis::kill, Redis::restart);
}

#[test]
fn a_store_that_hangs_and_goes_on_costs_about_two_seconds_each_and_no_request() {
    let (freeze, thaw) = (|redis: &mut Redis| redis.freeze(), |redis: &mut Redis| redis.thaw());
    assert_an_outage_costs_about_two_seconds_each(Fleet::with(3, PATIENT), freeze, thaw);
}

#[test]
fn a_gateway_that_dies_and_one_that_takes_its_place_do_not_exceed_the_quota() {
    let mut fleet = Fleet::with(3, PATIENT);

    let before = load_while(&fleet, 15, || until_calls_arrive(&fleet, 60));
    drop(fleet.gateways.pop());
    fleet.add(PATIENT);
    let after = load_while(&fleet, 15, || until_calls_arrive(&fleet, 60));

    assert_exact_and_kind(&fleet, &before);
    assert_exact_and_kind(&fleet, &after);
}

#[test]
fn gateways_whose_clocks_are_half_a_minute_off_share_the_quota_all_the_same() {
    let library = faketime();
    let off_by = |seconds: &str| {
        let library = library.display();
        format!(
            "{PATIENT}\nGATEWAY_AUTH__LEEWAY=60s\nLD_PRELOAD={library}\nFAKETIME={seconds}\nFAKETIME_DONT_FAKE_MONOTONIC=1"
        )
    };
    let mut fleet = Fleet::with(1, PATIENT);
    fleet.add(&off_by("+30s"));
    fleet.add(&off_by("-30s"));

    let answers = load_while(&fleet, 30, || wait(10 * SECOND));

    let skew = |at: usize| -> f64 {
        let metrics = fleet.metrics(at);
        metrics.lines().find_map(|line| line.strip_prefix("gateway_clock_skew_seconds ")?.parse().ok()).unwrap()
    };
    assert!(skew(1) < -25.0 && skew(2) > 25.0, "the clocks are off: {} {}", skew(1), skew(2));
    assert_exact_and_kind(&fleet, &answers);
    let arrivals = arrivals(&fleet);
    let end = *arrivals.last().unwrap() - 2 * SECOND;
    let used = count_in(&arrivals, end - 4 * SECOND..end);
    assert!(used >= 74, "{used} in four seconds");
}

#[test]
fn a_store_that_does_not_permit_what_the_quota_needs_is_named_in_the_log_and_by_readyz() {
    let redis = Redis::start();
    redis.ask::<()>(&["ACL", "SETUSER", "default", "-info"]);
    let fleet = Fleet::around(redis, 1, PATIENT);
    let readiness = || fleet.gateways[0].ask(fleet.gateways[0].admin, "GET", "/readyz", &[]);
    let is = |quota: &str| readiness().json()["shared_quota"] == quota;

    eventually("it is noticed", || is("failing"));
    let (ready, served) = (readiness(), fleet.get(0, &urls_path("synthetic-1")));
    let complaints = fleet.gateways[0].log.lock().unwrap().matches("the quota is not shared").count();
    fleet.redis.ask::<()>(&["ACL", "SETUSER", "default", "+info"]);
    eventually("it is mended", || is("ok"));

    let member = |name: &str| ready.json()[name].as_str().map(str::to_owned);
    assert_eq!((ready.status, member("status").as_deref()), (200, Some("degraded")));
    assert_eq!(member("shared_store").as_deref(), Some("ok"));
    assert_eq!(served.status, 200);
    assert_eq!(complaints, 1);
    assert_eq!(readiness().json()["status"], "ready");
}

/// The library that shows a process another time, wherever the distribution keeps it.
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists()).expect("faketime is installed: scripts/test sees to it")
}
