//! Who may call: secrets, discovery, revocation, floods, regions, and what `authorize` says about all that.

use std::{
    fs,
    process::{Command, Output},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sandbox::{Algorithm, OldKeys, Options, RegionCheck, Sandbox, TokenSpec, known};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Answer, Client, Gateway, Stage, configuration, eventually, started, wait};

const JWKS: &str = "jwks_url = \"ISSUER/jwks\"\n";

/// A stage whose configuration is the usual one with a change to the text.
fn stage_with(change: impl FnOnce(String) -> String, overrides: &str) -> Stage {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let gateway = Gateway::configured(&change(configuration(&sandbox)), overrides);
    Stage { sandbox, gateway }
}

fn jwks_line(sandbox: &Sandbox) -> String {
    JWKS.replace("ISSUER", &sandbox.issuer_url())
}

fn get_as(stage: &Stage, token: &str) -> Answer {
    stage.gateway.get(&stage.seed_path(), &[("Authorization", &format!("Bearer {token}"))])
}

#[test]
fn keys_are_found_by_discovery_and_a_rotation_makes_no_401() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let gateway = Gateway::configured(&configuration(&sandbox).replace(&jwks_line(&sandbox), ""), "");
    let stage = Stage { sandbox, gateway };

    let first = get_as(&stage, &stage.token());
    stage.control().rotate_keys(OldKeys::Drop);
    let rotated = get_as(&stage, &stage.token());

    assert_eq!((first.status, rotated.status), (200, 200), "{}", rotated.text());
}

#[test]
fn a_key_set_is_replaced_under_load_without_a_failed_request() {
    const CALLERS: usize = 4;
    let stage = Stage::new();
    assert_eq!(stage.get(&stage.seed_path()).status, 200);
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let refreshes = || {
        let scrape = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
        let name = "gateway_jwks_refreshes_total{issuer=\"sandbox\",result=\"ok\"} ";
        scrape.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok()).unwrap()
    };
    let refreshes_before = refreshes();

    let refused = thread::scope(|scope| {
        let caller = |number: usize| {
            let (stage, over, asked) = (&stage, &over, &asked);
            let subject = format!("caller-{number}");
            // One that was signed before, and one by whatever key the issuer signs with at the moment.
            let old = stage.token_of(&subject);
            scope.spawn(move || {
                let mut refused = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    for token in [old.clone(), stage.token_of(&subject)] {
                        let answer = get_as(stage, &token);
                        asked.fetch_add(1, Ordering::Relaxed);
                        if answer.status != 200 {
                            refused.push(answer.text());
                        }
                        // A caller's own quota is 50 a second.
                        wait(Duration::from_millis(25));
                    }
                }
                refused
            })
        };
        let callers: Vec<_> = (0..CALLERS).map(caller).collect();
        let asked_since = |count| {
            let before = asked.load(Ordering::Relaxed);
            eventually("they go on asking", || asked.load(Ordering::Relaxed) >= before + count);
        };
        asked_since(40);
        stage.control().rotate_keys(OldKeys::Keep);
        asked_since(80);
        over.store(true, Ordering::Relaxed);
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect::<Vec<_>>()
    });

    assert_eq!(refused, Vec::<String>::new());
    assert!(refreshes() > refreshes_before, "no key set was fetched meanwhile");
}

#[test]
fn an_issuer_with_a_secret_signs_with_it_and_with_nothing_else() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secret");
    let secret = b"a secret of thirty-two bytes or so";
    fs::write(&path, secret).unwrap();
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let text = configuration(&sandbox)
        .replace(&jwks_line(&sandbox), &format!("hs256_secret_file = \"{}\"\n", path.display()))
        .replace("[\"RS256\", \"ES256\", \"EdDSA\"]", "[\"HS256\"]");
    let stage = Stage { gateway: Gateway::configured(&text, ""), sandbox };
    let asymmetric = stage.token();
    let claims: Vec<_> = asymmetric.split('.').collect();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#), claims[1]);
    let token_of = |secret: &[u8]| {
        let mac = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap().chain_update(&signed).finalize();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes()))
    };

    assert_eq!(get_as(&stage, &token_of(secret)).status, 200);
    get_as(&stage, &token_of(&[7; 32])).assert_problem(401, "unauthenticated");
    get_as(&stage, &asymmetric).assert_problem(401, "unauthenticated");
}

