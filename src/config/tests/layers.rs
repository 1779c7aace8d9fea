//! Defaults, file, environment: what wins, and what is shown of it.

use std::{os::unix::ffi::OsStringExt as _, time::Duration};

use super::{BASE, Loaded, lines, problems, valid};
use crate::{
    config::{Variables, load},
    domain::Region,
    identity::{Algorithm, KeySetUrl, KeySource},
    telemetry::Format,
    tencent::{DownloadRestriction, credentials::Source},
};

fn meaning(loaded: &Loaded) -> String {
    format!("{:#?}", loaded.config)
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = valid(BASE, &[]).config;

    assert_eq!(config.server.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.server.admin_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(config.server.workers, 0);
    assert_eq!(config.auth.max_token_life, Duration::from_secs(24 * 3600));
    assert_eq!(config.policy.dir.to_str(), Some("config/policies"));
    assert_eq!(&*config.tencent.account, "default");
    assert_eq!(config.tencent.max_retries, 2);
    assert_eq!(config.tencent.credentials.source, Source::Auto { file: None });
    assert_eq!(config.tencent.download, None);
    assert_eq!(config.rate_limit.requests_per_second, 20);
    assert_eq!(config.rate_limit.guard, Duration::from_millis(50));
    assert_eq!(config.cache.max_bytes, 64 << 20);
    assert_eq!(config.cache.min_validity, Duration::from_secs(600));
    assert_eq!(config.log.format, Format::Auto);
    let issuer = &config.auth.issuers[0];
    assert_eq!(&*issuer.prefix, "");
    assert_eq!(issuer.algorithms, [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]);
    assert_eq!(issuer.groups_claim, ["groups"]);
    assert_eq!(issuer.keys, KeySource::Url(KeySetUrl::try_from("https://sso.example.internal/jwks").unwrap()));
}

#[test]
fn the_file_is_over_the_default_and_a_variable_is_over_the_file() {
    let text = format!("{BASE}[rate_limit]\nmax_wait = \"4s\"\nmax_queue = 7\n");

    let loaded = valid(&text, &[("GATEWAY_RATE_LIMIT__MAX_WAIT", "5s")]);

    assert_eq!(loaded.config.rate_limit.max_queue_per_caller, 600);
    assert_eq!(loaded.config.rate_limit.max_queue, 7);
    assert_eq!(loaded.config.rate_limit.max_wait, Duration::from_secs(5));
}

#[test]
fn a_variable_is_toml_or_a_bare_word() {
    let text = BASE.replace("[tencent]", "[tencent]\ncredentials.source = \"file\"\ncredentials.file = \"f\"");

    let config = valid(
        &text,
        &[
            ("GATEWAY_SERVER__LISTEN", "[::1]:8081"),
            ("GATEWAY_SERVER__ADMIN_LISTEN", "\"127.0.0.1:9091\""),
            ("GATEWAY_SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
            ("GATEWAY_SERVER__WORKERS", "4"),
            ("GATEWAY_TENCENT__ACCOUNT", "100000000001"),
            ("GATEWAY_TENCENT__REGIONS", "['ap-shanghai-fsi']"),
            ("GATEWAY_TENCENT__ENDPOINTS", "{ ap-shanghai-fsi = \"http://127.0.0.1:18083\" }"),
            ("GATEWAY_TENCENT__CREDENTIALS__SOURCE", "env"),
            ("GATEWAY_TENCENT__DOWNLOAD__LIMIT_TYPE", " LimitOnlyIntranet\n"),
            ("GATEWAY_CACHE__MAX_BYTES", "1MiB"),
            ("GATEWAY_LOG__LEVEL", "info,actix_server=warn"),
        ],
    )
    .config;

    assert_eq!(config.server.listen.to_string(), "[::1]:8081");
    assert_eq!(config.server.admin_listen.to_string(), "127.0.0.1:9091");
    assert_eq!(config.server.trusted_proxies.len(), 1);
    assert_eq!(config.server.workers, 4);
    assert_eq!(&*config.tencent.account, "100000000001");
    assert_eq!(config.tencent.regions.iter().map(Region::as_str).collect::<Vec<_>>(), ["ap-shanghai-fsi"]);
    assert_eq!(config.tencent.endpoints.by_region.len(), 1);
    assert_eq!(config.tencent.credentials.source, Source::Env);
    assert_eq!(config.tencent.download, Some(DownloadRestriction::LimitOnlyIntranet));
    assert_eq!(config.cache.max_bytes, 1 << 20);
    assert_eq!(config.log.level, "info,actix_server=warn");
}

#[test]
fn a_variable_for_a_table_lies_under_the_variables_for_its_keys() {
    let pairs = [
        ("GATEWAY_TENCENT__CREDENTIALS", "{ source = \"auto\", file = \"f\" }"),
        ("GATEWAY_TENCENT__CREDENTIALS__SOURCE", "file"),
    ];

    assert_eq!(valid(BASE, &pairs).config.tencent.credentials.source, Source::File("f".into()));
}

#[test]
fn variables_that_are_not_ours_are_not_read() {
    let pairs = [
        ("GATEWAY_PORT", "tcp://10.0.0.1:80"),
        ("GATEWAY_CONFIG", "/nowhere"),
        ("gateway_log__level", "x"),
        ("PATH", ""),
    ];

    valid(BASE, &pairs);
}

#[test]
fn a_wrong_variable_is_told_by_its_name() {
    for (name, value, told) in [
        (
            "GATEWAY_AUTH__LEEWAY",
            "30",
            "auth.leeway (GATEWAY_AUTH__LEEWAY): must be a duration from \"0s\" to \"10m\", not \"30\"",
        ),
        (
            "GATEWAY_LOG__XLEVEL",
            "info",
            "log.xlevel (GATEWAY_LOG__XLEVEL): is not known to this version; did you mean level?",
        ),
        (
            "GATEWAY_LOG__level",
            "info",
            "log.level (GATEWAY_LOG__level): must be named in upper case, GATEWAY_LOG__LEVEL",
        ),
        (
            "GATEWAY_SERVER__LISTEN__PORT",
            "1",
            "server.listen (GATEWAY_SERVER__LISTEN__PORT): must be an IP address with a port, such as \
             \"0.0.0.0:8080\" or \"[::]:8080\", not a table",
        ),
        (
            "GATEWAY_AUTH__ISSUERS__0__NAME",
            "sso",
            "auth.issuers.0.name (GATEWAY_AUTH__ISSUERS__0__NAME): must stand in the file: a variable cannot set \
             tables in a list",
        ),
        (
            "GATEWAY_AUTH__ISSUERS",
            "[]",
            "auth.issuers (GATEWAY_AUTH__ISSUERS): must stand in the file: a variable cannot set tables in a list",
        ),
        (
            "GATEWAY_TENCENT__REGIONS",
            "ap-chengdu,ap-shanghai",
            "tencent.regions (GATEWAY_TENCENT__REGIONS): must be a list such as [\"ap-guangzhou\", \"ap-shanghai\"], \
             not \"ap-chengdu,ap-shanghai\"",
        ),
        ("GATEWAY_", "x", ""),
        (
            "GATEWAY___LEVEL",
            "x",
            "\"\" (GATEWAY___LEVEL): is not known to this version; known here: server, cors, auth, policy, tencent, rate_limit, cache, shared, audit, log",
        ),
    ] {
        let expected: &[&str] = if told.is_empty() { &[] } else { &[told] };

        assert_eq!(problems(BASE, &[(name, value)]), expected, "{name}={value}");
    }
}

#[test]
fn a_variable_with_broken_toml_is_told_what_the_parser_says() {
    for (name, value) in [
        ("GATEWAY_TENCENT__REGIONS", "[ap-chengdu]"),
        ("GATEWAY_TENCENT__ENDPOINTS", "{"),
        ("GATEWAY_LOG__LEVEL", "\"info"),
    ] {
        let told = problems(BASE, &[(name, value)]);

        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].contains(&format!("({name}): must be in TOML syntax: ")), "{told:#?}");
    }
}

