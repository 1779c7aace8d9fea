//! New cloud keys while the gateway serves: no restart, no failed request, no call more than without.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use sandbox::{Control, Effect, Fault, Options, Sandbox, Settings, Target, credential, known};
use tempfile::TempDir;

use crate::harness::{Answer, Gateway, Stage, eventually, load_while, started, urls_path, wait};

fn log_of(stage: &Stage) -> String {
    stage.gateway.log.lock().unwrap().clone()
}

/// A stage whose gateway takes its keys from where `variables` say, and a sandbox that behaves so from the start.
fn stage_with_keys(settings: Settings, variables: impl FnOnce(&Sandbox) -> String) -> Stage {
    let sandbox = Sandbox::start(Options::with_settings(settings)).unwrap();
    let gateway = Gateway::start(&sandbox, &variables(&sandbox));
    Stage { sandbox, gateway }
}

fn stage_with_file(content: &str) -> (Stage, TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    fs::write(&file, content).unwrap();
    let stage = stage_with_keys(Settings::default(), |_| {
        format!("GATEWAY_TENCENT__CREDENTIALS__SOURCE=file\nGATEWAY_TENCENT__CREDENTIALS__FILE={}", file.display())
    });
    (stage, folder, file)
}

fn of_role(sandbox: &Sandbox) -> String {
    let metadata = sandbox.metadata_url();
    format!("GATEWAY_TENCENT__CREDENTIALS__SOURCE=cvm_role\nGATEWAY_TENCENT__CREDENTIALS__METADATA_ENDPOINT={metadata}")
}

fn of_assumed_role(sandbox: &Sandbox) -> String {
    format!(
        "GATEWAY_TENCENT__CREDENTIALS__STS_ENDPOINT={}\nGATEWAY_TENCENT__CREDENTIALS__ASSUME_ROLE_ARN={}",
        sandbox.sts_url(),
        known::ROLE_ARN
    )
}

fn document(id: &str, key: &str) -> String {
    serde_json::json!({"secret_id": id, "secret_key": key}).to_string()
}

/// A path that was not asked for yet, so that its answer costs a call.
fn cold_path() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    urls_path(&known::synthetic_backup(NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Twelve calls a second: less than the cloud allows.
const CALLS_PAUSE: Duration = Duration::from_millis(300);

/// The ids of the keys that the latest calls of the API were signed with.
fn ids(control: &Control) -> BTreeSet<String> {
    let id = |authorization: &str| authorization.split("Credential=").nth(1)?.split('/').next().map(str::to_owned);
    control.requests().iter().filter_map(|request| id(request.header("authorization")?)).collect()
}

/// The value of a metric of whole numbers.
#[track_caller]
fn metric(stage: &Stage, name: &str) -> i64 {
    let text = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{name} is not in {text}"))
}

/// Every answer is good and cost the one call that it must, all of them in one bucket.
#[track_caller]
fn assert_nobody_noticed(stage: &Stage, answers: &[Answer]) {
    let failed = answers.iter().find(|answer| answer.status != 200);
    assert!(failed.is_none(), "{failed:?}");
    let counters = stage.control().counters();
    assert_eq!(counters.calls_of("DescribeBackupUrl"), u64::try_from(answers.len()).unwrap());
    assert_eq!(counters.buckets.len(), 1, "{counters:?}");
    assert!(counters.largest_rolling_second <= 20, "{counters:?}");
}

#[test]
fn the_keys_of_a_file_rotate_under_load_and_nobody_notices() {
    let (stage, folder, file) = stage_with_file(&document(credential::SECRET_ID, credential::SECRET_KEY));
    let control = stage.control();

    let answers = load_while(&stage, CALLS_PAUSE, cold_path, || {
        wait(Duration::from_millis(500));
        let next = folder.path().join("next");
        fs::write(&next, document(credential::SECOND_SECRET_ID, credential::SECOND_SECRET_KEY)).unwrap();
        fs::rename(next, file).unwrap();
        wait(Duration::from_secs(3));
        assert!(control.remove_credential(credential::SECRET_ID));
        wait(Duration::from_secs(1));
    });

    assert!(answers.len() > 30, "{}", answers.len());
    assert_nobody_noticed(&stage, &answers);
    let both = [credential::SECRET_ID, credential::SECOND_SECRET_ID].map(str::to_owned);
    assert_eq!(ids(&control), both.into());
}

#[test]
fn the_keys_of_a_servers_role_end_and_follow_each_other_and_nobody_notices() {
    let mut settings = Settings::default();
    settings.role.lifetime_s = 4;
    let stage = stage_with_keys(settings, of_role);
    let control = stage.control();

    // Longer than any one key lives.
    let answers = load_while(&stage, CALLS_PAUSE, cold_path, || wait(Duration::from_secs(7)));

    assert_nobody_noticed(&stage, &answers);
    assert!(ids(&control).len() >= 3, "{:?}", ids(&control));
    let expiry = metric(&stage, "gateway_credentials_expiry_timestamp_seconds");
    assert!(control.credentials().iter().any(|key| key.expires_at == Some(expiry)), "{expiry}");
    assert!(metric(&stage, "gateway_reloads_total{result=\"ok\",what=\"credentials\"}") >= 2);
}

#[test]
fn a_key_that_is_revoked_without_warning_costs_one_look_for_all_and_one_more_call_each() {
    let stage = stage_with_keys(Settings::default(), of_role);
    let control = stage.control();
    assert_eq!(stage.get(&cold_path()).status, 200);
    let reads_before = control.counters().metadata_reads;
    let revoked = control.rotate_role_key().unwrap();
    assert!(control.remove_credential(&revoked));
    control.reset_counters();

    let statuses: Vec<u16> = thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| stage.get(&cold_path()).status)).collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    assert_eq!(statuses, [200; 8]);
    let counters = control.counters();
    assert_eq!(reads_before, 2);
    assert_eq!(counters.metadata_reads, 2, "the role's name and its key");
    assert!((9..=16).contains(&counters.calls_of("DescribeBackupUrl")), "{counters:?}");
    assert_eq!(counters.errors.keys().collect::<Vec<_>>(), ["AuthFailure.SecretIdNotFound"]);
}

