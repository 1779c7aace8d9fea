//! No secret in any output, however much is logged.

use sandbox::{Effect, Fault, credential, known};

use crate::harness::{Stage, urls_path};

#[test]
fn nothing_secret_is_logged_even_at_trace_level() {
    let stage = Stage::with("GATEWAY_LOG__LEVEL=trace");
    let token = stage.token();
    let header = format!("Bearer {token}");
    let get = |path: &str| stage.gateway.get(path, &[("Authorization", &header)]);
    let faults = [
        Effect::Status(500),
        Effect::Garbage,
        Effect::Reset,
        Effect::Hang,
        Effect::CutAfterBytes(400),
        Effect::Error { code: "AuthFailure.SecretIdNotFound".to_owned(), message: credential::SECRET_ID.to_owned() },
        Effect::Redirect("http://127.0.0.1:1/?q-signature=x".to_owned()),
    ];

    let first = get(&stage.seed_path());
    assert_eq!(first.status, 200);
    assert_eq!(get(&stage.seed_path()).status, 200);
    assert_eq!(get(&urls_path("no-such-backup")).status, 404);
    for (number, fault) in faults.into_iter().enumerate() {
        stage.control().inject(Fault::api(fault).times(1));
        get(&urls_path(&known::synthetic_backup(u32::try_from(number).unwrap())));
    }
    stage.gateway.get(&stage.seed_path(), &[("Authorization", &format!("{header}x"))]);
    stage.gateway.get(&format!("{}&token={token}", stage.seed_path()), &[("Authorization", &header)]);
    let url = first.json()["files"][0]["download_url"].as_str().unwrap().to_owned();
    let signature = url.split("q-signature").nth(1).unwrap().to_owned();
    stage.control().update(|settings| settings.clock_skew_s = 400);
    get(&urls_path(&known::synthetic_backup(99)));

    let signed_part = token.rsplit('.').next().unwrap();
    let log = stage.gateway.log.lock().unwrap().clone();
    let audit = stage.gateway.audit.lock().unwrap().clone();
    assert!(log.len() > 1000, "trace says nothing: {log}");
    for (name, text) in [("log", &log), ("audit", &audit)] {
        for secret in [
            credential::SECRET_KEY,
            token.as_str(),
            signed_part,
            "q-signature",
            signature.as_str(),
            url.as_str(),
            "TC3-HMAC-SHA256 Credential",
        ] {
            let found = text.lines().find(|line| line.contains(secret));
            assert_eq!(found, None, "{secret} stands in the {name}");
        }
    }
}
