//! No secret in any output, however much is logged and whatever goes wrong.

use std::{collections::BTreeMap, fs, process::Command, thread};

use redis_backup_gateway::telemetry;
use sandbox::{Effect, Fault, Options, Sandbox, Settings, Target, TokenSpec, credential, known};

use crate::{
    collector::{Collector, Manner},
    harness::{Answer, Gateway, Stage, eventually, urls_path},
};

/// What nothing but an answer to its caller may carry.
struct Secrets(Vec<String>);

impl Secrets {
    /// Every key that exists, this token, and whatever looks like a signature.
    fn new(token: &str) -> Self {
        let signature = token.rsplit('.').next().unwrap();
        let texts = [
            credential::SECRET_KEY,
            credential::SECOND_SECRET_KEY,
            credential::TEMPORARY_TOKEN,
            credential::ISSUED_SECRET_KEY,
            credential::ISSUED_TOKEN,
            known::WEB_IDENTITY_TOKEN,
            token,
            signature,
            "q-signature",
            "q-sign-time",
            "TC3-HMAC-SHA256 Credential",
            "Signature=",
        ];
        Self(texts.map(str::to_owned).to_vec())
    }

    /// A signed URL of an answer, and its signature alone.
    fn add_url(&mut self, url: &str) {
        self.0.push(url.to_owned());
        self.0.push(url.split("q-signature").nth(1).unwrap().to_owned());
    }

    #[track_caller]
    fn assert_absent(&self, name: &str, text: &str) {
        for secret in &self.0 {
            let found = text.lines().find(|line| line.contains(secret));
            assert_eq!(found, None, "{secret} stands in {name}");
        }
    }
}

fn stage(settings: Settings, variables: impl FnOnce(&Sandbox) -> String) -> Stage {
    let sandbox = Sandbox::start(Options::with_settings(settings)).unwrap();
    let gateway = Gateway::start(&sandbox, &format!("GATEWAY_LOG__LEVEL=trace\n{}", variables(&sandbox)));
    Stage { sandbox, gateway }
}

/// The log, the audit and the metrics of a stage.
fn outputs(stage: &Stage) -> BTreeMap<&'static str, String> {
    let log = stage.gateway.log.lock().unwrap().clone();
    let audit = stage.gateway.audit.lock().unwrap().clone();
    let metrics = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
    let ready = stage.gateway.ask(stage.gateway.admin, "GET", "/readyz", &[]).text();
    BTreeMap::from([("the log", log), ("the audit", audit), ("the metrics", metrics), ("the readiness", ready)])
}

