//! Stores that want to know who connects: TLS with certificates of both sides, and users of an access list.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::{
    harness::{Gateway, eventually, urls_path},
    redis_server::Redis,
    shared::{Fleet, assert_cache_status},
};

/// An authority with the certificates of a store and of a client, as files.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // Another name than those it vouches for, or OpenSSL takes them for certificates that vouch for themselves.
        authority.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let certificate = authority.self_signed(&authority_key).unwrap();
        write(folder.path(), "ca.pem", "CERTIFICATE", certificate.der());
        let issuer = Issuer::new(authority, authority_key);
        for (name, usage) in
            [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
            params.extended_key_usages = vec![usage];
            let certificate = params.signed_by(&key, &issuer).unwrap();
            write(folder.path(), &format!("{name}.pem"), "CERTIFICATE", certificate.der());
            write(folder.path(), &format!("{name}.key"), "PRIVATE KEY", &key.serialize_der());
        }
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

fn write(folder: &Path, name: &str, label: &str, der: &[u8]) {
    let lines: Vec<_> =
        STANDARD.encode(der).into_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let text = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
    fs::write(folder.join(name), text).unwrap();
}

/// A store that speaks TLS at a second port, to those with a certificate alone.
fn tls_store(authority: &Authority) -> (Redis, u16) {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let (number, ca) = (port.to_string(), authority.file("ca.pem"));
    let (certificate, key) = (authority.file("server.pem"), authority.file("server.key"));
    let redis = Redis::with(&[
        "--tls-port",
        &number,
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "yes",
    ]);
    (redis, port)
}

fn overrides(authority: &Authority, port: u16, ca: &str) -> String {
    format!(
        "GATEWAY_SHARED__URL=rediss://127.0.0.1:{port}\nGATEWAY_SHARED__CA_FILE={}\n\
         GATEWAY_SHARED__CLIENT_CERT_FILE={}\nGATEWAY_SHARED__CLIENT_KEY_FILE={}",
        ca,
        authority.file("client.pem"),
        authority.file("client.key"),
    )
}

#[test]
fn a_store_is_reached_over_tls_with_certificates_of_both_sides() {
    let authority = Authority::new();
    let (redis, port) = tls_store(&authority);
    let fleet = Fleet::around(redis, 2, &overrides(&authority, port, &authority.file("ca.pem")));

    fleet.warm(0, "synthetic-1");

    assert_cache_status(&fleet.get(1, &urls_path("synthetic-1")), "; hit; ttl=");
}

fn store_state(gateway: &Gateway) -> serde_json::Value {
    gateway.ask(gateway.admin, "GET", "/readyz", &[]).json()["shared_store"].clone()
}

#[test]
fn a_store_that_another_authority_vouches_for_is_not_used() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (redis, port) = tls_store(&authority);
    let fleet = Fleet::around(redis, 1, &overrides(&authority, port, &other.file("ca.pem")));

    assert_eq!(store_state(&fleet.gateways[0]), "away");
    assert_eq!(fleet.get(0, &urls_path("synthetic-1")).status, 200);
    assert!(fleet.redis.entries().is_empty());
}

#[test]
fn a_user_with_the_permissions_of_the_documentation_suffices() {
    let page = include_str!("../../docs/shared.md");
    let line = page.lines().find_map(|line| line.strip_prefix("ACL SETUSER backup-gateway ")).unwrap();
    let redis = Redis::start();
    let rules: Vec<&str> = line.split(' ').map(|rule| if rule.starts_with('>') { ">secret" } else { rule }).collect();
    redis.ask::<()>(&[&["ACL", "SETUSER", "backup-gateway"], &*rules].concat());
    let folder = TempDir::new().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "secret\n").unwrap();
    let overrides =
        format!("GATEWAY_SHARED__USERNAME=backup-gateway\nGATEWAY_SHARED__PASSWORD_FILE={}", password.display());

    let fleet = Fleet::around(redis, 2, &overrides);
    fleet.warm(0, "synthetic-1");

    assert_cache_status(&fleet.get(1, &urls_path("synthetic-1")), "; hit; ttl=");
    let denied: Vec<redis::Value> = fleet.redis.ask(&["ACL", "LOG"]);
    assert!(denied.is_empty(), "{denied:?}");
}

#[test]
fn another_password_is_read_with_the_next_connection() {
    let redis = Redis::start();
    redis.ask::<()>(&["ACL", "SETUSER", "gateway", "on", ">first", "~rbg:*", "&rbg:*", "+@all"]);
    let folder = TempDir::new().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "first").unwrap();
    let overrides = format!("GATEWAY_SHARED__USERNAME=gateway\nGATEWAY_SHARED__PASSWORD_FILE={}", password.display());
    let fleet = Fleet::around(redis, 1, &overrides);
    assert_eq!(store_state(&fleet.gateways[0]), "ok");

    fleet.redis.ask::<()>(&["ACL", "SETUSER", "gateway", "resetpass", ">second"]);
    fleet.redis.ask::<()>(&["CLIENT", "KILL", "USER", "gateway"]);
    eventually("the old one does not do any more", || store_state(&fleet.gateways[0]) == "away");
    fs::write(&password, "second").unwrap();

    eventually("the new one is used", || store_state(&fleet.gateways[0]) == "ok");
}
