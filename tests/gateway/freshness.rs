//! The cache over time: never less life than the rule, and a bridge over bad minutes.

use std::time::{Duration, SystemTime};

use sandbox::{Effect, Fault, known};

use crate::harness::{Stage, eventually, started, urls_path, wait};

/// Seconds until the moment that an RFC 3339 text names.
#[expect(clippy::disallowed_methods, reason = "the URLs of a real sandbox die by the real clock")]
fn seconds_until(text: &str) -> f64 {
    let moment = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    moment.unix_timestamp() as f64 - now
}

#[test]
fn urls_that_live_eight_seconds_are_never_served_below_the_floor_and_cost_few_calls() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.urls.lifetime_s = 8);
    let mut least = f64::MAX;
    let began = started();

    while began.elapsed() < Duration::from_secs(10) {
        let answer = stage.get(&stage.seed_path());
        assert_eq!(answer.status, 200, "{}", answer.text());
        least = least.min(seconds_until(answer.json()["expires_at"].as_str().unwrap()));
        wait(Duration::from_millis(50));
    }

    // A life of a little over seven seconds (the vendor cuts to whole ones), a quarter of which is the floor.
    assert!(least >= 1.7, "{least}");
    let calls = stage.control().counters().calls_of("DescribeBackupUrl");
    assert!((2..=6).contains(&calls), "{calls} calls");
}

#[test]
fn while_the_upstream_is_down_what_is_valid_is_served_and_what_is_not_is_an_honest_error() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.urls.lifetime_s = 12);
    let mut statuses = Vec::new();
    assert_eq!(stage.get(&stage.seed_path()).status, 200);
    stage.control().inject(Fault::api(Effect::Reset));

    let began = started();
    while began.elapsed() < Duration::from_secs(14) {
        let answer = stage.get(&stage.seed_path());
        let cache_status = answer.header("cache-status").unwrap_or_default().to_owned();
        if answer.status == 200 {
            assert!(seconds_until(answer.json()["expires_at"].as_str().unwrap()) > 1.0);
        }
        if answer.status == 503 {
            assert!(answer.header("retry-after").is_some());
        }
        statuses.push((answer.status, cache_status));
        wait(Duration::from_millis(100));
    }
    let calls_in_the_outage = stage.control().counters().calls_of("DescribeBackupUrl");
    stage.control().clear_faults();
    eventually("the gateway recovers by itself", || stage.get(&stage.seed_path()).status == 200);
    let calls_after = stage.control().counters().calls_of("DescribeBackupUrl");

    let seen = |what: &dyn Fn(&(u16, String)) -> bool| statuses.iter().any(what);
    assert!(seen(&|(status, cache)| *status == 200 && cache.contains("hit; ttl=")));
    assert!(seen(&|(status, cache)| *status == 200
        && cache.contains("fwd=stale; ttl=-")
        && cache.ends_with("detail=stale-if-error")));
    assert!(seen(&|(status, _)| matches!(status, 502 | 503)));
    assert!(statuses.iter().all(|(status, _)| matches!(status, 200 | 502 | 503)), "{statuses:?}");
    // The circuit opened: a hundred requests did not become a hundred calls, and the way back is one probe.
    assert!(calls_in_the_outage <= 15, "{calls_in_the_outage} calls in the outage");
    assert!(calls_after - calls_in_the_outage <= 2, "{} calls after it", calls_after - calls_in_the_outage);
    let stale = stage.gateway.records().into_iter().find(|record| record["cache"] == "stale");
    assert_eq!(stale.map(|record| record["status"].clone()), Some(200.into()));
}

#[test]
fn an_open_circuit_answers_at_once_costs_no_call_and_closes_by_one_probe() {
    let stage = Stage::with("GATEWAY_TENCENT__MAX_RETRIES=0");
    stage.control().inject(Fault::api(Effect::Status(503)));
    for number in 0..5 {
        stage.get(&urls_path(&known::synthetic_backup(number))).assert_problem(502, "upstream_error");
    }

    let began = started();
    let refused: Vec<_> = (10..20).map(|number| stage.get(&urls_path(&known::synthetic_backup(number)))).collect();
    let took = began.elapsed();
    stage.control().clear_faults();
    eventually("the circuit closes", || stage.get(&urls_path("synthetic-30")).status == 200);

    for answer in refused {
        answer.assert_problem(503, "unavailable");
        assert!(matches!(answer.header("retry-after"), Some("1" | "2")));
    }
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 6);
}

#[test]
fn a_temporary_keys_urls_are_fresh_for_a_bounded_time() {
    let stage = Stage::with("GATEWAY_CACHE__TOKEN_URL_MAX=1h");
    stage.control().update(|settings| settings.urls.security_token = true);
    stage.get(&stage.seed_path());

    let hit = stage.get(&stage.seed_path());

    let ttl = hit.header("cache-status").unwrap().rsplit('=').next().unwrap().parse::<u64>().unwrap();
    assert!((3_500..=3_600).contains(&ttl), "{ttl}");
}

#[test]
fn a_url_that_does_not_say_how_long_it_lives_is_kept_only_briefly() {
    let stage = Stage::with("GATEWAY_CACHE__UNKNOWN_LIFETIME=40s");
    stage.control().update(|settings| settings.urls.form = sandbox::UrlForm::Unsigned);

    let answer = stage.get(&stage.seed_path());
    let hit = stage.get(&stage.seed_path());

    let left = seconds_until(answer.json()["expires_at"].as_str().unwrap());
    assert!((35.0..=40.0).contains(&left), "{left}");
    let ttl = hit.header("cache-status").unwrap().rsplit('=').next().unwrap().parse::<u64>().unwrap();
    assert!((25..=30).contains(&ttl), "{ttl}");
}
