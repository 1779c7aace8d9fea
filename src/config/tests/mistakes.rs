//! Every kind of mistake, with the exact words that its author reads.

use std::path::Path;

use proptest::prelude::*;

use super::{BASE, lines, load_text, problems, variables};
use crate::config::{
    keys::{self, Kind, Otherwise},
    load,
};

/// The file is `BASE` and this behind it, so that its first line is line 10 of the file.
fn of_added(text: &str) -> Vec<String> {
    problems(&format!("{BASE}{text}"), &[])
}

fn of_changed(from: &str, to: &str) -> Vec<String> {
    assert!(BASE.contains(from), "{from}");
    problems(&BASE.replace(from, to), &[])
}

#[test]
fn a_wrong_value_is_told_where_it_stands_and_what_would_be_right() {
    for (added, told) in [
        (
            "[server]\nlisten = \"localhost:8080\"",
            "server.listen (FILE:11:10): must be an IP address with a port, such as \"0.0.0.0:8080\" or \
             \"[::]:8080\", not \"localhost:8080\"",
        ),
        (
            "[server]\nlisten = 8080",
            "server.listen (FILE:11:10): must be an IP address with a port, such as \"0.0.0.0:8080\" or \
             \"[::]:8080\", not 8080",
        ),
        (
            "[server]\nadmin_listen = \"127.0.0.1:8080\"",
            "server.admin_listen (FILE:11:16): must be another address or port than server.listen, 0.0.0.0:8080",
        ),
        ("[server]\nworkers = -1", "server.workers (FILE:11:11): must be a whole number from 0 to 1024, not -1"),
        (
            "[server]\nworkers = 1.5",
            "server.workers (FILE:11:11): must be a whole number from 0 to 1024, not a number with a fraction",
        ),
        ("[server]\nworkers = \"4\"", "server.workers (FILE:11:11): must be a whole number from 0 to 1024, not \"4\""),
        (
            "[server]\nworkers = true",
            "server.workers (FILE:11:11): must be a whole number from 0 to 1024, not a boolean",
        ),
        ("[server]\nworkers = 0x401", "server.workers (FILE:11:11): must be a whole number from 0 to 1024, not 1025"),
        (
            "[server]\nrequest_timeout = 10",
            "server.request_timeout (FILE:11:19): must be a duration from \"10ms\" to \"10m\", not 10",
        ),
        (
            "[server]\nrequest_timeout = \"10\"",
            "server.request_timeout (FILE:11:19): must be a duration from \"10ms\" to \"10m\", not \"10\"",
        ),
        (
            "[server]\nrequest_timeout = \"0s\"",
            "server.request_timeout (FILE:11:19): must be a duration from \"10ms\" to \"10m\", not \"0s\"",
        ),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"10.0.0.1\"]",
            "server.trusted_proxies[1] (FILE:11:34): must be a network such as \"10.0.0.0/8\", or \"10.0.0.1/32\" for \
             one address, not \"10.0.0.1\"",
        ),
        (
            "[server]\ntrusted_proxies = \"10.0.0.0/8\"",
            "server.trusted_proxies (FILE:11:19): must be a list such as [\"10.0.0.0/8\"], not \"10.0.0.0/8\"",
        ),
        ("[server.tls]\ncert_file = \"c\"", "server.tls.key_file (FILE:10:1): must be set, to a path"),
        (
            "[server.tls]\nclient_ca_file = \"c\"\nkey_file = \"k\"",
            "server.tls.cert_file (FILE:10:1): must be set, to a path",
        ),
        ("[policy]\ndir = \"\"", "policy.dir (FILE:11:7): must be a path, not \"\""),
        (
            "[rate_limit]\nrequests_per_second = 0",
            "rate_limit.requests_per_second (FILE:11:23): must be a whole number from 1 to 10000, not 0",
        ),
        (
            "[rate_limit]\nguard = \"2s\"",
            "rate_limit.guard (FILE:11:9): must be a duration from \"0s\" to \"1s\", not \"2s\"",
        ),
        (
            "[cache]\nmax_bytes = \"64MB\"",
            "cache.max_bytes (FILE:11:13): must be a size from \"1KiB\" to \"1024GiB\", not \"64MB\"",
        ),
        (
            "[cache]\nmin_validity = \"0s\"",
            "cache.min_validity (FILE:11:16): must be a duration from \"1ms\" to \"7d\", not \"0s\"",
        ),
        ("[audit]\nsink = \"syslog\"", "audit.sink (FILE:11:8): must be \"stdout\" or \"file\", not \"syslog\""),
        (
            "[audit]\nsink = \"file\"\nkey_file = \"k\"",
            "audit.file (FILE:10:1): must be set, to a path: audit.sink is \"file\"",
        ),
        (
            "[audit]\nsink = \"file\"\nfile = \"f\"",
            "audit.key_file (FILE:10:1): must be set, to a path: audit.sink is \"file\"",
        ),
        ("[log]\nformat = \"xml\"", "log.format (FILE:11:10): must be \"auto\", \"text\" or \"json\", not \"xml\""),
        (
            "[log]\nlevel = \"inof\"",
            "log.level (FILE:11:9): must be \"error\", \"warn\", \"info\", \"debug\", \"trace\" or \"off\", or a \
             filter such as \"info,actix_server=warn\", not \"inof\"",
        ),
        (
            "[tencent.credentials]\nsource = \"vault\"",
            "tencent.credentials.source (FILE:11:10): must be \"auto\", \"env\", \"file\", \"cvm_role\" or \"tke_oidc\", not \"vault\"",
        ),
        (
            "[tencent.credentials]\nsource = \"file\"",
            "tencent.credentials.file (FILE:10:1): must be set, to a path: tencent.credentials.source is \"file\"",
        ),
        (
            "[tencent.endpoints]\nap-shanghai = \"https://redis.ap-shanghai.tencentcloudapi.com\"",
            "tencent.endpoints.ap-shanghai (FILE:11:15): must be for one of tencent.regions, and ap-shanghai is not \
             among them",
        ),
        (
            "[tencent.endpoints]\nap_chengdu = \"https://redis.ap-chengdu.tencentcloudapi.com\"",
            "tencent.endpoints.ap_chengdu (FILE:11:14): must stand under a region, matching \
             [a-z]{2}-[a-z]+(-[a-z0-9]+)*",
        ),
        (
            "[tencent.endpoints]\nap-chengdu = 1",
            "tencent.endpoints.ap-chengdu (FILE:11:14): must be \"https://host[:port]\" without a path, a query or a user; plain http only to loopback addresses, not 1",
        ),
        (
            "[tencent.download]\nvpcs = { ap-chengdu = [\"vpc-1a2b\"] }",
            "tencent.download.limit_type (FILE:10:1): must be set, to \"NoLimit\", \"LimitOnlyIntranet\" or \
             \"Customize\"",
        ),
        (
            "[tencent.download]\nlimit_type = \"Customize\"",
            "tencent.download (FILE:10:1): must name vpcs or ips beside limit_type = \"Customize\"",
        ),
        (
            "[tencent.download]\nlimit_type = \"NoLimit\"\nips = [\"10.1.2.3\"]",
            "tencent.download.ips (FILE:12:7): must stand beside limit_type = \"Customize\" only: nothing else uses it",
        ),
        (
            "[tencent.download]\nlimit_type = \"Customize\"\nips = [\"10.1.2\"]",
            "tencent.download.ips[0] (FILE:12:8): must be an IP address or a network inside a VPC, such as \
             \"10.1.2.3\" or \"10.1.0.0/16\", not \"10.1.2\"",
        ),
        (
            "[tencent.download]\nlimit_type = \"Customize\"\nvpcs = { ap-chengdu = [\"subnet-1\"] }",
            "tencent.download.vpcs.ap-chengdu[0] (FILE:12:24): must be the id of a VPC, such as \"vpc-1a2b3c4d\"",
        ),
        (
            "[tencent.download]\nlimit_type = \"Customize\"\nvpcs = { ap-chengdu = [] }",
            "tencent.download.vpcs.ap-chengdu (FILE:12:23): must not be empty; it is a list of VPC ids such as \
             [\"vpc-1a2b3c4d\"]",
        ),
    ] {
        assert_eq!(of_added(added), [told], "{added}");
    }
}