#[test]
fn a_revocation_takes_effect_on_a_token_that_was_let_in_before() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.txt");
    fs::write(&path, "# nobody yet\n").unwrap();
    let stage = Stage::with(&format!("GATEWAY_AUTH__REVOKED_FILE='{}'", path.display()));
    let (alice, bob) = (stage.token(), stage.token_of("bob"));
    assert_eq!((get_as(&stage, &alice).status, get_as(&stage, &bob).status), (200, 200));

    fs::write(&path, "sub:sandbox:alice\n").unwrap();
    eventually("alice is refused", || get_as(&stage, &alice).status == 401);
    let refused = get_as(&stage, &alice);
    fs::write(&path, "sub:sandbox:bob\nthis is no entry\n").unwrap();
    eventually("the mistake is logged", || stage.gateway.log.lock().unwrap().contains("revocations not reloaded"));

    refused.assert_problem(401, "unauthenticated");
    assert!(refused.header("www-authenticate").unwrap().contains("revoked"));
    assert_eq!((get_as(&stage, &alice).status, get_as(&stage, &bob).status), (401, 200));
}

#[test]
fn a_connection_that_keeps_bringing_a_token_brings_it_in_vain_once_it_is_revoked_or_its_key_is_gone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.txt");
    fs::write(&path, "# nobody yet\n").unwrap();
    let stage = Stage::with(&format!("GATEWAY_AUTH__REVOKED_FILE='{}'", path.display()));
    let [alice, bob] = ["alice", "bob"].map(|subject| Client::new(&stage, &stage.token_of(subject)));
    for client in [&alice, &bob] {
        assert!((0..4).all(|_| client.get(&stage.seed_path()).status == 200));
    }

    fs::write(&path, "sub:sandbox:alice\n").unwrap();
    eventually("alice is refused", || alice.get(&stage.seed_path()).status == 401);
    assert_eq!(bob.get(&stage.seed_path()).status, 200);
    stage.control().rotate_keys(OldKeys::Drop);
    // A token of the new key has the set fetched, and bob's key is not in it.
    assert_eq!(get_as(&stage, &stage.token_of("carol")).status, 200);
    eventually("bob is refused", || bob.get(&stage.seed_path()).status == 401);

    bob.get(&stage.seed_path()).assert_problem(401, "unauthenticated");
}

#[test]
fn a_list_of_revocations_that_is_written_in_place_lets_nobody_in_meanwhile() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.txt");
    fs::write(&path, "sub:sandbox:alice\n").unwrap();
    let stage = Stage::with(&format!("GATEWAY_AUTH__REVOKED_FILE='{}'", path.display()));
    let alice = stage.token();

    // As a shell does it: the file is empty until the command that fills it has something to say.
    let writing = fs::File::create(&path).unwrap();
    let began = started();
    let mut answers = Vec::new();
    while began.elapsed() < Duration::from_millis(2500) {
        answers.push(get_as(&stage, &alice).status);
        wait(Duration::from_millis(20));
    }
    drop(writing);
    fs::write(&path, "sub:sandbox:alice\n").unwrap();

    assert!(answers.len() > 10 && answers.iter().all(|status| *status == 401), "{answers:?}");
}

#[test]
fn sighup_takes_the_list_of_revocations_as_it_is_and_says_and_counts_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.txt");
    fs::write(&path, "sub:sandbox:alice\n").unwrap();
    let stage = Stage::with(&format!("GATEWAY_AUTH__REVOKED_FILE='{}'", path.display()));
    let alice = stage.token();
    let is_counted = |times: u32| {
        let metrics = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
        metrics.contains(&format!("gateway_reloads_total{{result=\"ok\",what=\"revocations\"}} {times}\n"))
    };
    assert!(is_counted(0));

    fs::write(&path, "# nobody any more\n").unwrap();
    let began = started();
    stage.gateway.signal("HUP");
    eventually("alice is let in", || get_as(&stage, &alice).status == 200);
    let took = began.elapsed();
    eventually("it is counted", || is_counted(1));
    fs::write(&path, "this is no entry\n").unwrap();
    stage.gateway.signal("HUP");
    let log = || stage.gateway.log.lock().unwrap().clone();
    eventually("the mistake is told", || log().contains("not reloaded; what was in force stays so"));

    // Without the signal the file would have to be at rest for five seconds.
    assert!(took < Duration::from_secs(4), "{took:?}");
    let log = log();
    let is_told = |line: &str| line.contains("revocations") && line.contains("reloaded");
    assert!(log.lines().any(is_told), "{log}");
    assert_eq!(get_as(&stage, &alice).status, 200);
}