#[test]
fn nothing_secret_leaves_by_any_route_or_failure_even_at_trace_level() {
    let collector = Collector::start(Manner::Takes);
    let stage = stage(Settings::default(), |sandbox| {
        format!(
            "GATEWAY_TENCENT__CREDENTIALS__SOURCE=cvm_role\nGATEWAY_TENCENT__CREDENTIALS__METADATA_ENDPOINT={}\n\
             GATEWAY_LOG__LEVEL=trace,access=trace\n{}",
            sandbox.metadata_url(),
            collector.variable()
        )
    });
    let token = stage.token();
    let header = format!("Bearer {token}");
    let ask =
        |method: &str, path: &str| stage.gateway.ask(stage.gateway.public, method, path, &[("Authorization", &header)]);
    let get = |path: &str| ask("GET", path);
    let mut secrets = Secrets::new(&token);
    let mut refused: Vec<Answer> = Vec::new();

    // Every route, as it should be.
    let urls = get(&stage.seed_path());
    assert_eq!(urls.status, 200);
    secrets.add_url(urls.json()["files"][0]["download_url"].as_str().unwrap());
    let file = get(&format!("/instances/{}/backups/{}/files/1?region=ap-chengdu", known::ORDERS, known::SEED_BACKUP));
    assert_eq!(file.status, 302);
    secrets.add_url(file.header("location").unwrap());
    for (method, path) in [
        ("GET", stage.seed_path()),
        ("HEAD", stage.seed_path()),
        ("GET", format!("/instances/{}/backups?region=ap-chengdu", known::ORDERS)),
        ("GET", "/instances".to_owned()),
        ("GET", "/healthz".to_owned()),
    ] {
        assert_eq!(ask(method, &path).status, 200, "{method} {path}");
    }

    // Everything that a caller can do wrong.
    let other = format!("Bearer {}", stage.sandbox.token(&TokenSpec::new("nobody")));
    refused.extend([
        get("/nowhere"),
        get("/instances/nowhere/at/all"),
        ask("POST", &stage.seed_path()),
        get(&urls_path("no-such-backup")),
        get(&urls_path(known::EXPIRED_BACKUP)),
        get(&format!("{}&token={token}", stage.seed_path())),
        get(&format!("{}&network={token}", stage.seed_path())),
        get(&format!("/instances/{token}/backups/{token}/urls")),
        stage
            .gateway
            .get(&stage.seed_path(), &[("Authorization", &header), ("X-Request-Id", &token), ("Accept", "image/png")]),
        stage.gateway.get(&stage.seed_path(), &[]),
        stage.gateway.get(&stage.seed_path(), &[("Authorization", &format!("{header}x"))]),
        stage.gateway.get(&stage.seed_path(), &[("Authorization", &format!("Basic {token}"))]),
        stage.gateway.get(&stage.seed_path(), &[("Authorization", &other)]),
        stage.gateway.get(&stage.seed_path(), &[("Authorization", &header), ("Accept", "image/png")]),
    ]);

    // Everything that the cloud can do wrong.
    for (number, effect) in [
        Effect::Status(500),
        Effect::Garbage,
        Effect::Html,
        Effect::Reset,
        Effect::Hang,
        Effect::CutAfterBytes(400),
        Effect::TruncateBody(400),
        Effect::Error { code: "AuthFailure.SecretIdNotFound".to_owned(), message: credential::SECRET_KEY.to_owned() },
        Effect::Error { code: "UnauthorizedOperation".to_owned(), message: credential::SECRET_KEY.to_owned() },
        Effect::Redirect("http://127.0.0.1:1/?q-signature=x".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        // The first calls for a key that is refused are repeated with another; one that stays is not.
        stage.control().inject(Fault::api(effect).times(3));
        refused.push(get(&urls_path(&known::synthetic_backup(u32::try_from(number).unwrap()))));
        stage.control().clear_faults();
        // A circuit that opened after a row of failures is not what is tested here.
        eventually("the cloud is called again", || {
            get(&urls_path(&format!("synthetic-{}", 1000 + number))).status == 200
        });
    }

    // Everything that those who hand out keys can do wrong.
    for effect in [Effect::Garbage, Effect::Status(500), Effect::TruncateBody(200)] {
        stage.control().inject(Fault::new(Target::Metadata, effect));
        stage.gateway.signal("HUP");
        eventually("it was asked", || stage.gateway.log.lock().unwrap().contains("not reloaded"));
        stage.control().clear_faults();
    }
    let revoked = stage.control().rotate_role_key();
    stage.control().remove_credential(&revoked.unwrap());
    assert_eq!(get(&urls_path(&known::synthetic_backup(50))).status, 200);
    stage.control().update(|settings| settings.clock_skew_s = 400);
    refused.push(get(&urls_path(&known::synthetic_backup(51))));

    let outputs = outputs(&stage);
    assert!(outputs["the log"].len() > 10_000, "trace says nothing: {}", outputs["the log"]);
    for (name, text) in outputs {
        secrets.assert_absent(name, &text);
    }
    // Ten failures, of up to three calls each, and what went well: all of it was traced.
    eventually("the spans arrive", || collector.spans().len() > 150);
    for request in collector.requests() {
        secrets.assert_absent("a request to the collector", &request.head);
        secrets.assert_absent("the spans", &String::from_utf8_lossy(&request.body));
    }
    let spans = collector.spans();
    let said: Vec<_> = spans.iter().flat_map(|span| &span.attributes).collect();
    for span in ["authenticate", "policy", "cache", "fetch", "queue", "redis/DescribeBackupUrl", "audit"] {
        assert!(spans.iter().any(|seen| seen.name == span), "{span} was not traced");
    }
    assert!(!said.iter().any(|(_, value)| value.contains("alice")), "who called is the audit's to know");
    for answer in refused {
        assert!(answer.status >= 400, "{answer:?}");
        let headers = format!("{:?}", answer.headers);
        secrets.assert_absent("an error's head", &headers);
        secrets.assert_absent("an error's body", &answer.text());
    }
}

#[test]
fn the_keys_of_roles_and_pods_are_no_more_told_than_others() {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    fs::write(&token_file, known::WEB_IDENTITY_TOKEN).unwrap();
    let mut settings = Settings::default();
    settings.sts.most_s = 4;
    let stage = stage(settings, |sandbox| {
        format!(
            "GATEWAY_TENCENT__CREDENTIALS__SOURCE=tke_oidc\nGATEWAY_TENCENT__CREDENTIALS__STS_ENDPOINT={sts}\n\
             GATEWAY_TENCENT__CREDENTIALS__ASSUME_ROLE_ARN={role}\nTKE_REGION=ap-guangzhou\nTKE_PROVIDER_ID={}\n\
             TKE_WEB_IDENTITY_TOKEN_FILE={}\nTKE_ROLE_ARN={role}",
            known::OIDC_PROVIDER,
            token_file.display(),
            sts = sandbox.sts_url(),
            role = known::ROLE_ARN,
        )
    });
    let secrets = Secrets::new(&stage.token());
    assert_eq!(stage.get(&stage.seed_path()).status, 200);

    let message = credential::ISSUED_TOKEN.to_owned();
    let refusal = Effect::Error { code: "AuthFailure.UnauthorizedOperation".to_owned(), message };
    for effect in [refusal, Effect::Garbage, Effect::TruncateBody(200), Effect::DropAfterReading] {
        stage.control().inject(Fault::new(Target::Sts, effect));
        stage.gateway.signal("HUP");
        let calls = stage.control().counters().sts_calls_of("AssumeRoleWithWebIdentity");
        eventually("it was asked", || stage.control().counters().sts_calls_of("AssumeRoleWithWebIdentity") > calls);
        stage.control().clear_faults();
    }
    fs::write(&token_file, "").unwrap();
    stage.gateway.signal("HUP");
    eventually("it is told", || stage.gateway.log.lock().unwrap().contains("the identity token"));

    for (name, text) in outputs(&stage) {
        secrets.assert_absent(name, &text);
    }
}

#[test]
fn the_gateway_leaves_no_core_dump() {
    let stage = Stage::new();

    let limits = fs::read_to_string(format!("/proc/{}/limits", stage.gateway.pid())).unwrap();

    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..], ["0", "0", "bytes"]);
}

/// Tells the test below that it runs in the process that is to panic.
const PANICS: &str = "GATEWAY_TEST_PANICS";

/// Starts itself once more: what panics are told by belongs to a process, and this one has other tests.
#[test]
#[expect(clippy::disallowed_methods, reason = "how the parent tells the child which of the two it is")]
fn a_panic_is_told_by_its_place_and_not_by_what_it_says() {
    if std::env::var_os(PANICS).is_some() {
        telemetry::start(&telemetry::Settings { level: "info".to_owned(), format: telemetry::Format::Json }).unwrap();
        assert!(thread::spawn(|| panic!("hunter2")).join().is_err());
        // The log has a thread of its own, which would end with the process.
        assert!(telemetry::flush());
        return;
    }

    let child = Command::new(std::env::current_exe().unwrap())
        .args(["secrets::a_panic_is_told_by_its_place_and_not_by_what_it_says", "--exact", "--nocapture"])
        .env(PANICS, "yes")
        .output()
        .unwrap();

    let told = format!("{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{told}");
    assert!(told.contains("1 passed"), "the child ran nothing: {told}");
    assert!(told.contains("\"panicked\"") && told.contains("tests/gateway/secrets.rs:"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}
