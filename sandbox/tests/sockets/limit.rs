//! The limit: exactly so many arrivals in a rolling second, for each (sub-account, host, action).

use std::collections::BTreeSet;
use std::thread;

use sandbox::{Options, Sandbox, Settings, credential, known};
use serde_json::json;

use crate::support::{Call, Connection};

fn start() -> Sandbox {
    Sandbox::start(Options::default()).expect("starts")
}

/// Sends a call so many times on one connection, all before the first answer is read.
fn burst(call: &Call, times: usize) -> Vec<String> {
    let mut connection = Connection::to(&call.url);
    (0..times).for_each(|_| connection.send(&call.request()));
    (0..times).map(|_| connection.receive(false).expect("is answered").code()).collect()
}

#[test]
fn twenty_of_a_burst_pass_and_the_others_are_refused() {
    let sandbox = start();

    let codes = burst(&Call::urls(&sandbox), 25);

    let counters = sandbox.control().counters();
    assert!(codes[..20].iter().all(String::is_empty), "{codes:?}");
    assert!(codes[20..].iter().all(|code| code == "RequestLimitExceeded"), "{codes:?}");
    assert_eq!((counters.largest_rolling_second, counters.refused), (25, 5));
    assert_eq!(counters.calls_of("DescribeBackupUrl"), 25);
}

#[test]
fn connections_and_keys_of_one_sub_account_share_the_limit() {
    let sandbox = start();
    let first = Call::urls(&sandbox);
    let second = Call { id: credential::SECOND_SECRET_ID, key: credential::SECOND_SECRET_KEY, ..first.clone() };

    let codes: Vec<String> = thread::scope(|scope| {
        let threads = [&first, &second, &first, &second].map(|call| scope.spawn(move || burst(call, 6)));
        threads.into_iter().flat_map(|thread| thread.join().expect("ends")).collect()
    });

    assert_eq!(codes.iter().filter(|code| code.is_empty()).count(), 20);
}

#[test]
fn another_action_host_or_sub_account_has_a_limit_of_its_own() {
    let sandbox = Sandbox::start(Options::with_settings(Settings { requests_per_second: 1, ..Settings::default() }))
        .expect("starts");
    let urls = Call::urls(&sandbox);
    let ledger = json!({"InstanceId": known::LEDGER, "BackupId": known::LEDGER_BACKUP});
    let calls = [
        urls.clone(),
        Call::new(&sandbox, "DescribeInstances", &json!({})),
        Call { id: credential::OTHER_SECRET_ID, key: credential::OTHER_SECRET_KEY, ..urls.clone() },
        Call { url: sandbox.fsi_url(), region: known::SHANGHAI_FSI, body: ledger.to_string(), ..Call::urls(&sandbox) },
    ];

    let codes: BTreeSet<String> = calls.iter().map(|call| call.send().code()).collect();
    let once_more = urls.send().code();

    assert_eq!(codes, BTreeSet::from([String::new()]));
    assert_eq!(once_more, "RequestLimitExceeded");
    assert_eq!(sandbox.control().counters().buckets.len(), 4);
}

#[test]
fn the_refusal_speaks_the_language_of_the_caller() {
    let sandbox = start();
    sandbox.control().update(|settings| settings.requests_per_second = 0);
    let message = |language| {
        let answer = Call { language, ..Call::urls(&sandbox) }.send();
        answer.json()["Response"]["Error"]["Message"].as_str().expect("a text").to_owned()
    };

    assert!(message(Some("en-US")).contains("exceeds the frequency limit `0` for a second"));
    assert!(message(None).contains("超过了每秒频率上限 `0` 次"));
}

#[test]
fn a_slow_answer_does_not_change_when_a_call_arrived() {
    let sandbox = start();
    sandbox.control().update(|settings| settings.latency_ms = 300);

    let codes = burst(&Call::urls(&sandbox), 3);

    let at: Vec<u64> = sandbox.control().arrivals().iter().map(|arrival| arrival.at_us).collect();
    assert_eq!(codes, ["", "", ""]);
    // Calls on one connection are read one after another, so each arrives once the one before is answered.
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 300_000), "{at:?}");
}
