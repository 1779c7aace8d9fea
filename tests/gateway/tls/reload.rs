//! New certificates and new authorities of clients while the gateway serves: nobody notices who need not.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ::time::Duration;
use rustls::version::TLS13;

use super::{BOTH, bearer, client, handshakes, metric, mutual_stage, stage};
use crate::{
    certificates::{Authority, Folder, Leaf},
    harness::{Answer, Stage, eventually, wait},
    tls_client::TlsClient,
};

/// The certificate that a new connection is shown.
fn shown(stage: &Stage, client: &TlsClient) -> Vec<u8> {
    client.connect(stage.gateway.public).unwrap().certificates().swap_remove(0)
}

fn install(folder: &Folder, leaf: &Leaf) {
    folder.write("cert.pem", &leaf.certificate_pem());
    folder.write("key.pem", &leaf.key_pem());
}

fn reloads(stage: &Stage, result: &str) -> i64 {
    metric(stage, &format!("gateway_reloads_total{{result=\"{result}\",what=\"tls\"}}"))
}

/// Asks again and again for as long as `meanwhile` takes, a few callers on connections that they keep and a few on a new
/// one each time. Every answer that they had, of the first kind and of the second.
fn load_while(stage: &Stage, client: &TlsClient, meanwhile: impl FnOnce()) -> [Vec<Answer>; 2] {
    let over = AtomicBool::new(false);
    let (bearer, path, public) = (bearer(stage), stage.seed_path(), stage.gateway.public);
    let headers = [("Authorization", &*bearer)];
    let pause = std::time::Duration::from_millis(100);
    thread::scope(|scope| {
        let keeping: Vec<_> = (0..2)
            .map(|_| {
                let mut connection = client.connect(public).unwrap();
                let (over, headers, path) = (&over, &headers, &path);
                scope.spawn(move || {
                    let mut answers = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        answers.push(connection.ask("GET", path, headers).unwrap());
                        wait(pause);
                    }
                    // Still the first connection.
                    answers.push(connection.ask("GET", path, headers).unwrap());
                    answers
                })
            })
            .collect();
        let renewing: Vec<_> = (0..2)
            .map(|_| {
                let (over, headers, path) = (&over, &headers, &path);
                scope.spawn(move || {
                    let mut answers = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        answers.push(client.get(public, path, headers).unwrap());
                        wait(pause);
                    }
                    answers
                })
            })
            .collect();
        let stop = Stop(&over);
        meanwhile();
        drop(stop);
        [keeping, renewing].map(|threads| threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect())
    })
}

