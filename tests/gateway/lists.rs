//! Finding an instance and its backups: what is listed, for whom, in which parts, and at what cost.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use sandbox::{Effect, Fault, TokenSpec, known};
use serde_json::{Value, json};

use crate::harness::{Answer, Stage, started};

fn backups_path(query: &str) -> String {
    format!("/instances/{}/backups?region=ap-chengdu{query}", known::ORDERS)
}

/// The values of one member of each entry of a list.
fn column(answer: &Answer, list: &str, member: &str) -> Vec<String> {
    let body = answer.json();
    let entries = body[list].as_array().unwrap_or_else(|| panic!("{body}"));
    entries.iter().map(|entry| entry[member].as_str().unwrap().to_owned()).collect()
}

fn get_as(stage: &Stage, spec: &TokenSpec, path: &str) -> Answer {
    stage.gateway.get(path, &[("Authorization", &format!("Bearer {}", stage.sandbox.token(spec)))])
}

#[test]
fn all_backups_are_listed_in_the_upstreams_order_with_its_words() {
    let stage = Stage::new();

    let answer = stage.get(&backups_path(""));

    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    let body = answer.json();
    assert_eq!(body["instance_id"], known::ORDERS);
    assert_eq!(body["region"], known::CHENGDU);
    assert_eq!((&body["total"], &body["limit"], &body["offset"]), (&json!(7), &json!(20), &json!(0)));
    let states = ["locked", "normal", "normal", "exporting", "exported", "expired", "normal"];
    assert_eq!(column(&answer, "backups", "status"), states);
    let seed = json!({
        "backup_id": known::SEED_BACKUP, "status": "normal", "type": "1", "start_time": "2019-03-07 10:00:01",
        "end_time": "2019-03-07 10:03:11", "expire_time": null, "file_type": "RDB-Redis 6.2", "encrypted": false,
        "locked": false, "remark": "",
    });
    assert_eq!(body["backups"][6], seed);
    let [record] = &stage.gateway.records_of(1)[..] else { panic!("one record") };
    assert_eq!((&record["action"], &record["instance_id"]), (&json!("ListBackups"), &json!(known::ORDERS)));
    assert_eq!((&record["decision"], &record["cache"]), (&json!("allow"), &json!("none")));
    assert!(record["backup_id"].is_null() && record["network"].is_null() && record["upstream_request_id"].is_string());
}

#[test]
fn any_part_of_a_list_comes_out_whatever_the_upstreams_pages_are() {
    let stage = Stage::new();
    stage.control().update(|settings| {
        settings.list_synthetic = true;
        settings.synthetic_backups = 250;
    });
    let whole = [0, 100, 200].iter().flat_map(|offset| {
        column(&stage.get(&backups_path(&format!("&limit=100&offset={offset}"))), "backups", "backup_id")
    });
    let whole: Vec<_> = whole.collect();
    assert_eq!(whole.len(), 257);

    for (limit, offset) in [(1, 0), (1, 256), (7, 3), (20, 30), (33, 77), (100, 50), (99, 1), (100, 199), (50, 250)] {
        let answer = stage.get(&backups_path(&format!("&limit={limit}&offset={offset}")));

        let expected = &whole[offset..whole.len().min(offset + limit)];
        assert_eq!(column(&answer, "backups", "backup_id"), expected, "{limit} {offset}");
        assert_eq!(answer.json()["total"], 257);
    }
    let past = stage.get(&backups_path("&offset=2147483647&limit=100"));
    assert_eq!((past.status, &past.json()["backups"]), (200, &json!([])));
}

#[test]
fn backups_are_filtered_by_state_and_by_start() {
    let stage = Stage::new();
    let table = [
        ("&status=normal", 3),
        ("&status=locked,expired", 2),
        ("&status=exporting%2Cexported", 2),
        ("&since=2026-11-20T12:00:00&until=2026-11-23T03:00:01", 3),
        ("&since=2026-11-20T12:00:01&until=2026-11-23T03:00:00", 1),
        ("&since=2026-11-20T12:00:00&until=2026-11-24T00:00:00&status=exporting", 1),
        ("&until=2019-12-31T00:00:00", 1),
        ("&since=2026-11-24T00:00:00", 1),
    ];

    for (query, count) in table {
        let answer = stage.get(&backups_path(query));

        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert_eq!(answer.json()["total"], count, "{query}: {}", answer.text());
    }
}

