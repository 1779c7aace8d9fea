//! A gateway that would not be able to speak HTTPS does not start, and says what is wrong with which file.

use std::{
    fs,
    process::{Command, Output},
};

use ::time::Duration;
use sandbox::{Options, Sandbox};

use crate::{
    certificates::{Authority, Folder},
    harness::{Gateway, configuration},
};

/// Runs a command of the gateway to its end, with `[server.tls]` as the test says.
fn run(command: &str, tls: &str) -> Output {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    fs::write(&file, configuration(&sandbox) + "\n[server.tls]\n" + tls).unwrap();
    Command::new(env!("CARGO_BIN_EXE_redis-backup-gateway"))
        .args([command, "--config"])
        .arg(&file)
        .env_clear()
        .envs(Gateway::credentials())
        .output()
        .unwrap()
}

fn section(folder: &Folder, client_ca_file: &str) -> String {
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    format!("cert_file = {:?}\nkey_file = {:?}\n{client_ca_file}", cert.display(), key.display())
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_wrong_with_a_file_is_told_at_start_and_by_check_config() {
    let root = Authority::new("root");
    let other = root.server();
    let expired = root.server_valid(Duration::days(-90), -Duration::DAY);
    let early = root.server_valid(Duration::DAY, Duration::days(90));
    let none = "";

    for (file, content, complaint) in [
        ("cert.pem", none, "holds no certificate in PEM"),
        ("key.pem", none, "holds no private key in PEM"),
        ("key.pem", &*other.key_pem(), "its private key is not that of the first certificate in server.tls.cert_file"),
        ("cert.pem", &*expired.certificate_pem(), "certificate 1 expired on "),
        ("cert.pem", &*early.certificate_pem(), "certificate 1 is not valid before "),
    ] {
        let folder = Folder::new(&root.server());
        folder.write(file, content);
        let key = if file == "cert.pem" { "server.tls.cert_file" } else { "server.tls.key_file" };
        let path = folder.path(file).display().to_string();

        for (command, code) in [("serve", 2), ("check-config", 1)] {
            let output = run(command, &section(&folder, ""));
            let said = errors(&output);

            assert_eq!(output.status.code(), Some(code), "{command}: {said}");
            let line = said.lines().find(|line| line.contains(key) && !line.starts_with('{'));
            let line = line.unwrap_or_else(|| panic!("{command}: {key} is not in {said}"));
            assert!(line.contains(&path) && line.contains(complaint), "{command}: {line}");
        }
    }
}

#[test]
fn check_config_reads_the_authorities_of_clients_and_is_content_with_good_files() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server());
    folder.write("clients.pem", &root.pem());
    let clients = format!("client_ca_file = {:?}\n", folder.path("clients.pem").display());

    let good = run("check-config", &section(&folder, &clients));
    folder.write("clients.pem", "");
    let bad = run("check-config", &section(&folder, &clients));

    assert_eq!(good.status.code(), Some(0), "{}", errors(&good));
    assert_eq!(bad.status.code(), Some(1));
    assert!(errors(&bad).contains("server.tls.client_ca_file"), "{}", errors(&bad));
}

#[test]
fn half_a_section_is_not_taken_for_none() {
    let folder = Folder::new(&Authority::new("root").server());
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));

    for (written, missing) in [
        (format!("cert_file = {:?}\n", cert.display()), "server.tls.key_file"),
        (format!("key_file = {:?}\n", key.display()), "server.tls.cert_file"),
        (format!("client_ca_file = {:?}\n", cert.display()), "server.tls.cert_file"),
        (String::new(), "server.tls.cert_file"),
    ] {
        let output = run("serve", &written);

        assert_eq!(output.status.code(), Some(2));
        assert!(errors(&output).contains(missing), "{written}: {}", errors(&output));
    }
}