#[test]
fn a_wrong_issuer_is_told_what_would_be_right() {
    const NAME: &str = "name = \"sso\"";
    const ISSUER: &str = "issuer = \"https://sso.example.internal\"";
    const AUDIENCES: &str = "audiences = [\"redis-backup-gateway\"]";
    const JWKS_URL: &str = "jwks_url = \"https://sso.example.internal/jwks\"";
    for (from, to, told) in [
        (
            NAME,
            "name = \"Öl\"",
            "auth.issuers[0].name (FILE:6:8): must be a name that matches [a-z0-9][a-z0-9_-]{0,31}, not \"Öl\"",
        ),
        (NAME, "", "auth.issuers[0].name (FILE:5:1): must be set, to a name that matches [a-z0-9][a-z0-9_-]{0,31}"),
        (
            ISSUER,
            "issuer = \"\"",
            "auth.issuers[0].issuer (FILE:7:10): must be the exact value of the claim `iss`, 1 to 1024 printable \
             characters without blanks",
        ),
        (
            AUDIENCES,
            "audiences = []",
            "auth.issuers[0].audiences (FILE:8:13): must not be empty; it is a list such as [\"redis-backup-gateway\"]",
        ),
        (
            AUDIENCES,
            "audiences = [\"\"]",
            "auth.issuers[0].audiences[0] (FILE:8:14): must be a value of the claim `aud`, not empty, not \"\"",
        ),
        (
            JWKS_URL,
            "jwks_url = \"http://sso.example.internal/jwks\"",
            "auth.issuers[0].jwks_url (FILE:9:12): must be an https URL without a user; plain http only to loopback \
             addresses",
        ),
        (
            "issuer = \"https://sso.example.internal\"\naudiences = [\"redis-backup-gateway\"]\n\
             jwks_url = \"https://sso.example.internal/jwks\"",
            "issuer = \"sso\"\naudiences = [\"redis-backup-gateway\"]",
            "auth.issuers[0] (FILE:5:1): must say where its keys are, with jwks_url, jwks_file or hs256_secret_file: \
             discovery needs an issuer that is an https URL, or http on this machine",
        ),
        (
            NAME,
            "name = \"sso\"\njwks_file = \"keys.json\"",
            "auth.issuers[0].jwks_file (FILE:7:13): must not stand beside jwks_url: keys come from one place",
        ),
        (
            NAME,
            "name = \"sso\"\nalgorithms = [\"ES256\", \"HS256\"]",
            "auth.issuers[0].algorithms[1] (FILE:7:24): must be asymmetric, not \"HS256\": whoever can check its \
             signatures can make them; HS256 alone is possible, with hs256_secret_file",
        ),
        (
            NAME,
            "name = \"sso\"\nhs256_secret_file = \"secret\"",
            "auth.issuers[0].hs256_secret_file (FILE:7:21): must not stand beside jwks_url: keys come from one place",
        ),
        (
            JWKS_URL,
            "hs256_secret_file = \"secret\"\nalgorithms = [\"HS256\", \"RS256\"]",
            "auth.issuers[0].algorithms[1] (FILE:10:24): must be HS256 and nothing beside it: the issuer's key is the \
             secret of hs256_secret_file",
        ),
        (
            JWKS_URL,
            "jwks_file = \"keys.json\"\nca_file = \"ca.pem\"",
            "auth.issuers[0].ca_file (FILE:10:11): must stand beside jwks_url or discovery only: keys in a file are not \
             fetched",
        ),
        (
            JWKS_URL,
            "hs256_secret_file = \"secret\"\nbearer_token_file = \"token\"",
            "auth.issuers[0].bearer_token_file (FILE:10:21): must stand beside jwks_url or discovery only: keys in a file \
             are not fetched",
        ),
        (
            NAME,
            "name = \"sso\"\nalgorithms = [\"none\"]",
            "auth.issuers[0].algorithms[0] (FILE:7:15): must be RS256, RS384, RS512, PS256, PS384, PS512, ES256, \
             ES384 or EdDSA, not \"none\"",
        ),
        (
            NAME,
            "name = \"sso\"\ngroups_claim = \"realm..roles\"",
            "auth.issuers[0].groups_claim (FILE:7:16): must be the dotted path of a claim, such as \"groups\" or \
             \"realm_access.roles\", or empty, not \"realm..roles\"",
        ),
        (
            NAME,
            "name = \"sso\"\nprefix = \"a b\"",
            "auth.issuers[0].prefix (FILE:7:10): must be at most 64 printable characters without blanks, not \"a b\"",
        ),
    ] {
        assert_eq!(of_changed(from, to), [told], "{to}");
    }
}

