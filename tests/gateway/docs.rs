//! The description of the API: it is served, it is true, and the page that shows it loads nothing from elsewhere.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{Stage, ask};

fn repository_document() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_path_of_the_document_asks_for_a_token_or_is_public_on_purpose() {
    let stage = Stage::new();
    let document = repository_document();
    let public = ["/healthz", "/openapi.json"];

    for (path, item) in document["paths"].as_object().unwrap() {
        let mut target = path.clone();
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten() {
            let value = parameter["example"].to_string();
            target = target.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), value.trim_matches('"'));
        }
        assert!(!target.contains('{'), "{target}: a path parameter without an example");

        for (method, status) in [("GET", 401), ("HEAD", 401), ("DELETE", 401), ("POST", 401)] {
            let answer = ask(stage.gateway.public, method, &target, &[]);

            if public.contains(&path.as_str()) {
                assert_eq!(answer.status, if matches!(method, "GET" | "HEAD") { 200 } else { 405 }, "{method} {path}");
                assert!(item["get"].get("security").is_none(), "{path}");
                continue;
            }
            assert_eq!(answer.status, status, "{method} {path}");
            if method != "HEAD" {
                answer.assert_problem(status, "unauthenticated");
            }
            assert_eq!(item["get"]["security"], json!([{"bearer": []}]), "{path}");
        }
    }
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"].as_object().unwrap().len() >= 6);
}

#[test]
fn the_served_document_is_the_kept_one_with_the_regions_of_this_gateway() {
    let stage = Stage::new();

    let answer = stage.gateway.get("/openapi.json", &[]);

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let mut served = answer.json();
    let regions = json!(["ap-guangzhou", "ap-chengdu", "ap-shanghai-fsi"]);
    for item in served["paths"].as_object_mut().unwrap().values_mut() {
        let parameters = item["get"].get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            if parameter["name"] == "region" {
                assert_eq!(parameter["schema"]["enum"], regions);
                parameter["schema"].as_object_mut().unwrap().remove("enum");
            }
        }
    }
    assert!(served == repository_document(), "{}", answer.text());
}

#[test]
fn the_page_and_its_parts_are_served_under_a_policy_that_lets_nothing_else_in() {
    let stage = Stage::new();

    let root = stage.gateway.get("/", &[]);
    let page = stage.gateway.get("/docs", &[]);
    let script = stage.gateway.get("/docs/reader.js", &[]);
    let style = stage.gateway.get("/docs/reader.css", &[]);

    assert_eq!((root.status, root.header("location")), (303, Some("/docs")));
    for (answer, content_type) in [
        (&page, "text/html; charset=utf-8"),
        (&script, "text/javascript; charset=utf-8"),
        (&style, "text/css; charset=utf-8"),
    ] {
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        // No address of another host, and nothing inline.
        assert!(!answer.text().contains("//cdn") && !answer.text().contains("https://"), "{content_type}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert!(!page.text().contains("style=") && !page.text().contains("onclick"));
    assert_eq!(script.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
    ask(stage.gateway.public, "POST", "/docs", &[]).assert_problem(405, "method_not_allowed");
    stage.gateway.get("/docs/", &[]).assert_problem(404, "not_found");
}
