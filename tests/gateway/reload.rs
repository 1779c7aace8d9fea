//! New policies while the gateway serves: no restart, no failed request, and a mistake takes nothing away.

use std::{fs, path::Path, time::Duration};

use sandbox::{Options, Sandbox};

use crate::harness::{Gateway, Stage, ask, configuration, eventually, load_while};

/// Lets the group dba do everything, and nobody else anything.
const PERMIT: &str = "@id(\"dba\") permit (principal in Group::\"dba\", action, resource);\n";

/// Lets nobody do anything.
const FORBID: &str = "@id(\"nobody\") forbid (principal, action, resource);\n";

fn stage_with_policies(dir: &Path, text: &str) -> Stage {
    fs::write(dir.join("rules.cedar"), text).unwrap();
    Stage::with(&format!("GATEWAY_POLICY__DIR={}", dir.display()))
}

fn log_of(stage: &Stage) -> String {
    stage.gateway.log.lock().unwrap().clone()
}

#[test]
fn a_changed_policy_takes_effect_by_itself_and_for_cached_urls_too() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage_with_policies(dir.path(), PERMIT);
    assert_eq!(stage.get(&stage.seed_path()).status, 200);

    fs::write(dir.path().join("rules.cedar"), FORBID).unwrap();
    eventually("the new policy holds", || stage.get(&stage.seed_path()).status == 403);
    fs::write(dir.path().join("rules.cedar"), PERMIT).unwrap();
    eventually("the old policy holds again", || stage.get(&stage.seed_path()).status == 200);

    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 1);
}

#[test]
fn swapped_links_are_a_change_as_kubernetes_makes_them() {
    let dir = tempfile::tempdir().unwrap();
    for (generation, text) in [("..1", PERMIT), ("..2", FORBID)] {
        fs::create_dir(dir.path().join(generation)).unwrap();
        fs::write(dir.path().join(generation).join("rules.cedar"), text).unwrap();
    }
    std::os::unix::fs::symlink("..1", dir.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/rules.cedar", dir.path().join("rules.cedar")).unwrap();
    let stage = Stage::with(&format!("GATEWAY_POLICY__DIR={}", dir.path().display()));
    assert_eq!(stage.get(&stage.seed_path()).status, 200);

    std::os::unix::fs::symlink("..2", dir.path().join("..next")).unwrap();
    fs::rename(dir.path().join("..next"), dir.path().join("..data")).unwrap();

    eventually("the new policy holds", || stage.get(&stage.seed_path()).status == 403);
}

#[test]
fn a_policy_with_a_mistake_is_told_with_its_place_and_the_old_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage_with_policies(dir.path(), PERMIT);

    fs::write(dir.path().join("rules.cedar"), format!("{FORBID}permit (principl, action, resource);\n")).unwrap();
    eventually("the mistake is told", || log_of(&stage).contains("rules.cedar:2:9"));

    assert_eq!(stage.get(&stage.seed_path()).status, 200);
    assert!(log_of(&stage).contains("not reloaded"), "{}", log_of(&stage));
    let metrics = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
    assert!(metrics.contains("gateway_reloads_total{result=\"error\",what=\"policies\"} 1\n"), "{metrics}");
    assert!(metrics.contains("gateway_reloads_total{result=\"ok\",what=\"policies\"} 0\n"), "{metrics}");
    assert!(metrics.contains("gateway_last_reload_successful{what=\"policies\"} 0\n"), "{metrics}");
}

#[test]
fn a_file_of_keys_with_a_mistake_is_told_until_it_is_mended() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let keys = tempfile::NamedTempFile::new().unwrap();
    let good = ask(sandbox.issuer_url().trim_start_matches("http://").parse().unwrap(), "GET", "/jwks", &[]).text();
    fs::write(keys.path(), &good).unwrap();
    let second = format!(
        "[[auth.issuers]]\nname = \"cluster\"\nprefix = \"k8s:\"\nissuer = \"https://cluster.example\"\n\
         audiences = [\"a\"]\nalgorithms = [\"RS256\"]\njwks_file = \"{}\"\n\n[policy]",
        keys.path().display()
    );
    let gateway = Gateway::configured(&configuration(&sandbox).replace("[policy]", &second), "");
    let is_told = |value: u8| {
        let scrape = gateway.ask(gateway.admin, "GET", "/metrics", &[]).text();
        scrape.contains(&format!("gateway_last_reload_successful{{what=\"key_files\"}} {value}\n"))
    };
    eventually("the keys are in force", || is_told(1));

    fs::write(keys.path(), "{").unwrap();
    eventually("the mistake is told", || is_told(0));
    fs::write(keys.path(), &good).unwrap();

    // The same keys as before are no news, and the mistake is mended all the same.
    eventually("the keys are in force", || is_told(1));
}

#[test]
fn sighup_reloads_at_once_and_says_what_needs_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage_with_policies(dir.path(), PERMIT);

    fs::write(dir.path().join("rules.cedar"), FORBID).unwrap();
    let configuration = stage.gateway.configuration_file();
    fs::write(&configuration, fs::read_to_string(&configuration).unwrap() + "\n[log]\nlevel = \"debug\"\n").unwrap();
    stage.gateway.signal("HUP");
    eventually("the new policy holds", || stage.get(&stage.seed_path()).status == 403);
    eventually("the file is named", || log_of(&stage).contains("it takes effect with a restart"));

    assert!(log_of(&stage).contains("SIGHUP"));
    stage.gateway.signal("TERM");
    assert_eq!(stage.gateway.wait().code(), Some(0));
}

#[test]
fn a_policy_changes_under_load_without_a_failed_request() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage_with_policies(dir.path(), PERMIT);
    assert_eq!(stage.get(&stage.seed_path()).status, 200);

    // A caller's own quota is 50 a second.
    let (pause, path) = (Duration::from_millis(30), || stage.seed_path());
    let answers = load_while(&stage, pause, path, || {
        fs::write(dir.path().join("rules.cedar"), format!("{PERMIT}// the same, said twice\n")).unwrap();
        eventually("the policies are reloaded", || log_of(&stage).contains("\"reloaded\""));
    });

    assert!(answers.len() > 50, "{}", answers.len());
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(stage.control().counters().calls_of("DescribeBackupUrl"), 1);
}