#[test]
fn two_issuers_must_not_be_taken_for_each_other() {
    let second = |name: &str, prefix: &str, issuer: &str| {
        of_added(&format!(
            "[[auth.issuers]]\nname = \"{name}\"\nprefix = \"{prefix}\"\nissuer = \"{issuer}\"\naudiences = [\"a\"]\n\
             jwks_file = \"k\"\n[[auth.issuers]]\nname = \"third\"\nprefix = \"ci\"\nissuer = \"https://third\"\n\
             audiences = [\"a\"]\njwks_file = \"k\"\n"
        ))
    };

    assert_eq!(second("ci", "x:", "https://ci"), [""; 0]);
    assert_eq!(
        second("sso", "", "https://sso.example.internal"),
        [
            "auth.issuers[1].name (FILE:11:8): must be unique, and auth.issuers[0].name has the same value",
            "auth.issuers[1].issuer (FILE:13:10): must be unique, and auth.issuers[0].issuer has the same value",
            "auth.issuers[1].prefix (FILE:12:10): must be unique, and auth.issuers[0].prefix has the same value",
        ]
    );
    assert_eq!(
        second("ci", "ci-", "https://ci"),
        [
            "auth.issuers[1].prefix (FILE:12:10): must not begin with the prefix of auth.issuers[2].prefix, or their users \
          could be mixed up"
        ]
    );
}

