//! The bad day: whatever the upstream does, the caller hears it in the contract's words.

use sandbox::{Effect, Fault, Settings, Target, UrlDefect, known};

use crate::harness::{Stage, urls_path};

/// A stage whose gateway does not retry, so that each fault is seen as it is.
fn stage_without_retries() -> Stage {
    Stage::with("GATEWAY_TENCENT__MAX_RETRIES=0\nGATEWAY_TENCENT__TIMEOUT=500ms")
}

#[test]
fn each_failure_of_the_upstream_ends_in_the_contracts_status() {
    let stage = stage_without_retries();
    let error = |code: &str| Effect::Error { code: code.to_owned(), message: "of the sandbox".to_owned() };
    let table = [
        (error("InternalError.InternalError"), 502, "upstream_error"),
        (error("FailedOperation.SystemError"), 502, "upstream_error"),
        (error("InvalidParameter.PermissionDenied"), 502, "upstream_denied"),
        (error("AuthFailure.SecretIdNotFound"), 502, "upstream_denied"),
        (error("UnauthorizedOperation.NoCAMAuthed"), 502, "upstream_denied"),
        (error("ResourceNotFound.InstanceNotExists"), 404, "instance_not_found"),
        (error("InvalidParameterValue.BackupNotExists"), 404, "backup_not_found"),
        (error("InvalidParameterValue"), 400, "invalid_request"),
        (error("MissingParameter"), 400, "invalid_request"),
        (error("UnsupportedOperation.OnlyClusterInstanceCanExportBackup"), 409, "unsupported_by_instance"),
        (error("ResourceUnavailable.BackupStatusInvalid"), 409, "backup_not_ready"),
        (error("Something.Unheard.Of"), 502, "upstream_error"),
        (Effect::Status(500), 502, "upstream_error"),
        (Effect::Status(403), 502, "upstream_error"),
        (Effect::Garbage, 502, "upstream_error"),
        (Effect::Html, 502, "upstream_error"),
        (Effect::EmptyBody, 502, "upstream_error"),
        (Effect::TruncateBody(100), 502, "upstream_error"),
        (Effect::CutAfterBytes(100), 502, "upstream_error"),
        (Effect::DropAfterReading, 502, "upstream_error"),
        (Effect::Reset, 502, "upstream_error"),
        (Effect::Redirect("http://127.0.0.1:1/".to_owned()), 502, "upstream_error"),
        (Effect::Body("{\"Response\":{\"BackupInfos\":[],\"RequestId\":\"r\"}}".to_owned()), 502, "upstream_error"),
        (Effect::Hang, 504, "upstream_timeout"),
        (Effect::StallAfterBytes(100), 504, "upstream_timeout"),
    ];

    for (number, (effect, status, code)) in table.into_iter().enumerate() {
        let backup = known::synthetic_backup(u32::try_from(number).unwrap());
        // A circuit that opened after a row of failures is not what is tested here.
        assert_eq!(stage.get(&urls_path(&format!("synthetic-{}", 1000 + number))).status, 200);
        stage.control().inject(Fault::api(effect.clone()).times(1));

        let answer = stage.get(&urls_path(&backup));

        assert_eq!(answer.status, status, "{effect:?}: {}", answer.text());
        answer.assert_problem(status, code);
        let problem = answer.json();
        if matches!(effect, Effect::Error { .. }) {
            assert!(problem["upstream"]["code"].is_string() && problem["upstream"]["request_id"].is_string());
            let may_be_repeated = code != "upstream_denied";
            assert_eq!(problem["upstream"]["message"].is_string(), may_be_repeated, "{problem}");
        } else {
            assert!(problem.get("upstream").is_none());
        }
    }
}

#[test]
fn urls_that_must_not_be_passed_on_are_a_502() {
    let stage = stage_without_retries();
    for (number, defect) in
        [UrlDefect::Relative, UrlDefect::Scheme, UrlDefect::Blank, UrlDefect::Control].into_iter().enumerate()
    {
        let urls = sandbox::UrlSettings { defect, ..Default::default() };
        stage.control().update(|settings| *settings = Settings { urls, ..Default::default() });

        let answer = stage.get(&urls_path(&known::synthetic_backup(u32::try_from(number).unwrap())));

        answer.assert_problem(502, "upstream_error");
    }
}

#[test]
fn what_passes_is_retried_and_each_retry_pays() {
    let stage = Stage::new();
    stage.control().inject(Fault::api(Effect::Status(500)).times(1));
    stage.control().inject(Fault::api(Effect::Reset).times(1));

    let answer = stage.get(&stage.seed_path());

    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 3);
}

#[test]
fn what_the_caller_must_mend_is_not_retried() {
    let stage = Stage::new();

    stage.get(&urls_path("no-such-backup")).assert_problem(404, "backup_not_found");
    stage.get(&urls_path("no-such-backup")).assert_problem(404, "backup_not_found");

    // The second answer comes from the memory of what does not exist.
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 1);
}

