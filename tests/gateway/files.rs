//! One file by its number, and the newest backup by its name.

use std::io::Read as _;

use sandbox::{Effect, Fault, TokenSpec, known};

use crate::harness::{Stage, ask, urls_path};

/// The path of a file of a backup of the seed's instance.
fn file_path(backup: &str, n: &str) -> String {
    format!("/instances/{}/backups/{backup}/files/{n}?region=ap-chengdu", known::ORDERS)
}

#[test]
fn a_file_is_a_redirect_to_its_url_byte_for_byte() {
    let stage = Stage::new();
    let urls = stage.get(&stage.seed_path()).json();

    for n in 1..=5 {
        let answer = stage.get(&file_path(known::SEED_BACKUP, &n.to_string()));

        assert_eq!(answer.status, 302, "{}", answer.text());
        assert_eq!(answer.header("location"), urls["files"][n - 1]["download_url"].as_str());
        assert_eq!(answer.body, b"");
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(answer.header("cache-status").unwrap().starts_with("redis-backup-gateway; hit; ttl="));
        let mut dump = Vec::new();
        let url = answer.header("location").unwrap();
        ureq::get(url).call().unwrap().body_mut().as_reader().read_to_end(&mut dump).unwrap();
        assert!(dump.starts_with(b"REDIS"));
    }
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 1);
}

#[test]
fn a_file_has_its_inner_address_too_and_whatever_accept_says() {
    let stage = Stage::new();
    let token = format!("Bearer {}", stage.token());
    let urls = stage.get(&stage.seed_path()).json();
    let path = format!("{}&network=inner", file_path(known::SEED_BACKUP, "2"));

    let inner = stage.gateway.get(&path, &[("Authorization", &token), ("Accept", "image/png")]);
    let head = ask(stage.gateway.public, "HEAD", &path, &[("Authorization", &token)]);

    assert_eq!(inner.status, 302);
    assert_eq!(inner.header("location"), urls["files"][1]["inner_download_url"].as_str());
    assert_eq!(head.status, 302);
    assert_eq!(head.header("location"), inner.header("location"));
}

#[test]
fn a_permit_for_the_inner_network_opens_no_public_address() {
    let stage = Stage::new();
    let token = format!("Bearer {}", stage.sandbox.token(&TokenSpec::new("orders-restore")));
    let get = |query: &str| {
        let path = format!("{}{query}", file_path(known::SEED_BACKUP, "1"));
        stage.gateway.get(&path, &[("Authorization", &token)])
    };

    assert_eq!(get("&network=inner").status, 302);
    get("&network=public").assert_problem(403, "forbidden");
    get("").assert_problem(403, "forbidden");
}

#[test]
fn a_file_past_the_end_is_404_and_what_is_no_number_is_400() {
    let stage = Stage::new();

    for n in ["6", "999999"] {
        stage.get(&file_path(known::SEED_BACKUP, n)).assert_problem(404, "backup_not_found");
    }
    for n in ["0", "-1", "01", "1000000", "x", "%31%00", "1.0"] {
        let answer = stage.get(&file_path(known::SEED_BACKUP, n));

        answer.assert_problem(400, "invalid_request");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with("n must match"), "{n}: {}", answer.text());
    }
    stage.get(&file_path("no-such-backup", "1")).assert_problem(404, "backup_not_found");
}

#[test]
fn the_audit_names_the_file() {
    let stage = Stage::new();
    let name = stage.get(&stage.seed_path()).json()["files"][2]["name"].clone();

    stage.get(&file_path(known::SEED_BACKUP, "3"));
    stage.get(&file_path(known::SEED_BACKUP, "9"));

    let records = stage.gateway.records_of(3);
    assert!(records[0]["file"].is_null() && records[0]["file_name"].is_null());
    assert_eq!((&records[1]["file"], &records[1]["file_name"]), (&3.into(), &name));
    assert_eq!((&records[1]["network"], &records[1]["status"]), (&"public".into(), &302.into()));
    assert!(records[1]["expires_at"].is_string());
    assert_eq!((&records[2]["file"], &records[2]["status"]), (&9.into(), &404.into()));
    assert!(records[2]["file_name"].is_null() && records[2]["expires_at"].is_null());
    assert_eq!(records[2]["decision"], "allow");
}

#[test]
fn latest_is_the_newest_finished_backup_and_is_looked_up_each_time() {
    let stage = Stage::new();

    let urls = stage.get(&urls_path("latest"));
    let again = stage.get(&urls_path("latest"));
    let file = stage.get(&file_path("latest", "1"));

    // Newer ones exist, but are not finished.
    assert_eq!(urls.json()["backup_id"], known::ORDERS_LATEST, "{}", urls.text());
    assert_eq!(again.body, urls.body);
    assert!(again.header("cache-status").unwrap().starts_with("redis-backup-gateway; hit"));
    assert_eq!(file.header("location"), urls.json()["files"][0]["download_url"].as_str());
    let counters = stage.control().counters();
    assert_eq!((counters.calls_of("DescribeInstanceBackups"), counters.calls_of("DescribeBackupUrl")), (3, 1));
    let records = stage.gateway.records_of(3);
    assert!(records.iter().all(|record| record["backup_id"] == known::ORDERS_LATEST), "{records:?}");
    assert!(records.iter().all(|record| record["action"] == "ReadBackupUrls"));
}

#[test]
fn latest_among_hundreds_takes_one_call_where_the_list_goes_back_in_time() {
    let stage = Stage::new();
    stage.control().update(|settings| {
        settings.list_synthetic = true;
        settings.synthetic_backups = 250;
    });

    let urls = stage.get(&urls_path("latest"));

    assert_eq!(urls.json()["backup_id"], known::ORDERS_LATEST, "{}", urls.text());
    assert_eq!(stage.control().counters().calls_of("DescribeInstanceBackups"), 1);
}

#[test]
fn an_instance_without_a_finished_backup_has_no_latest() {
    let stage = Stage::new();
    stage.control().update(|settings| settings.synthetic_instances = 1);

    let answer = stage.get("/instances/crs-synthetic0/backups/latest/urls?region=ap-guangzhou");
    let unknown = stage.get("/instances/crs-nowhere/backups/latest/urls?region=ap-guangzhou");

    unknown.assert_problem(404, "instance_not_found");
    assert_eq!(answer.status, 404, "{}", answer.text());
    let denied = stage.sandbox.token(&TokenSpec::new("mallory"));
    let before = stage.control().counters().calls_of("DescribeInstanceBackups");
    let denied = stage.gateway.get(&urls_path("latest"), &[("Authorization", &format!("Bearer {denied}"))]);
    denied.assert_problem(403, "forbidden");
    assert_eq!(stage.control().counters().calls_of("DescribeInstanceBackups"), before);
}

#[test]
fn an_upstream_that_cannot_list_is_an_honest_error_for_latest() {
    let stage = Stage::new();
    stage.control().inject(Fault::api(Effect::Status(503)).action("DescribeInstanceBackups"));

    stage.get(&urls_path("latest")).assert_problem(502, "upstream_error");
    assert_eq!(stage.get(&stage.seed_path()).status, 200);
}