#[test]
fn what_a_list_cannot_be_asked_is_a_400_that_names_the_parameter() {
    let stage = Stage::new();
    let instances = |query: &str| format!("/instances?{query}");
    let table = [
        (backups_path("&limit=0"), "limit"),
        (backups_path("&limit=101"), "limit"),
        (backups_path("&limit="), "limit"),
        (backups_path("&limit=20&limit=20"), "limit"),
        (backups_path("&offset=-1"), "offset"),
        (backups_path("&offset=x"), "offset"),
        (backups_path("&status="), "status"),
        (backups_path("&status=done"), "status"),
        (backups_path("&status=normal,unknown"), "status"),
        (backups_path("&since=yesterday"), "since"),
        (backups_path("&since=2026-11-24T00:00:00Z"), "since"),
        (backups_path("&until=2026-11-24"), "until"),
        (backups_path("&since=2026-11-24T00:00:01&until=2026-11-24T00:00:00"), "since"),
        (backups_path("&since=2026-10-01T00:00:00&until=2026-11-24T00:00:00"), "30 days"),
        (backups_path("&network=inner"), "network"),
        (backups_path("").replace(known::ORDERS, "a.b"), "instance_id"),
        (instances("limit=1000"), "limit"),
        (instances("offset=2147483648"), "offset"),
        (instances("region=ap-tokyo"), "region"),
        (instances("status=normal"), "status"),
        (instances("network=inner"), "network"),
    ];

    for (path, named) in &table {
        let answer = stage.get(path);

        answer.assert_problem(400, "invalid_request");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(named), "{path}: {detail}");
    }
    assert!(stage.control().counters().calls.is_empty());
    let records = stage.gateway.records_of(table.len());
    assert!(records.iter().all(|record| record["decision"] == "error"));
}

#[test]
fn lists_are_json_and_nothing_else() {
    let stage = Stage::new();
    let token = format!("Bearer {}", stage.token());

    for path in ["/instances".to_owned(), backups_path("")] {
        let get = |accept: &str| stage.gateway.get(&path, &[("Authorization", &token), ("Accept", accept)]);

        get("text/plain").assert_problem(406, "not_acceptable");
        get("application/json;q=0").assert_problem(406, "not_acceptable");
        get("nonsense").assert_problem(400, "invalid_request");
        assert_eq!(get("text/html,*/*;q=0.1").status, 200);
    }
}

#[test]
fn an_unknown_instance_is_404_and_a_foreign_one_403_without_a_call() {
    let stage = Stage::new();

    let unknown = stage.get("/instances/crs-nowhere/backups?region=ap-chengdu");
    let again = stage.get("/instances/crs-nowhere/backups?region=ap-chengdu");
    let denied = get_as(&stage, &TokenSpec::new("mallory"), &backups_path(""));
    let urls_only = get_as(&stage, &TokenSpec::new("orders-restore"), "/instances/crs-7h2mxq4d/backups");

    unknown.assert_problem(404, "instance_not_found");
    again.assert_problem(404, "instance_not_found");
    denied.assert_problem(403, "forbidden");
    urls_only.assert_problem(403, "forbidden");
    assert!(denied.json()["detail"].as_str().unwrap().contains("ListBackups"));
    assert_eq!(stage.control().counters().calls_of("DescribeInstanceBackups"), 1);
}

#[test]
fn those_who_ask_for_the_same_list_at_the_same_time_share_a_call() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.latency_ms = 300);

    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(stage.get(&backups_path("")).status, 200));
        }
    });
    assert_eq!(stage.get(&backups_path("")).status, 200);

    assert_eq!(stage.control().counters().calls_of("DescribeInstanceBackups"), 2);
}

