//! The quota under load: full, fair, and never exceeded.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use sandbox::known;

use crate::harness::{Client, Stage, started, urls_path, wait};

/// Asks for one cold backup after another over `connections` connections of one caller until `over`.
fn flood(stage: &Stage, connections: u32, over: &AtomicBool, next: &AtomicU32, meanwhile: impl FnOnce()) {
    let token = stage.token_of("batch-job");
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let client = Client::new(stage, &token);
                while !over.load(Ordering::Relaxed) {
                    let backup = known::synthetic_backup(next.fetch_add(1, Ordering::Relaxed));
                    let answer = client.get(&urls_path(&backup));
                    match answer.status {
                        200 => {}
                        429 => {
                            assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
                            wait(Duration::from_millis(200));
                        }
                        status => panic!("{status}: {}", answer.text()),
                    }
                }
            });
        }
        meanwhile();
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_person_who_clicks_beside_a_flood_hardly_waits() {
    let stage = Stage::new();
    let (over, next) = (AtomicBool::new(false), AtomicU32::new(0));
    let person = Client::new(&stage, &stage.token_of("person"));
    let waits = Mutex::new(Vec::new());

    flood(&stage, 120, &over, &next, || {
        wait(Duration::from_millis(1500));
        for number in 0..12 {
            let backup = known::synthetic_backup(9000 + number);
            let began = started();
            let answer = person.get(&urls_path(&backup));
            waits.lock().unwrap().push(began.elapsed());
            assert_eq!(answer.status, 200, "{}", answer.text());
            wait(Duration::from_millis(250));
        }
    });

    let waits = waits.into_inner().unwrap();
    assert!(waits.iter().all(|waited| *waited < Duration::from_millis(300)), "{waits:?}");
    let counters = stage.control().counters();
    assert_eq!(counters.refused, 0, "{counters:?}");
    assert!(counters.largest_rolling_second <= 20, "{counters:?}");
}

#[test]
fn a_flood_alone_uses_what_the_upstream_allows() {
    let stage = Stage::new();
    let (over, next) = (AtomicBool::new(false), AtomicU32::new(0));

    flood(&stage, 120, &over, &next, || wait(Duration::from_secs(6)));

    let arrivals = stage.control().arrivals();
    let first = arrivals.iter().map(|arrival| arrival.at_us).min().unwrap();
    // The burst of an idle bucket is left out: what counts is the steady state after it.
    let steady = |arrival: &&sandbox::Arrival| (1_000_000..6_000_000).contains(&(arrival.at_us - first));
    let used = arrivals.iter().filter(steady).count();
    assert!(used >= 95, "{used} calls in five seconds");
    let counters = stage.control().counters();
    assert_eq!(counters.refused, 0);
    assert!(counters.largest_rolling_second <= 20, "{counters:?}");
}

#[test]
fn whoever_would_wait_too_long_is_told_at_once_and_how_long() {
    let stage = Stage::with("GATEWAY_RATE_LIMIT__REQUESTS_PER_SECOND=1\nGATEWAY_RATE_LIMIT__MAX_WAIT=500ms");
    stage.control().update(|settings| settings.latency_ms = 400);
    assert_eq!(stage.get(&urls_path("synthetic-1")).status, 200);

    let began = started();
    let refused = stage.get(&urls_path("synthetic-2"));

    refused.assert_problem(429, "upstream_rate_limited");
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    assert!(matches!(refused.header("retry-after"), Some("1" | "2")), "{:?}", refused.header("retry-after"));
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 1);
}

#[test]
fn each_caller_reads_where_it_stands_and_is_stopped_by_its_own_quota() {
    let limits = "GATEWAY_RATE_LIMIT__PER_CALLER__REQUESTS_PER_SECOND=1\nGATEWAY_RATE_LIMIT__PER_CALLER__BURST=3";
    let stage = Stage::with(limits);
    let other = format!("Bearer {}", stage.token_of("somebody-else"));

    let answers: Vec<_> = (0..4).map(|_| stage.get(&stage.seed_path())).collect();
    let others = stage.gateway.get("/instances/unknown/route", &[("Authorization", &other)]);
    let nobody = stage.gateway.get(&stage.seed_path(), &[]);

    let told: Vec<_> = answers.iter().map(|answer| (answer.status, answer.header("ratelimit").unwrap())).collect();
    assert_eq!(
        told,
        [
            (200, "\"caller\";r=2;t=1"),
            (200, "\"caller\";r=1;t=2"),
            (200, "\"caller\";r=0;t=3"),
            (429, "\"caller\";r=0;t=3")
        ]
    );
    answers[3].assert_problem(429, "caller_rate_limited");
    assert_eq!(answers[3].header("retry-after"), Some("1"));
    assert!(answers.iter().all(|answer| answer.header("ratelimit-policy") == Some("\"caller\";q=3;w=3")));
    others.assert_problem(404, "not_found");
    assert_eq!(others.header("ratelimit"), Some("\"caller\";r=2;t=1"));
    assert_eq!(nobody.header("ratelimit"), None);
    // What is refused before policy is no decision and leaves no record.
    stage.gateway.records_of(3);
}

#[test]
fn when_others_draw_on_the_same_sub_account_the_bucket_learns_and_nobody_is_failed() {
    let stage = Stage::with("GATEWAY_RATE_LIMIT__MAX_WAIT=8s");
    // Half of what the gateway believes to have: the rest is the console's.
    stage.control().update(|settings| settings.requests_per_second = 10);
    let token = stage.token_of("batch-job");

    let statuses: Vec<_> = thread::scope(|scope| {
        let (stage, token) = (&stage, &token);
        let ask =
            |number| scope.spawn(move || Client::new(stage, token).get(&urls_path(&known::synthetic_backup(number))));
        let threads: Vec<_> = (0..30).map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().status).collect()
    });

    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let counters = stage.control().counters();
    assert!(counters.refused >= 1, "the upstream refused nothing, so nothing was learnt");
    assert!(counters.refused <= 30, "{} refusals for thirty calls", counters.refused);
}
