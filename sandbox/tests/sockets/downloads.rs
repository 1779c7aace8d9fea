//! The pre-signed URLs: what they download, until when, and what a changed one gets.

use std::process::Command;

use sandbox::{Options, Sandbox, UrlForm};

use crate::support::{Call, ask, first_urls, now};

const FORMS: [UrlForm; 3] = [UrlForm::Sign, UrlForm::Parameters, UrlForm::BareSemicolon];

fn start() -> Sandbox {
    Sandbox::start(Options::default()).expect("starts")
}

#[test]
fn every_form_downloads_an_rdb_of_the_size_that_was_told() {
    let sandbox = start();
    for form in FORMS {
        sandbox.control().update(|settings| settings.urls.form = form);

        let answer = Call::urls(&sandbox).send();
        let (public, inner) = first_urls(&answer);
        let (download, inner_download) = (ask("GET", &public, ""), ask("GET", &inner, ""));

        assert_eq!((download.status, inner_download.status), (200, 200), "{form:?}");
        assert!(download.body.starts_with(b"REDIS0009"));
        assert_eq!(answer.json()["Response"]["BackupInfos"][0]["FileSize"], download.body.len());
        assert_ne!(public, inner);
    }
    assert_eq!(sandbox.control().counters().downloads, 6);
}

#[test]
fn a_head_tells_the_length_and_sends_no_body() {
    let sandbox = start();
    let (url, _) = first_urls(&Call::urls(&sandbox).send());

    let (head, get) = (ask("HEAD", &url, ""), ask("GET", &url, ""));

    assert_eq!(head.status, 200);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), get.header("content-length"));
}

#[test]
fn a_url_dies_when_its_time_is_over() {
    let sandbox = start();
    let (url, _) = first_urls(&Call::urls(&sandbox).send());

    sandbox.control().set_cloud_clock(now() + 6 * 3600 - 5);
    let before = ask("GET", &url, "");
    sandbox.control().set_cloud_clock(now() + 6 * 3600 + 5);
    let after = ask("GET", &url, "");

    assert_eq!((before.status, after.status), (200, 403));
    assert_eq!(after.header("content-type"), Some("application/xml"));
    assert!(after.text().contains("<Code>AccessDenied</Code>"));
    assert!(after.text().contains("<Message>Request has expired</Message>"));
}

#[test]
fn a_changed_url_is_told_so_in_xml() {
    let sandbox = start();
    let (url, _) = first_urls(&Call::urls(&sandbox).send());

    let other_file = ask("GET", &url.replace("ignore-1-ignore", "ignore-2-ignore"), "");
    let unsigned = ask("GET", url.split_once('?').expect("a query").0, "");

    assert_eq!((other_file.status, unsigned.status), (403, 403));
    assert!(other_file.text().contains("<Code>SignatureDoesNotMatch</Code>"));
    assert!(unsigned.text().contains("<Code>AccessDenied</Code>"));
}

#[test]
fn the_lifetime_is_what_was_asked_and_the_start_is_back_dated() {
    let sandbox = start();
    sandbox.control().update(|settings| {
        settings.urls.form = UrlForm::BareSemicolon;
        settings.urls.lifetime_s = 8;
        settings.urls.key_lifetime_s = Some(5);
        settings.urls.security_token = true;
    });

    let (url, _) = first_urls(&Call::urls(&sandbox).send());

    let span = |name: &str| {
        let (start, end) = url.split(&format!("{name}=")).nth(1)?.split('&').next()?.split_once(';')?;
        Some(end.parse::<i64>().ok()? - start.parse::<i64>().ok()?)
    };
    assert_eq!((span("q-sign-time"), span("q-key-time")), (Some(68), Some(65)));
    assert!(url.contains("&x-cos-security-token=SANDBOXcosToken%2Fwith%2Bchars%3D%3D"));
    assert_eq!(ask("GET", &url, "").status, 200);
}

#[test]
fn redis_itself_accepts_the_dump() {
    // The tool comes with Debian's redis-tools; a machine without it has the checksum test of the RDB maker.
    let Ok(version) = Command::new("redis-check-rdb").arg("--version").output() else { return };
    assert!(version.status.success());
    let sandbox = start();
    let (url, _) = first_urls(&Call::urls(&sandbox).send());
    let file = std::env::temp_dir().join(format!("sandbox-{}.rdb", std::process::id()));
    std::fs::write(&file, ask("GET", &url, "").body).expect("writes");

    let check = Command::new("redis-check-rdb").arg(&file).output().expect("runs");

    std::fs::remove_file(&file).expect("removes");
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success(), "{said}");
    assert!(said.contains("Checksum OK") && said.contains("RDB looks OK"), "{said}");
}