#[test]
fn regions_are_named_once_and_as_the_vendor_names_them() {
    const REGIONS: &str = "[\"ap-guangzhou\", \"ap-chengdu\"]";

    assert_eq!(
        of_changed(REGIONS, "[\"ap-guangzhou\", \"AP-Chengdu\", \"ap-guangzhou\"]"),
        [
            "tencent.regions[1] (FILE:3:28): must be a region such as \"ap-guangzhou\", matching \
             [a-z]{2}-[a-z]+(-[a-z0-9]+)*, not \"AP-Chengdu\"",
            "tencent.regions[2] (FILE:3:42): must be unique, and tencent.regions[0] has the same value",
        ]
    );
    assert_eq!(
        of_changed(REGIONS, "[]"),
        ["tencent.regions (FILE:3:11): must not be empty; it is a list such as [\"ap-guangzhou\", \"ap-shanghai\"]"]
    );
}

#[test]
fn a_wrong_endpoint_is_told_in_the_words_of_its_room_and_not_repeated() {
    for (endpoint, told) in [
        (
            "https://redis.example.com/path?key=hunter2",
            "must be https://host[:port], without a path, a query or a user",
        ),
        ("https://user:hunter2@redis.example.com", "must be https://host[:port], without a path, a query or a user"),
        ("http://redis.example.com", "plain http is accepted for loopback addresses only"),
    ] {
        let default = of_changed("[tencent]", &format!("[tencent]\nendpoint = \"{endpoint}\""));
        let of_region = of_added(&format!("[tencent.endpoints]\nap-chengdu = \"{endpoint}\""));

        assert_eq!(default, [format!("tencent.endpoint (FILE:3:12): {told}")]);
        assert_eq!(of_region, [format!("tencent.endpoints.ap-chengdu (FILE:11:14): {told}")]);
    }
}

#[test]
fn a_wrong_collector_is_told_in_the_words_of_its_room_and_not_repeated() {
    for (endpoint, told) in [
        (
            "http://user:hunter2@collector.example:4318",
            "must be http://host[:port] or https://host[:port], without a user, a query or a fragment",
        ),
        ("https://[2001:db8::1]:4318", "https needs a host name or an IPv4 address"),
    ] {
        let seen = of_added(&format!("[log]\notlp_endpoint = \"{endpoint}\""));

        assert_eq!(seen, [format!("log.otlp_endpoint (FILE:11:17): {told}")]);
    }
}