#[test]
fn a_key_that_is_revoked_and_has_no_successor_is_not_tried_again() {
    let (stage, _folder, _file) = stage_with_file(&document(credential::SECRET_ID, credential::SECRET_KEY));
    assert!(stage.control().remove_credential(credential::SECRET_ID));

    let answer = stage.get(&stage.seed_path());

    answer.assert_problem(502, "upstream_denied");
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 1);
}

#[test]
fn a_new_key_that_nobody_has_looked_at_yet_is_found_by_the_call_that_fails() {
    let (stage, _folder, file) = stage_with_file(&document(credential::SECRET_ID, credential::SECRET_KEY));
    fs::write(file, document(credential::SECOND_SECRET_ID, credential::SECOND_SECRET_KEY)).unwrap();
    assert!(stage.control().remove_credential(credential::SECRET_ID));

    let answer = stage.get(&stage.seed_path());

    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(stage.control().counters().calls_of("DescribeBackupUrl") <= 2);
}

#[test]
fn a_file_with_a_mistake_is_told_and_the_old_key_stays() {
    let (stage, _folder, file) = stage_with_file(&document(credential::SECRET_ID, credential::SECRET_KEY));

    fs::write(&file, "{\n  \"secret_id\": 5\n}").unwrap();
    eventually("the mistake is told", || log_of(&stage).contains("credentials:2:"));

    assert_eq!(stage.get(&stage.seed_path()).status, 200);
    assert!(log_of(&stage).contains("not reloaded"));
}

#[test]
fn a_profile_of_the_vendors_tools_is_found_at_home() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".tencentcloud")).unwrap();
    let profile =
        format!("[default]\nsecret_id = {}\nsecret_key = {}\n", credential::SECRET_ID, credential::SECRET_KEY);
    fs::write(home.path().join(".tencentcloud/credentials"), profile).unwrap();
    let stage = stage_with_keys(Settings::default(), |_| {
        format!(
            "HOME={}\nGATEWAY_TENCENT__CREDENTIALS__SOURCE=auto\nTENCENTCLOUD_SECRET_ID=\nTENCENTCLOUD_SECRET_KEY=",
            home.path().display()
        )
    });

    assert_eq!(stage.get(&stage.seed_path()).status, 200);
}

#[test]
fn the_last_good_key_of_a_role_is_used_while_it_lives_and_not_a_moment_longer() {
    let mut settings = Settings::default();
    settings.sts.most_s = 4;
    let stage = stage_with_keys(settings, of_assumed_role);
    let control = stage.control();
    control.inject(Fault::new(Target::Sts, Effect::Hang));
    let began = started();

    let mut good = 0;
    let refused = loop {
        let answer = stage.get(&cold_path());
        if answer.status != 200 {
            break answer;
        }
        good += 1;
        assert!(began.elapsed() < Duration::from_secs(6), "the key is used past its end");
        wait(Duration::from_millis(100));
    };
    let took = began.elapsed();
    let calls = control.counters().calls_of("DescribeBackupUrl");
    let ready = stage.gateway.ask(stage.gateway.admin, "GET", "/readyz", &[]);
    control.clear_faults();
    eventually("there is a new key", || stage.get(&stage.seed_path()).status == 200);

    assert!(took > Duration::from_secs(2) && good > 10, "{good} in {took:?}");
    refused.assert_problem(502, "upstream_denied");
    assert!(refused.json()["detail"].as_str().unwrap().contains("expired"), "{}", refused.text());
    assert_eq!(calls, good, "no call is made with a key that has ended");
    assert_eq!((ready.status, &ready.json()["credentials"]), (200, &"expired".into()));
    assert_eq!(ready.json()["status"], "degraded");
}

#[test]
fn the_identity_of_a_pod_is_exchanged_and_its_token_is_read_anew_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, known::WEB_IDENTITY_TOKEN).unwrap();
    let stage = stage_with_keys(Settings::default(), |sandbox| {
        format!(
            "GATEWAY_TENCENT__CREDENTIALS__SOURCE=tke_oidc\nGATEWAY_TENCENT__CREDENTIALS__STS_ENDPOINT={}\n\
             TKE_REGION=ap-guangzhou\nTKE_PROVIDER_ID={}\nTKE_WEB_IDENTITY_TOKEN_FILE={}\nTKE_ROLE_ARN={}",
            sandbox.sts_url(),
            known::OIDC_PROVIDER,
            token.display(),
            known::ROLE_ARN
        )
    });
    assert_eq!(stage.get(&cold_path()).status, 200);

    stage.control().update(|settings| settings.sts.web_identity_token = "the-next-token".to_owned());
    fs::write(&token, "the-next-token\n").unwrap();
    stage.gateway.signal("HUP");
    eventually("the token was exchanged", || log_of(&stage).contains("\"what\":\"credentials\""));

    assert_eq!(stage.get(&cold_path()).status, 200);
    assert_eq!(stage.control().counters().sts_calls_of("AssumeRoleWithWebIdentity"), 2);
    assert_eq!(ids(&stage.control()).len(), 2);
}

#[test]
fn sighup_says_that_the_environment_cannot_change() {
    let stage = Stage::new();

    stage.gateway.signal("HUP");

    eventually("it is said", || log_of(&stage).contains("those of the environment change with a restart"));
}