#[test]
fn a_variable_that_is_not_utf_8_is_told() {
    let variables: Variables = [("GATEWAY_LOG__LEVEL", std::ffi::OsString::from_vec(vec![0xff]))].into_iter().collect();

    let told = load(None, &variables).err().map(|problems| lines(&problems)).unwrap_or_default();

    assert_eq!(told[0], "log.level (GATEWAY_LOG__LEVEL): must be UTF-8");
}

#[test]
fn the_file_is_named_by_a_variable() {
    let named = |value: &'static str| [("GATEWAY_CONFIG", value)].into_iter().collect::<Variables>().file();

    assert_eq!(named("/etc/gateway.toml").as_deref().and_then(|path| path.to_str()), Some("/etc/gateway.toml"));
    assert_eq!(named(""), None);
    assert_eq!(Variables::default().file(), None);
}

#[test]
fn what_is_printed_is_read_back_as_the_same_configuration() {
    let text = format!(
        "{BASE}prefix = 'a\"\\é:'\n[[auth.issuers]]\nname = \"ci\"\nprefix = \"ci:\"\nissuer = \"https://ci\"\n\
         audiences = [\"one\", \"two\"]\njwks_file = '''\nkeys\n.json'''\n[tencent.endpoints]\n\
         ap-chengdu = \"http://127.0.0.1:1\"\n[tencent.download]\nlimit_type = \"Customize\"\n\
         vpcs = {{ ap-chengdu = [\"vpc-1a\", \"vpc-2b\"], na-siliconvalley = [\"vpc-3c\"] }}\nips = [\"10.0.0.0/8\"]\n\
         [tencent.credentials]\nfile = \"f\"\n"
    );
    for (text, pairs) in [(BASE, &[][..]), (&text, &[("GATEWAY_SERVER__WORKERS", "3")])] {
        let loaded = valid(text, pairs);
        let printed = loaded.print();

        let read_back = valid(&printed, &[]);

        assert_eq!(meaning(&read_back), meaning(&loaded), "{printed}");
    }
}

