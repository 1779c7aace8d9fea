//! Web pages of other origins: what they are told, and what not.

use crate::harness::{Answer, Stage, ask};

const DASHBOARD: &str = "https://dashboard.example.internal";
const LISTED: &str =
    "GATEWAY_CORS__ALLOWED_ORIGINS=[\"https://dashboard.example.internal\", \"http://localhost:3000\"]";

fn preflight(stage: &Stage, path: &str, origin: &str) -> Answer {
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "authorization,x-access-reason"),
    ];
    ask(stage.gateway.public, "OPTIONS", path, &headers)
}

fn is_granted(answer: &Answer, origin: &str) -> bool {
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    answer.header("access-control-allow-origin") == Some(origin)
}

#[test]
fn a_preflight_of_a_listed_origin_is_answered_without_a_token() {
    let stage = Stage::with(LISTED);

    for origin in [DASHBOARD, "http://localhost:3000"] {
        let answer = preflight(&stage, &stage.seed_path(), origin);

        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert!(is_granted(&answer, origin));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD"));
        let headers = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        for header in ["authorization", "cache-control", "traceparent", "x-access-reason", "x-request-id"] {
            assert!(headers.contains(header), "{headers}");
        }
        assert!(answer.header("access-control-max-age").is_some());
    }
    assert!(stage.gateway.records_of(0).is_empty());
}

#[test]
fn a_preflight_of_a_foreign_origin_is_an_options_like_any_other() {
    let stage = Stage::with(LISTED);

    for origin in ["https://evil.example", "null", "https://dashboard.example.internal.evil.example"] {
        let inside = preflight(&stage, &stage.seed_path(), origin);
        let outside = preflight(&stage, "/healthz", origin);

        inside.assert_problem(401, "unauthenticated");
        outside.assert_problem(405, "method_not_allowed");
        assert!(inside.headers.iter().all(|(name, _)| !name.starts_with("access-control-")));
    }
}

#[test]
fn every_answer_to_a_listed_origin_can_be_read_by_its_page() {
    let stage = Stage::with(&format!(
        "{LISTED}\nGATEWAY_RATE_LIMIT__PER_CALLER__BURST=3\nGATEWAY_RATE_LIMIT__PER_CALLER__REQUESTS_PER_SECOND=1"
    ));
    let token = format!("Bearer {}", stage.token());
    let get = |path: &str, authorization: Option<&str>| {
        let mut headers = vec![("Origin", DASHBOARD)];
        headers.extend(authorization.map(|value| ("Authorization", value)));
        stage.gateway.get(path, &headers)
    };

    let answers = [
        get(&stage.seed_path(), Some(&token)),
        get(&stage.seed_path(), None),
        get("/instances/x/y", Some(&token)),
        get("/nowhere", None),
        get("/healthz", None),
        get(&stage.seed_path().replace("/urls", "/files/1"), Some(&token)),
        get(&stage.seed_path(), Some(&token)),
    ];

    assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 401, 404, 404, 200, 302, 429]);
    for answer in &answers {
        assert!(is_granted(answer, DASHBOARD));
        let exposed = answer.header("access-control-expose-headers").unwrap().to_ascii_lowercase();
        for header in
            ["cache-status", "x-request-id", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate"]
        {
            assert!(exposed.split(", ").any(|exposed| exposed == header), "{exposed}");
        }
        assert!(answer.headers.iter().any(|(name, value)| name == "vary" && value == "Origin"));
    }
}

#[test]
fn answers_to_a_foreign_origin_grant_nothing_and_still_vary() {
    let stage = Stage::with(LISTED);
    let token = format!("Bearer {}", stage.token());

    for origin in
        ["https://evil.example", "https://DASHBOARD.example.internal", "https://dashboard.example.internal:443"]
    {
        let answer = stage.gateway.get(&stage.seed_path(), &[("Origin", origin), ("Authorization", &token)]);

        assert_eq!(answer.status, 200);
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")));
        assert!(answer.headers.iter().any(|(name, value)| name == "vary" && value == "Origin"));
    }
}

#[test]
fn without_a_list_nobody_is_granted_anything() {
    let stage = Stage::new();

    let answer = stage.gateway.get("/healthz", &[("Origin", DASHBOARD)]);
    let refused = preflight(&stage, "/healthz", DASHBOARD);

    assert_eq!(answer.status, 200);
    refused.assert_problem(405, "method_not_allowed");
    for answer in [answer, refused] {
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-") && name != "vary"));
    }
}