#[test]
fn a_wrong_store_is_told_what_would_be_right_and_no_password_is_repeated() {
    for (keys, told) in [
        (
            "url = \"redis://:hunter2@127.0.0.1\"",
            "url (FILE:11:7): must hold no user and no password: they stand in shared.username and shared.password_file",
        ),
        ("url = \"hunter2\"", "url (FILE:11:7): must be redis://host[:port][/database], or rediss:// for TLS"),
        ("ca_file = \"ca.pem\"", "ca_file (FILE:11:11): must stand beside shared.url"),
        (
            "ca_file = \"ca.pem\"\nurl = \"redis://127.0.0.1\"",
            "ca_file (FILE:11:11): must stand beside a shared.url with rediss:// only",
        ),
        (
            "username = \"ada\"\nurl = \"redis://127.0.0.1\"",
            "password_file (FILE:10:1): must be set, to a path: shared.username is",
        ),
        (
            "client_key_file = \"key.pem\"\nurl = \"rediss://127.0.0.1\"",
            "client_cert_file (FILE:10:1): must be set, to a path: shared.client_key_file is",
        ),
        ("replicas = 3", "replicas (FILE:11:12): must stand beside shared.url"),
        ("timeout = \"50ms\"", "timeout (FILE:11:11): must stand beside shared.url"),
        (
            "replicas = 0\nurl = \"redis://127.0.0.1\"",
            "replicas (FILE:11:12): must be a whole number from 1 to 10000, not 0",
        ),
        (
            "timeout = \"11s\"\nurl = \"redis://127.0.0.1\"",
            "timeout (FILE:11:11): must be a duration from \"1ms\" to \"10s\", not \"11s\"",
        ),
        (
            "timeout = \"2501ms\"\nurl = \"redis://127.0.0.1\"",
            "timeout (FILE:11:11): must be at most a quarter of server.request_timeout, 10s",
        ),
    ] {
        assert_eq!(of_added(&format!("[shared]\n{keys}\n")), [format!("shared.{told}")], "{keys}");
    }
}

#[test]
fn an_unknown_key_is_told_what_may_have_been_meant() {
    for (added, told) in [
        ("[server]\nlsiten = \"x\"", "server.lsiten (FILE:11:10): is not known to this version; did you mean listen?"),
        ("[servre]\nlisten = \"x\"", "servre (FILE:10:1): is not known to this version; did you mean server?"),
        (
            "[cache]\nmax_wait = \"3s\"",
            "cache.max_wait (FILE:11:12): is not known to this version; max_wait stands in [rate_limit]",
        ),
        (
            "[log]\ncolour = \"never\"",
            "log.colour (FILE:11:10): is not known to this version; known here: level, format, otlp_endpoint",
        ),
        (
            "[rate_limit.per_caller]\nguard = \"1ms\"",
            "rate_limit.per_caller.guard (FILE:11:9): is not known to this version; guard stands in [rate_limit]",
        ),
        (
            "[[auth.issuers]]\nname = \"b\"\nprefix = \"b:\"\nissuer = \"b\"\naudiences = [\"b\"]\njwks_file = \"b\"\n\
             account = \"b\"",
            "auth.issuers[1].account (FILE:16:11): is not known to this version; account stands in [tencent]",
        ),
        (
            "[log]\n\"a\\u001b[2Jb\" = 1",
            "log.\"a\\u{1b}[2Jb\" (FILE:11:17): is not known to this version; known here: level, format, \
             otlp_endpoint",
        ),
    ] {
        assert_eq!(of_added(added), [told], "{added}");
    }
}

#[test]
fn what_should_be_a_table_is_told_once() {
    assert_eq!(
        problems("server = 5\ntencent = [1]\nauth.issuers = {}", &[]),
        [
            "server (FILE:1:10): must be a table, [server], not 5",
            "tencent (FILE:2:11): must be a table, [tencent], not a list",
            "auth.issuers (FILE:3:16): must be a list of tables, [[auth.issuers]], not a table",
        ]
    );
    assert_eq!(
        problems("tencent.regions = [\"ap-chengdu\"]\nauth.issuers = [1]", &[]),
        ["auth.issuers[0] (FILE:2:17): must be a table, not 1"]
    );
}