#[test]
fn a_list_of_revocations_that_is_not_there_is_a_failure_to_start() {
    let sandbox = Sandbox::start(Options::default()).unwrap();

    let output = run(&configuration(&sandbox), &["serve"], &[("GATEWAY_AUTH__REVOKED_FILE", "/nonexistent/list")]);
    let checked =
        run(&configuration(&sandbox), &["check-config"], &[("GATEWAY_AUTH__REVOKED_FILE", "/nonexistent/list")]);

    assert_eq!((output.status.code(), checked.status.code()), (Some(2), Some(1)));
    assert!(text(&output.stderr).contains("/nonexistent/list"));
    assert!(text(&checked.stderr).contains("auth.revoked_file (GATEWAY_AUTH__REVOKED_FILE): "));
}

#[test]
fn a_flood_of_bad_tokens_is_turned_away_unverified_and_known_callers_are_not_affected() {
    let stage = Stage::with(
        "GATEWAY_RATE_LIMIT__FAILED_AUTH__REQUESTS_PER_SECOND=1\nGATEWAY_RATE_LIMIT__FAILED_AUTH__BURST=5\n\
         GATEWAY_SERVER__TRUSTED_PROXIES=['127.0.0.0/8']",
    );
    let (known, new) = (stage.token(), stage.token_of("bob"));
    let forged = stage.sandbox.token(&TokenSpec::new("alice").group("dba").with_broken_signature());
    let from = |address: &str, token: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str()), ("X-Forwarded-For", address)];
        stage.gateway.get(&stage.seed_path(), &headers)
    };
    assert_eq!(from("192.0.2.1", &known).status, 200);

    let flood: Vec<_> = (0..20).map(|_| from("192.0.2.1", &forged)).collect();
    let (known_after, new_after, elsewhere) =
        (from("192.0.2.1", &known), from("192.0.2.1", &new), from("192.0.2.2", &new));

    assert!(flood[..5].iter().all(|answer| answer.status == 401));
    let turned_away = flood.last().unwrap();
    turned_away.assert_problem(429, "caller_rate_limited");
    assert_eq!(turned_away.header("retry-after"), Some("1"));
    assert_eq!((known_after.status, new_after.status, elsewhere.status), (200, 429, 200));
    let bare = stage.gateway.get(&stage.seed_path(), &[("X-Forwarded-For", "192.0.2.1")]);
    bare.assert_problem(401, "unauthenticated");
    assert_eq!(bare.header("www-authenticate"), Some("Bearer realm=\"redis-backup-gateway\""));
    let metrics = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
    assert!(metrics.contains("gateway_auth_failures_total{reason=\"signature\"} 5"), "{metrics}");
    assert!(!metrics.contains("gateway_rate_limit_rejections_total{scope=\"failed_auth\"} 0"), "{metrics}");
}

#[test]
fn a_refusal_says_what_an_honest_caller_can_mend() {
    let stage = Stage::new();
    let spec = || TokenSpec::new("alice").group("dba");
    for (spec, told) in [
        (spec().lifetime_s(-60), "the token has expired"),
        (spec().audience("another"), "the token is meant for another audience"),
        (spec().issued_at(4_000_000_000), "lives longer"),
        (spec().issuer("https://evil.example"), "not signed by an issuer and a key that are trusted here"),
        (spec().with_broken_signature(), "not signed by an issuer and a key that are trusted here"),
    ] {
        let answer = get_as(&stage, &stage.sandbox.token(&spec));

        answer.assert_problem(401, "unauthenticated");
        assert!(answer.json()["detail"].as_str().unwrap().contains(told), "{}", answer.text());
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer realm=\"redis-backup-gateway\", error=\"invalid_token\""));
        assert!(challenge.contains(told), "{challenge}");
    }
    let denied = get_as(&stage, &stage.sandbox.token(&TokenSpec::new("mallory")));
    denied.assert_problem(403, "forbidden");
    assert!(denied.json()["detail"].as_str().unwrap().contains("ReadBackupUrls"));
}