/// Stops the callers, also where what they wait for has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Replaces a folder of files at once, as Kubernetes does with a mounted secret: `..data` is a link that is swapped.
fn swap(folder: &Path, generation: &str, files: &[(&str, &str)]) {
    let next = folder.join(generation);
    fs::create_dir(&next).unwrap();
    for (name, content) in files {
        fs::write(next.join(name), content).unwrap();
        let link = folder.join(name);
        if !link.is_symlink() {
            std::os::unix::fs::symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    std::os::unix::fs::symlink(generation, folder.join("..next")).unwrap();
    fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
}

#[test]
fn a_certificate_is_replaced_under_load_without_a_failed_request_or_a_dropped_connection() {
    let root = Authority::new("root");
    let (first, second) = (root.server(), root.server_valid(-Duration::HOUR, Duration::days(30)));
    let folder = Folder::new(&first);
    let stage = stage(&folder);
    let client = TlsClient::new(&[&root]);
    assert_eq!(shown(&stage, &client), first.certificate.der().to_vec());
    let expiry = || metric(&stage, "gateway_tls_certificate_expiry_timestamp_seconds");
    let before = expiry();

    let [kept, renewed] = load_while(&stage, &client, || {
        install(&folder, &second);
        let strict = TlsClient::new(&[&root]);
        eventually("new connections see the new certificate", || {
            shown(&stage, &strict.offering(&[])) == second.certificate.der().to_vec()
        });
    });

    assert!(kept.len() > 10 && renewed.len() > 10, "{} {}", kept.len(), renewed.len());
    for answer in kept.iter().chain(&renewed) {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("connection"), None, "a new certificate is no reason to part");
    }
    assert_eq!((reloads(&stage, "ok"), reloads(&stage, "error")), (1, 0));
    assert!(expiry() < before);
    assert!(handshakes(&stage, "resumed") > 0);
    assert_eq!(handshakes(&stage, "failed"), 0);
}

#[test]
fn sighup_takes_the_files_at_once_and_swapped_links_are_a_change() {
    let root = Authority::new("root");
    let leaves = [root.server(), root.server(), root.server()];
    let folder = Folder::new(&leaves[0]);
    for name in ["cert.pem", "key.pem"] {
        fs::remove_file(folder.path(name)).unwrap();
    }
    let generation = |number: usize| {
        let (cert, key) = (leaves[number].certificate_pem(), leaves[number].key_pem());
        swap(&folder.path(""), &format!("..{number}"), &[("cert.pem", &cert), ("key.pem", &key)]);
    };
    generation(0);
    let stage = stage(&folder);
    let client = TlsClient::new(&[&root]).offering(&[]);

    for (number, by_signal) in [(1, false), (2, true)] {
        generation(number);
        if by_signal {
            stage.gateway.signal("HUP");
        }
        eventually("the new certificate is shown", || {
            shown(&stage, &client) == leaves[number].certificate.der().to_vec()
        });
    }

    assert_eq!(reloads(&stage, "error"), 0);
}

#[test]
fn a_bad_change_is_told_and_counted_and_the_old_certificate_stays() {
    let root = Authority::new("root");
    let first = root.server();
    let folder = Folder::new(&first);
    let stage = stage(&folder);
    let client = TlsClient::new(&[&root]).offering(&[]);
    let log = || stage.gateway.log.lock().unwrap().clone();

    for (number, (file, content, complaint)) in [
        ("key.pem", root.server().key_pem(), "its private key is not that of the first certificate"),
        ("cert.pem", root.server_valid(Duration::days(-2), -Duration::DAY).certificate_pem(), "expired on"),
        ("cert.pem", String::new(), "holds no certificate"),
    ]
    .into_iter()
    .enumerate()
    {
        install(&folder, &first);
        folder.write(file, &content);
        stage.gateway.signal("HUP");
        eventually("it is counted", || reloads(&stage, "error") > i64::try_from(number).unwrap());

        assert_eq!(shown(&stage, &client), first.certificate.der().to_vec());
        eventually("it is told", || log().contains(complaint));
    }
    assert!(log().contains("not reloaded"));

    let next = root.server();
    install(&folder, &next);
    eventually("a good change is taken", || shown(&stage, &client) == next.certificate.der().to_vec());
}

#[test]
fn an_authority_that_is_taken_out_lets_nobody_in_and_keeps_nobody_but_for_one_answer() {
    let (root, old, new) = (Authority::new("root"), Authority::new("old clients"), Authority::new("new clients"));
    let folder = Folder::new(&root.server());
    folder.write("clients.pem", &old.pem());
    let stage = mutual_stage(&folder);
    let public = stage.gateway.public;
    let (of_old, of_new) = (client(&old, Duration::days(1)), client(&new, Duration::days(1)));
    let with = |version, leaf| TlsClient::showing(&[&root], version, leaf);
    let is_in = |client: &TlsClient| client.get(public, "/healthz", &[]).is_ok();
    let mut open = with(&TLS13, &of_old).connect(public).unwrap();
    assert_eq!(open.ask("GET", "/healthz", &[]).unwrap().header("connection"), None);

    // As one does it: first both, and then the old one out.
    folder.write("clients.pem", &(old.pem() + &new.pem()));
    eventually("the new authority is trusted, too", || is_in(&with(&TLS13, &of_new)));
    for version in BOTH {
        assert!(is_in(&with(version, &of_old)) && is_in(&with(version, &of_new)));
    }
    let last = open.ask("GET", "/healthz", &[]).unwrap();
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert!(open.is_closed());

    let resuming = with(&TLS13, &of_old);
    let mut open = resuming.connect(public).unwrap();
    assert_eq!(open.ask("GET", "/healthz", &[]).unwrap().status, 200);
    folder.write("clients.pem", &new.pem());
    eventually("the old authority is trusted no more", || !is_in(&with(&TLS13, &of_old)));

    for version in BOTH {
        assert!(!is_in(&with(version, &of_old)) && is_in(&with(version, &of_new)));
    }
    assert!(!is_in(&resuming), "no session outlives the authority that it began with");
    let last = open.ask("GET", "/healthz", &[]).unwrap();
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert!(open.is_closed());
}

#[test]
fn a_certificate_that_is_about_to_end_is_announced() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server_valid(Duration::days(-80), Duration::days(10)));
    let stage = stage(&folder);

    let log = || stage.gateway.log.lock().unwrap().clone();
    eventually("it is said", || log().contains("is about to expire"));

    let line = log().lines().find(|line| line.contains("is about to expire")).map(str::to_owned).unwrap();
    assert!(line.contains("\"WARN\"") && line.contains("\"days\":9"), "{line}");
}