#[test]
fn a_caller_sees_the_instances_that_policy_lets_him_see() {
    let stage = Stage::new();
    let dba = TokenSpec::new("alice").group("dba");
    let payments = TokenSpec::new("paula").group("payments");
    let both = TokenSpec::new("pia").group("payments").group("dba");
    let oncall = TokenSpec::new("olga").group("oncall-guangzhou");
    let table: [(&TokenSpec, &str, &[&str], &[&str]); 7] = [
        (&dba, "", &[known::SESSIONS, known::ORDERS], &["dba"]),
        (&both, "", &[known::SESSIONS, known::ORDERS, known::LEDGER], &["dba", "payments"]),
        (&payments, "", &[known::LEDGER], &["payments"]),
        (&oncall, "", &[known::SESSIONS], &["oncall-guangzhou-look"]),
        (&oncall, "?region=ap-chengdu", &[], &[]),
        (&dba, "?region=ap-shanghai-fsi", &[], &["payments-only"]),
        (&dba, "?region=ap-chengdu", &[known::ORDERS], &["dba"]),
    ];

    for (number, (spec, query, expected, policies)) in table.into_iter().enumerate() {
        let answer = get_as(&stage, spec, &format!("/instances{query}"));

        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(column(&answer, "instances", "instance_id"), expected, "{spec:?} {query}");
        assert_eq!(answer.json()["total"], expected.len());
        let record = &stage.gateway.records_of(number + 1)[number];
        assert_eq!(record["action"], "ListInstances");
        assert_eq!(record["decision"], if expected.is_empty() { "deny" } else { "allow" });
        assert_eq!(record["policies"], json!(policies));
        assert_eq!(record["status"], 200);
    }
    // One listing a region, whoever asks.
    assert_eq!(stage.control().counters().calls_of("DescribeInstances"), 3);
}

#[test]
fn an_instance_is_listed_in_the_vendors_words() {
    let stage = Stage::new();

    let answer = stage.get("/instances?region=ap-chengdu");

    let expected = json!({
        "instances": [{"instance_id": known::ORDERS, "name": "orders", "region": "ap-chengdu", "status": "running",
            "product_type": "cluster", "shards": 5, "version": "6.2"}],
        "total": 1, "limit": 20, "offset": 0, "unavailable_regions": [],
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
}

#[test]
fn whoever_may_see_nothing_has_an_empty_list_and_costs_no_call() {
    let stage = Stage::new();

    let answer = get_as(&stage, &TokenSpec::new("mallory"), "/instances");

    assert_eq!(answer.status, 200);
    let nothing = json!({"instances": [], "total": 0, "limit": 20, "offset": 0, "unavailable_regions": []});
    assert_eq!(answer.json(), nothing);
    assert_eq!(stage.control().counters().calls_of("DescribeInstances"), 0);
    assert_eq!(stage.gateway.records_of(1)[0]["decision"], "deny");
}

#[test]
fn a_thousand_instances_are_paged_after_they_are_filtered() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.synthetic_instances = 2_500);

    let first = stage.get("/instances?limit=3");
    let middle = stage.get("/instances?limit=2&offset=1200");
    let last = stage.get("/instances?limit=100&offset=2499");

    assert_eq!(first.json()["total"], 2_502);
    assert_eq!(column(&first, "instances", "instance_id"), [known::SESSIONS, "crs-synthetic0", "crs-synthetic1"],);
    assert_eq!(column(&middle, "instances", "instance_id"), ["crs-synthetic1199", "crs-synthetic1200"]);
    assert_eq!(column(&last, "instances", "instance_id"), ["crs-synthetic2498", "crs-synthetic2499", known::ORDERS],);
    // Three pages of a thousand at most in the one region, one call in each of the others.
    assert_eq!(stage.control().counters().calls_of("DescribeInstances"), 5);
}

#[test]
fn a_long_list_does_not_hold_a_worker() {
    let stage = Stage::with("GATEWAY_SERVER__WORKERS=1");
    stage.control().update(|settings| settings.synthetic_instances = 5_000);
    assert_eq!(stage.get("/instances").json()["total"], 5_002);
    let is_listed = AtomicBool::new(false);

    let (took, pauses) = thread::scope(|scope| {
        let listing = scope.spawn(|| {
            // Another reason is another question to the policies: none of the answers is remembered.
            let token = format!("Bearer {}", stage.token());
            let began = started();
            let answer = stage.gateway.get("/instances", &[("Authorization", &token), ("X-Access-Reason", "INC-2")]);
            is_listed.store(true, Ordering::Relaxed);
            assert_eq!(answer.json()["total"], 5_002);
            began.elapsed()
        });
        let mut pauses = Vec::new();
        while !is_listed.load(Ordering::Relaxed) {
            let began = started();
            assert_eq!(stage.gateway.get("/healthz", &[]).status, 200);
            pauses.push(began.elapsed());
        }
        (listing.join().unwrap(), pauses)
    });

    let longest = pauses.iter().max().unwrap();
    assert!(pauses.len() >= 4 && *longest < took / 3, "{took:?} in all, {} others, {longest:?} at most", pauses.len());
}

