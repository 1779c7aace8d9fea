//! The commands around the configuration, as a person or a script meets them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const VALID: &str = r#"
[tencent]
regions = ["ap-chengdu"]

[[auth.issuers]]
name = "sso"
issuer = "https://sso.example.internal"
audiences = ["redis-backup-gateway"]
jwks_url = "https://sso.example.internal/jwks"
"#;

/// Runs the program in `folder` without any variable but these.
fn gateway(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_redis-backup-gateway"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder)
        .output()
        .expect("the program was built with this test")
}

/// A folder with `gateway.toml` and one policy where policies are looked for.
fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("gateway.toml"), text).expect("a writable folder");
    let policies = folder.path().join("config/policies");
    fs::create_dir_all(&policies).expect("a writable folder");
    fs::write(policies.join("dba.cedar"), "permit (principal in Group::\"dba\", action, resource);\n")
        .expect("a writable folder");
    folder
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the program writes UTF-8");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_valid_configuration_is_one_line_and_exit_code_0() {
    let folder = folder_with(VALID);

    for (arguments, variables) in [
        (&["check-config", "--config", "gateway.toml"][..], &[][..]),
        (&["--config", "gateway.toml", "check-config"], &[("GATEWAY_CONFIG", "elsewhere.toml")]),
        (&["check-config"], &[("GATEWAY_CONFIG", "gateway.toml")]),
    ] {
        let output = gateway(folder.path(), arguments, variables);

        assert_eq!(said(&output), (Some(0), "configuration is valid\n".to_owned(), String::new()), "{arguments:?}");
    }
}

#[test]
fn an_invalid_configuration_is_every_problem_and_exit_code_1() {
    let folder = folder_with("[server]\nworkers = -1\nlisten = \"x\"\n");

    let output =
        gateway(folder.path(), &["check-config", "--config", "gateway.toml"], &[("GATEWAY_LOG__LEVEL", "loud")]);

    let (code, stdout, stderr) = said(&output);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("the configuration has 5 problems:\n"), "{stderr}");
    for start in [
        "server.workers (gateway.toml:2:11): ",
        "server.listen (gateway.toml:3:10): ",
        "auth.issuers: ",
        "tencent.regions: ",
        "log.level (GATEWAY_LOG__LEVEL): ",
    ] {
        assert!(stderr.contains(&format!("\n  {start}")), "{start} {stderr}");
    }
}

#[test]
fn a_folder_of_policies_that_is_not_there_is_a_problem() {
    let folder = folder_with(VALID);

    let output =
        gateway(folder.path(), &["check-config", "--config", "gateway.toml"], &[("GATEWAY_POLICY__DIR", "nowhere")]);

    let (code, _, stderr) = said(&output);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("policy.dir (GATEWAY_POLICY__DIR): must be a folder that can be read"), "{stderr}");
}

#[test]
fn the_printed_configuration_is_read_back() {
    let folder = folder_with(VALID);
    let printed = gateway(folder.path(), &["check-config", "--print", "--config", "gateway.toml"], &[]);
    assert_eq!(printed.status.code(), Some(0));
    fs::write(folder.path().join("printed.toml"), &printed.stdout).expect("a writable folder");

    let output = gateway(folder.path(), &["check-config", "--config", "printed.toml"], &[]);

    assert_eq!(said(&output), (Some(0), "configuration is valid\n".to_owned(), String::new()));
}

#[test]
fn serving_with_a_bad_configuration_is_exit_code_2() {
    let folder = folder_with("[server]\nworkers = -1\n");
    for arguments in [
        &["serve", "--config", "gateway.toml"][..],
        &["--config", "gateway.toml"],
        &["health", "--config", "gateway.toml"],
    ] {
        let (code, stdout, stderr) = said(&gateway(folder.path(), arguments, &[]));

        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains("server.workers (gateway.toml:2:11): "), "{stderr}");
    }
}

#[test]
fn without_a_file_the_way_to_name_one_is_told() {
    let folder = folder_with(VALID);

    let (code, _, stderr) = said(&gateway(folder.path(), &[], &[]));

    assert_eq!(code, Some(2));
    assert!(
        stderr.ends_with("no configuration file was named; name one with --config FILE or GATEWAY_CONFIG\n"),
        "{stderr}"
    );
}

#[test]
fn a_wrong_usage_is_exit_code_2() {
    let folder = folder_with(VALID);
    for arguments in [&["frobnicate"][..], &["--xconfig", "x"], &["check-config", "--config"], &["serve", "--print"]] {
        let (code, stdout, stderr) = said(&gateway(folder.path(), arguments, &[]));

        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.starts_with("error: ") && stderr.contains("--help"), "{stderr}");
    }
}

#[test]
fn version_and_help_are_answers() {
    let folder = folder_with(VALID);

    let (code, version, _) = said(&gateway(folder.path(), &["--version"], &[]));
    let (help_code, help, _) = said(&gateway(folder.path(), &["--help"], &[]));

    assert_eq!((code, help_code), (Some(0), Some(0)));
    let start = format!("redis-backup-gateway {} (", env!("CARGO_PKG_VERSION"));
    assert!(version.starts_with(&start) && version.ends_with(")\n"), "{version}");
    for word in ["serve", "check-config", "health", "--config <FILE>", "Exit codes: 0 done, 1 said no, 2 wrong"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn a_gateway_that_is_not_there_is_not_healthy() {
    let folder = folder_with(VALID);
    // Port 1 (tcpmux) is nobody's any more.
    let variables = [("GATEWAY_SERVER__ADMIN_LISTEN", "127.0.0.1:1")];

    let (code, stdout, stderr) = said(&gateway(folder.path(), &["health", "--config", "gateway.toml"], &variables));

    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("unhealthy: http://127.0.0.1:"), "{stderr}");
}