#[test]
fn a_cold_gateway_believes_no_caller_who_names_a_wrong_region() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.region_check = RegionCheck::Lenient);
    let oncall = |region: &str| {
        let token = stage.sandbox.token(&TokenSpec::new("olga").group(&format!("oncall-{region}")));
        format!("Bearer {token}")
    };
    let get = |authorization: &str, region: &str| {
        let path = format!("/instances/{}/backups/{}/urls?region={region}", known::ORDERS, known::SEED_BACKUP);
        let headers = [("Authorization", authorization), ("X-Access-Reason", "INC-4711")];
        stage.gateway.get(&path, &headers)
    };
    let (guangzhou, chengdu) = (oncall("guangzhou"), oncall("chengdu"));

    // Somebody who may do everything everywhere names a wrong region, and fills the cache.
    let dba = get(&format!("Bearer {}", stage.token()), "ap-guangzhou");
    let wrong = get(&guangzhou, "ap-guangzhou");
    let calls_for_wrong = stage.control().counters();
    let right = get(&chengdu, "ap-chengdu");
    let wrong_again = get(&guangzhou, "ap-guangzhou");

    assert_eq!(dba.status, 200, "{}", dba.text());
    wrong.assert_problem(404, "instance_not_found");
    assert_eq!(calls_for_wrong.calls_of("DescribeBackupUrl"), 1, "the first caller's");
    assert_eq!(calls_for_wrong.calls_of("DescribeInstances"), 1);
    assert_eq!(right.status, 200, "{}", right.text());
    wrong_again.assert_problem(403, "forbidden");
    assert_eq!(stage.control().counters().calls_of("DescribeInstances"), 2);
}

#[test]
fn a_listing_that_fails_opens_nothing() {
    let stage = Stage::with("GATEWAY_TENCENT__MAX_RETRIES=0");
    stage.control().inject(sandbox::Fault::api_error("UnauthorizedOperation.NoCAMAuthed"));
    let token = stage.sandbox.token(&TokenSpec::new("olga").group("oncall-chengdu"));

    let answer = stage
        .gateway
        .get(&stage.seed_path(), &[("Authorization", &format!("Bearer {token}")), ("X-Access-Reason", "INC-4711")]);

    answer.assert_problem(502, "upstream_denied");
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 0);
}