#[test]
fn a_region_that_cannot_be_asked_is_named_and_the_others_are_listed() {
    let stage = Stage::new();
    stage.control().inject(Fault::api(Effect::Status(500)).action("DescribeInstances").endpoint(known::SHANGHAI_FSI));

    let answer = stage.get("/instances");
    let other = stage.get("/instances?region=ap-chengdu");
    let only = stage.get("/instances?region=ap-shanghai-fsi");

    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["unavailable_regions"], json!([known::SHANGHAI_FSI]));
    assert_eq!(column(&answer, "instances", "instance_id"), [known::SESSIONS, known::ORDERS]);
    assert_eq!(other.json()["unavailable_regions"], json!([]));
    assert_eq!((only.status, &only.json()["unavailable_regions"]), (200, &json!([known::SHANGHAI_FSI])));
}

#[test]
fn a_region_that_cannot_be_asked_is_told_of_at_a_bounded_rate() {
    let stage = Stage::new();
    stage.control().inject(Fault::api(Effect::Status(500)).action("DescribeInstances").endpoint(known::SHANGHAI_FSI));
    let began = started();

    for _ in 0..90 {
        assert_eq!(stage.get("/instances?region=ap-shanghai-fsi").status, 200);
    }

    assert_bounded(&stage, "a region is missing in a list of instances", began.elapsed());
}

#[test]
fn a_policy_that_fails_is_told_of_at_a_bounded_rate_and_counted_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let policy = "permit (principal, action, resource) when { 9223372036854775807 + 1 == 0 };\n";
    std::fs::write(dir.path().join("rules.cedar"), policy).unwrap();
    let stage = Stage::with(&format!("GATEWAY_POLICY__DIR={}", dir.path().display()));
    let began = started();

    for _ in 0..90 {
        assert_eq!(stage.get(&backups_path("")).status, 403);
    }

    assert_bounded(&stage, "a policy failed to evaluate", began.elapsed());
    let metrics = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
    let counted = metrics.lines().find_map(|line| line.strip_prefix("gateway_policy_errors_total ")).unwrap();
    assert!(counted.parse::<u32>().unwrap() >= 90, "{counted}");
}

/// Whether no more lines of this kind than five in each second that was begun are in the log, and at least one.
fn assert_bounded(stage: &Stage, message: &str, took: Duration) {
    let log = stage.gateway.log.lock().unwrap().clone();
    let lines = log.lines().filter(|line| line.contains(message)).count() as u64;
    assert!((1..=5 * (took.as_secs() + 1)).contains(&lines), "{lines} lines in {took:?}");
}

#[test]
fn a_hundred_at_once_make_one_listing_of_each_region() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.latency_ms = 300);
    let tokens: Vec<_> = (0..10).map(|number| stage.token_of(&format!("caller-{number}"))).collect();

    thread::scope(|scope| {
        for number in 0..100 {
            let (stage, token) = (&stage, &tokens[number % tokens.len()]);
            scope.spawn(move || {
                let answer = stage.gateway.get("/instances", &[("Authorization", &format!("Bearer {token}"))]);
                assert_eq!(answer.json()["total"], 2, "{}", answer.text());
            });
        }
    });

    assert_eq!(stage.control().counters().calls_of("DescribeInstances"), 3);
    stage.gateway.records_of(100);
}

#[test]
fn a_financial_zone_is_found_listed_and_fetched_without_being_named() {
    let stage = Stage::new();
    let paula = TokenSpec::new("paula").group("payments");

    let listed = get_as(&stage, &paula, "/instances");
    let id = column(&listed, "instances", "instance_id").remove(0);
    let backups = get_as(&stage, &paula, &format!("/instances/{id}/backups?status=normal"));
    let backup = column(&backups, "backups", "backup_id").remove(0);
    let urls = get_as(&stage, &paula, &format!("/instances/{id}/backups/{backup}/urls"));
    let file = get_as(&stage, &paula, &format!("/instances/{id}/backups/latest/files/3"));

    assert_eq!(urls.status, 200, "{}", urls.text());
    assert_eq!((&urls.json()["region"], &urls.json()["backup_id"]), (&json!(known::SHANGHAI_FSI), &json!(backup)));
    assert_eq!(file.header("location"), urls.json()["files"][2]["download_url"].as_str());
    let control = stage.control();
    let requests = control.requests();
    let ours = requests.iter().filter(|request| request.body.contains(&id));
    assert!(ours.clone().count() >= 3 && ours.clone().all(|request| request.endpoint == known::SHANGHAI_FSI));
    let is_answer = |value: &Value| value.is_string();
    assert!(stage.gateway.records_of(4).iter().skip(1).all(|record| is_answer(&record["upstream_request_id"])));
}