#[test]
fn every_mistake_is_told_at_once() {
    let text = r#"
[server]
listen = "here"
xworkers = 3
request_timeout = "fast"

[auth]
leeway = 30

[[auth.issuers]]
name = "SSO"
issuer = "sso"
audiences = []
algorithms = ["HS512"]

[tencent]
regions = ["chengdu"]
max_retries = 1000

[cache]
max_bytes = "lots"
"#;

    let told = problems(text, &[("GATEWAY_LOG__FORMAT", "xml"), ("GATEWAY_LOG__COLOUR", "red")]);

    let keys: Vec<&str> = told.iter().filter_map(|problem| problem.split(" (").next()).collect();
    assert_eq!(
        keys,
        [
            "log.colour",
            "server.xworkers",
            "server.listen",
            "server.request_timeout",
            "auth.leeway",
            "auth.issuers[0].name",
            "auth.issuers[0].audiences",
            "auth.issuers[0]",
            "auth.issuers[0].algorithms[0]",
            "tencent.regions[0]",
            "tencent.max_retries",
            "cache.max_bytes",
            "log.format",
        ],
        "{told:#?}"
    );
}

#[test]
fn without_a_file_the_required_keys_are_missing() {
    let told = load(None, &variables(&[])).err().map(|problems| lines(&problems));

    assert_eq!(
        told.unwrap_or_default(),
        [
            "auth.issuers: must be set, to a list of tables, [[auth.issuers]]",
            "tencent.regions: must be set, to a list such as [\"ap-guangzhou\", \"ap-shanghai\"]",
        ]
    );
}

#[test]
fn a_file_that_is_not_toml_is_told_beside_the_mistakes_of_the_variables() {
    let told = problems(
        "[server]\nlisten = \"a\nworkers = = 3\n",
        &[("GATEWAY_SERVER__WORKERS", "many"), ("GATEWAY_SERVER__PORT", "1")],
    );

    assert_eq!(
        told[..2],
        [
            "FILE:2:12: is not TOML: invalid basic string, expected `\"`",
            "FILE:3:11: is not TOML: extra `=`, expected nothing",
        ]
    );
    assert_eq!(
        told[2..],
        [
            "server.port (GATEWAY_SERVER__PORT): is not known to this version; known here: listen, admin_listen, \
             workers, request_timeout, drain_delay, shutdown_grace, trusted_proxies, tls",
            "server.workers (GATEWAY_SERVER__WORKERS): must be a whole number from 0 to 1024, not \"many\"",
        ]
    );
}