#[test]
fn unfinished_and_expired_backups_are_refused_as_the_upstream_refuses_them() {
    let stage = Stage::new();

    stage.get(&urls_path(known::UNFINISHED_BACKUP)).assert_problem(409, "backup_not_ready");
    assert_eq!(stage.get(&urls_path(known::EXPIRED_BACKUP)).status / 100, 4);
}

#[test]
fn the_upstreams_own_limit_is_retried_while_there_is_time() {
    let stage = Stage::new();
    stage.control().inject(Fault::api_error("RequestLimitExceeded").times(1));

    let answer = stage.get(&stage.seed_path());

    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_wrong_key_is_the_operators_alarm_and_not_the_callers_fault() {
    let stage = Stage::with("TENCENTCLOUD_SECRET_KEY=wrong0000000000000000000000000000");

    let answer = stage.get(&stage.seed_path());

    answer.assert_problem(502, "upstream_denied");
    assert_eq!(answer.json()["upstream"]["code"], "AuthFailure.SignatureFailure");
    assert!(answer.json()["upstream"].get("message").is_none());
}

#[test]
fn a_clock_that_is_off_by_more_than_five_minutes_is_refused_upstream() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.clock_skew_s = 400);

    let answer = stage.get(&stage.seed_path());

    answer.assert_problem(502, "upstream_denied");
    assert_eq!(answer.json()["upstream"]["code"], "AuthFailure.SignatureExpire");
}

#[test]
fn an_upstream_that_is_gone_is_a_502() {
    let Stage { sandbox, gateway } = Stage::new();
    let token = sandbox.token(&sandbox::TokenSpec::new("alice").group("dba"));
    drop(sandbox);

    let answer = gateway.get(&urls_path(known::SEED_BACKUP), &[("Authorization", &format!("Bearer {token}"))]);

    answer.assert_problem(502, "upstream_error");
}

#[test]
fn keys_that_were_never_loaded_are_a_503_and_come_without_a_restart() {
    let sandbox = sandbox::Sandbox::start(sandbox::Options::default()).unwrap();
    sandbox.control().inject(Fault::new(Target::Jwks, Effect::Status(500)));
    let gateway = crate::harness::Gateway::start_unready(&sandbox, "");
    let token = format!("Bearer {}", sandbox.token(&sandbox::TokenSpec::new("alice").group("dba")));
    let headers = [("Authorization", token.as_str())];

    let before = gateway.get(&urls_path(known::SEED_BACKUP), &headers);
    let ready_before = gateway.ask(gateway.admin, "GET", "/readyz", &[]);
    let scrape_before = gateway.ask(gateway.admin, "GET", "/metrics", &[]).text();
    sandbox.control().clear_faults();

    before.assert_problem(503, "unavailable");
    assert!(before.header("retry-after").is_some());
    assert_eq!(ready_before.status, 503);
    assert!(scrape_before.contains("\ngateway_ready 0\n"), "{scrape_before}");
    crate::harness::eventually("the keys are loaded", || {
        gateway.get(&urls_path(known::SEED_BACKUP), &headers).status == 200
    });
}

#[test]
fn a_region_that_hangs_holds_up_nobody_who_looks_elsewhere() {
    let stage = Stage::new();
    stage.control().inject(Fault::api(Effect::Hang).action("DescribeInstances").endpoint(known::SHANGHAI_FSI));
    let token = stage.sandbox.token(&sandbox::TokenSpec::new("alice").group("dba").group("payments"));
    let path = format!("/instances/{}/backups/{}/urls", known::ORDERS, known::SEED_BACKUP);

    let began = crate::harness::started();
    let answer = stage.gateway.get(&path, &[("Authorization", &format!("Bearer {token}"))]);

    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(began.elapsed() < std::time::Duration::from_millis(900), "{:?}", began.elapsed());
}

#[test]
fn a_stale_entry_is_served_soon_while_the_upstream_hangs() {
    let stage = Stage::with("GATEWAY_TENCENT__TIMEOUT=5s");
    stage.control().update(|settings| settings.urls.lifetime_s = 12);
    assert_eq!(stage.get(&stage.seed_path()).status, 200);
    // From nine seconds on there is less than the floor of a quarter left, from ten and a half on nothing of use.
    stage.control().inject(Fault::api(Effect::Hang));
    crate::harness::wait(std::time::Duration::from_millis(9_100));

    let began = crate::harness::started();
    let answer = stage.get(&stage.seed_path());

    assert_eq!(answer.status, 200, "{}", answer.text());
    let status = answer.header("cache-status").unwrap();
    assert!(status.contains("fwd=stale") && status.ends_with("detail=stale-if-error"), "{status}");
    assert!(began.elapsed() < std::time::Duration::from_millis(1_500), "{:?}", began.elapsed());
}