#[test]
fn what_is_printed_tells_where_each_value_comes_from() {
    let loaded = valid(BASE, &[("GATEWAY_LOG__FORMAT", "json")]);

    let printed = loaded.print();

    assert!(printed.starts_with("[server]\nlisten = \"0.0.0.0:8080\"  # default\n"), "{printed}");
    assert!(
        printed.ends_with("\n[log]\nlevel = \"info\"  # default\nformat = \"json\"  # GATEWAY_LOG__FORMAT\n"),
        "{printed}"
    );
    assert!(printed.contains("\n[[auth.issuers]]\nname = \"sso\"  # /"), "{printed}");
    assert!(printed.contains(":6:8\nprefix = \"\"  # default\n"), "{printed}");
}

#[test]
fn a_problem_that_another_room_finds_gets_its_origin() {
    let loaded = valid(BASE, &[("GATEWAY_POLICY__DIR", "policies")]);

    let problem = loaded.problem("policy.dir", "must hold a policy");

    assert_eq!(problem.to_string(), "policy.dir (GATEWAY_POLICY__DIR): must hold a policy");
}

#[test]
fn files_that_are_named_and_not_there_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().to_str().expect("a path in UTF-8");
    let text = BASE.replace("jwks_url = \"https://sso.example.internal/jwks\"", "jwks_file = \"/nowhere/keys.json\"");
    let pairs = |source, file| {
        [
            ("GATEWAY_POLICY__DIR", "/nowhere/policies"),
            ("GATEWAY_TENCENT__CA_FILE", folder),
            ("GATEWAY_TENCENT__CREDENTIALS__SOURCE", source),
            ("GATEWAY_TENCENT__CREDENTIALS__FILE", file),
        ]
    };

    let told = lines(&valid(&text, &pairs("file", "/nowhere/credentials")).check_files());
    let unused = lines(&valid(&text, &pairs("env", "/nowhere/credentials")).check_files());
    let present = lines(&valid(BASE, &[("GATEWAY_POLICY__DIR", folder)]).check_files());

    assert_eq!(told.len(), 4, "{told:#?}");
    assert_eq!(
        told[0],
        "policy.dir (GATEWAY_POLICY__DIR): must be a folder that can be read: No such file or directory (os error 2)"
    );
    assert_eq!(told[1], "tencent.ca_file (GATEWAY_TENCENT__CA_FILE): must be a file that can be read: is a directory");
    assert!(told[2].starts_with("tencent.credentials.file (GATEWAY_TENCENT__CREDENTIALS__FILE): "), "{told:#?}");
    assert!(told[3].starts_with("auth.issuers[0].jwks_file ("), "{told:#?}");
    assert_eq!(unused.len(), 3, "{unused:#?}");
    assert_eq!(present, [""; 0]);
}

#[test]
fn two_listeners_on_port_zero_or_on_two_addresses_do_not_meet() {
    for (listen, admin_listen) in
        [("127.0.0.1:0", "127.0.0.1:0"), ("127.0.0.1:8080", "127.0.0.1:9090"), ("127.0.0.1:8080", "127.0.0.2:8080")]
    {
        valid(BASE, &[("GATEWAY_SERVER__LISTEN", listen), ("GATEWAY_SERVER__ADMIN_LISTEN", admin_listen)]);
    }
}