#[test]
fn a_key_that_is_written_twice_is_told() {
    let told = problems("[log]\nlevel = \"info\"\nlevel = \"warn\"\n", &[]);

    assert_eq!(told, ["FILE:3:1: is not TOML: duplicate key"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing.toml");
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, b"[log]\nlevel = \"\xff\"").expect("a writable folder");
    for (path, why) in [
        (missing.as_path(), "cannot be read: No such file or directory (os error 2)"),
        (folder.path(), "cannot be read: Is a directory (os error 21)"),
        (binary.as_path(), "must be UTF-8, and is not at byte 15"),
        (Path::new("/dev/zero"), "must not be larger than 1048576 bytes"),
    ] {
        let told = load(Some(path), &variables(&[])).err().map(|problems| lines(&problems));

        assert_eq!(told.unwrap_or_default(), [format!("the file {} {why}", path.display())]);
    }
}

#[test]
fn a_wrong_value_is_shown_short_and_escaped() {
    let long = "k".repeat(500);

    let told = of_added(&format!("[log]\nformat = \"\\u001b]0;{long}\""));

    let shown = "k".repeat(36);
    assert_eq!(
        told,
        [format!("log.format (FILE:11:10): must be \"auto\", \"text\" or \"json\", not \"\\u{{1b}}]0;{shown}…\"")]
    );
}

#[test]
fn a_url_with_a_password_and_the_value_of_an_unknown_key_are_not_repeated() {
    let told = [
        of_changed("https://sso.example.internal/jwks", "https://user:hunter2@sso.example.internal/jwks"),
        of_added("[tencent.credentials]\nsecret_key = \"hunter2\""),
        problems(BASE, &[("GATEWAY_TENCENT__CREDENTIALS__SECRET_KEY", "hunter2")]),
        problems("password = \"hunter2\n", &[]),
    ]
    .concat();

    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(!told.concat().contains("hunter2"), "{told:#?}");
}

#[test]
fn every_key_is_read_and_every_required_key_is_missed() {
    for key in keys::all() {
        let wrong = match key.kind {
            Kind::Tables(_) => continue,
            _ => "2026-11-24",
        };
        let text = match key.path.rsplit_once('.') {
            Some(("auth.issuers[]", name)) => format!("[[auth.issuers]]\n{name} = {wrong}"),
            _ => format!("{} = {wrong}", key.path),
        };
        let path = key.path.replace("[]", "[0]");

        let told = problems(&text, &[]);
        let missed = problems("[[auth.issuers]]\n[tencent.download]", &[]);

        assert!(told.iter().any(|problem| problem.starts_with(&format!("{path} ("))), "{path}: {told:#?}");
        let is_missed = missed.iter().any(|problem| {
            problem.starts_with(&path)
                && problem[path.len()..].starts_with([':', ' '])
                && problem.contains("must be set")
        });
        assert_eq!(is_missed, matches!(key.otherwise, Otherwise::Required), "{path}: {missed:#?}");
    }
}

#[test]
fn every_word_that_is_offered_is_taken() {
    for key in keys::all() {
        let Kind::Word(words) = key.kind else { continue };
        for word in words {
            let name = format!("GATEWAY_{}", key.path.to_uppercase().replace('.', "__"));
            let also = [
                ("GATEWAY_TENCENT__CREDENTIALS__FILE", "f"),
                ("GATEWAY_AUDIT__FILE", "f"),
                ("GATEWAY_AUDIT__KEY_FILE", "f"),
                ("GATEWAY_TENCENT__DOWNLOAD__IPS", "[\"10.0.0.1\"]"),
            ];
            let also = match *word {
                "file" => &also[..3],
                "Customize" => &also[3..],
                _ => &[],
            };

            let told = problems(BASE, &[&[(name.as_str(), *word)], also].concat());

            assert_eq!(told, [""; 0], "{name}={word}");
        }
    }
}

#[test]
fn nesting_without_bound_is_refused() {
    for text in [
        format!("{}x = 1", "log.".repeat(100_000)),
        format!("[{}x]", "log.".repeat(100_000)),
        format!("log = {}", "[".repeat(100_000)),
        format!("log = {}", "{x=".repeat(100_000)),
    ] {
        let told = problems(&text, &[]);

        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].contains(": is not TOML: "), "{told:#?}");
    }
}

/// Texts that are nearly configurations, to get past the first check.
fn nearly_configuration() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "server",
        "auth",
        "issuers",
        "auth.issuers",
        "tencent",
        "download",
        "vpcs",
        "endpoints",
        "listen",
        "regions",
        "ips",
        "name",
        "prefix",
        "x",
        "\"\"",
        "level",
        "max_bytes",
        "credentials",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-9223372036854775809",
        "1.5",
        "nan",
        "true",
        "\"\"",
        "\"info\"",
        "[]",
        "{}",
        "[[[]]]",
        "{ a = [{}] }",
        "[\"ap-chengdu\"]",
        "1979-05-27",
        "'''\n'''",
        "\"\\u0000\"",
        "'99999999999999999d'",
        "[",
        "=",
    ]);
    let line = (name.clone(), name, value, 0..4_u8).prop_map(|(one, other, value, form)| match form {
        0 => format!("[{one}]"),
        1 => format!("[[{one}.{other}]]"),
        2 => format!("{one}.{other} = {value}"),
        _ => format!("{one} = {value}"),
    });
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_file_and_no_variable_makes_it_panic(
        text in prop_oneof![nearly_configuration(), "\\PC{0,80}", "[\\[\\]{}=\"'.,\n a-z0-9_-]{0,120}"],
        name in "GATEWAY_(SERVER|AUTH|LOG|TENCENT|_|Ä)?__[A-Z_]{0,12}",
        value in "\\PC{0,40}",
    ) {
        if let Err(problems) = load_text(&text, &[(&name, &value)]) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(!problem.chars().any(char::is_control), "{:?}", problem);
            }
        }
    }
}