#[test]
fn authorize_says_what_is_decided_and_by_which_policies() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let text_of = configuration(&sandbox);
    let ask = |arguments: &str| {
        let usual = "--instance crs-4y9t57vt --region ap-chengdu --action ReadBackupUrls";
        let arguments = format!("authorize {arguments} {}", if arguments.contains("--region") { "" } else { usual });
        run(&text_of, &arguments.split_whitespace().collect::<Vec<_>>(), &[])
    };
    let with_action =
        |who: &str, rest: &str| ask(&format!("{who} --instance crs-4y9t57vt --region ap-chengdu --action {rest}"));

    for (output, code, told) in [
        (ask("--sub alice --group dba"), 0, "allow\npermitted by dba\n"),
        (ask("--sub mallory"), 1, "deny\nno policy permits it\n"),
        (ask("--sub dave --group dba --group suspended"), 1, "deny\nforbidden by suspended\n"),
        (ask("--sub bob --group oncall-chengdu"), 1, "deny\nno policy permits it\n"),
        (ask("--sub bob --group oncall-chengdu --reason INC-1"), 0, "allow\npermitted by oncall-chengdu-read\n"),
        (
            with_action("--sub bob --group oncall-chengdu", "ListBackups"),
            0,
            "allow\npermitted by oncall-chengdu-look\n",
        ),
        (
            with_action("--sub orders-restore", "ReadBackupUrls --network inner"),
            0,
            "allow\npermitted by orders-restore-read\n",
        ),
        (with_action("--sub orders-restore", "ReadBackupUrls --network public"), 1, "deny\nno policy permits it\n"),
    ] {
        assert_eq!(
            (output.status.code(), text(&output.stdout).as_str()),
            (Some(code), told),
            "{}",
            text(&output.stderr)
        );
    }
    for (arguments, told) in [
        ("--group dba", "--token-file"),
        ("--sub alice --token-file t", "cannot be used with"),
        ("--sub alice --issuer nobody", "--issuer must be one of sandbox"),
        ("--sub a --instance crs-1 --region ap-nowhere --action ListBackups", "--region must be one of ap-guangzhou"),
        ("--sub a --instance -x --region ap-chengdu --action ListBackups", "--instance"),
        ("--sub a --instance crs-1 --region ap-chengdu --action Delete", "must be one of ListInstances"),
        ("--token-file /nonexistent/token", "/nonexistent/token cannot be read"),
    ] {
        let output = ask(arguments);

        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(text(&output.stderr).contains(told), "{arguments}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn authorize_verifies_a_token_as_the_gateway_would() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let text_of = configuration(&sandbox);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    let ask = |token: &str| {
        fs::write(&path, format!("{token}\n")).unwrap();
        let usual = ["--instance", "crs-4y9t57vt", "--region", "ap-chengdu", "--action", "ReadBackupUrls"];
        let arguments = [&["authorize", "--token-file", path.to_str().unwrap()], usual.as_slice()].concat();
        let output = run(&text_of, &arguments, &[]);
        assert!(!text(&output.stdout).contains(token) && !text(&output.stderr).contains(token));
        (output.status.code(), text(&output.stdout))
    };
    let token = |spec: TokenSpec| sandbox.token(&spec.algorithm(Algorithm::EdDsa));

    let allowed = ask(&token(TokenSpec::new("alice").group("dba")));
    let denied = ask(&token(TokenSpec::new("alice")));
    let expired = ask(&token(TokenSpec::new("alice").group("dba").lifetime_s(-60)));

    assert_eq!(allowed, (Some(0), "allow\npermitted by dba\n".to_owned()));
    assert_eq!(denied, (Some(1), "deny\nno policy permits it\n".to_owned()));
    assert_eq!(expired, (Some(1), "deny\nthe token is not accepted (expired): the token has expired\n".to_owned()));
}

#[test]
fn an_issuer_without_a_prefix_cannot_speak_for_one_with() {
    let stage = stage_with(
        |text| {
            let second = "[[auth.issuers]]\nname = \"cluster\"\nprefix = \"k8s:\"\nissuer = \"https://cluster.example\"\n\
                          audiences = [\"a\"]\njwks_file = \"/nonexistent/keys.json\"\n\n[policy]";
            text.replace("[policy]", second)
        },
        "",
    );
    let token = |spec: TokenSpec| stage.sandbox.token(&spec);

    let subject = get_as(&stage, &token(TokenSpec::new("k8s:system:admin").group("dba")));
    let group = get_as(&stage, &token(TokenSpec::new("alice").group("dba").group("k8s:admins")));
    let plain = get_as(&stage, &token(TokenSpec::new("alice").group("dba")));
    let ready = stage.gateway.ask(stage.gateway.admin, "GET", "/readyz", &[]);

    subject.assert_problem(401, "unauthenticated");
    group.assert_problem(401, "unauthenticated");
    assert_eq!(plain.status, 200);
    assert_eq!(ready.json()["status"], "degraded");
    assert_eq!(
        ready.json()["issuers"],
        json!([{"name": "sandbox", "keys": "ok"}, {"name": "cluster", "keys": "missing"}])
    );
}

fn run(configuration: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("gateway.toml");
    fs::write(&file, configuration).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-backup-gateway"));
    command.args(arguments).arg("--config").arg(&file).env_clear();
    command.envs(Gateway::credentials()).envs(variables.iter().copied());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
