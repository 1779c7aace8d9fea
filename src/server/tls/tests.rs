//! The files in all the states that operators leave them in, and what is in force afterwards.

use ::time::Duration;
use rcgen::{
    ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    SignatureAlgorithm,
};

use super::{
    testing::{Authority, Folder, Leaf, pem},
    *,
};

fn settings(folder: &Folder) -> Settings {
    Settings { cert_file: folder.path("cert.pem"), key_file: folder.path("key.pem"), client_ca_file: None }
}

fn settings_with_clients(folder: &Folder) -> Settings {
    Settings { client_ca_file: Some(folder.path("clients.pem")), ..settings(folder) }
}

fn load(settings: &Settings) -> Result<Tls, Vec<TlsError>> {
    Tls::load(settings.clone(), Clock::machine())
}

fn mistake(error: &TlsError) -> String {
    let told = error.to_string();
    told.split_once(".pem: ").expect("the file is named").1.to_owned()
}

/// The keys and the mistakes.
fn mistakes(settings: &Settings) -> Vec<(&'static str, String)> {
    match load(settings) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|error| (error.key, mistake(error))).collect(),
    }
}

/// A server's certificate for a key of this kind.
fn server_with(root: &Authority, algorithm: &'static SignatureAlgorithm) -> Leaf {
    let key = KeyPair::generate_for(algorithm).unwrap();
    root.issue(ExtendedKeyUsagePurpose::ServerAuth, -Duration::HOUR, Duration::days(90), key)
}

/// What a PKCS#8 key (RFC 5958) wraps: version, algorithm, and the same key in the form of its own kind.
fn inner_key(leaf: &Leaf) -> &[u8] {
    let element = |input| certificate::element(input).expect("the key is DER");
    let (_, wrapped, _) = element(leaf.key.serialized_der());
    let (_version, _, rest) = element(wrapped);
    let (_algorithm, _, rest) = element(rest);
    element(rest).1
}

#[test]
fn keys_of_every_kind_and_form_are_taken() {
    let root = Authority::new("root");
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        let folder = Folder::new(&server_with(&root, algorithm));

        assert_eq!(mistakes(&settings(&folder)), [], "{algorithm:?}");
    }
    for (algorithm, label) in [(&PKCS_ECDSA_P256_SHA256, "EC PRIVATE KEY"), (&PKCS_RSA_SHA256, "RSA PRIVATE KEY")] {
        let server = server_with(&root, algorithm);
        let folder = Folder::new(&server);
        folder.write("key.pem", &pem(label, inner_key(&server)));

        assert_eq!(mistakes(&settings(&folder)), [], "{label}");
    }
}

#[test]
fn certificate_and_key_may_stand_in_one_file() {
    let server = Authority::new("root").server();
    let folder = Folder::new(&server);
    folder.write("cert.pem", &(server.key_pem() + &server.certificate_pem()));

    let both = Settings { key_file: folder.path("cert.pem"), ..settings(&folder) };

    assert_eq!(mistakes(&both), []);
}

#[test]
fn each_mistake_is_told_with_its_key_and_what_would_be_right() {
    let root = Authority::new("root");
    let issuer = root.under("issuer");
    let server = issuer.server();
    let expired = root.server_valid(Duration::days(-90), -Duration::HOUR);
    let early = root.server_valid(Duration::HOUR, Duration::days(90));
    let other = root.server();
    let cert = "server.tls.cert_file";
    let key = "server.tls.key_file";
    let cut = server.certificate_pem().replace("-----END CERTIFICATE-----\n", "");
    let no_certificate = pem("CERTIFICATE", b"nothing of the kind");
    let locked = pem("ENCRYPTED PRIVATE KEY", b"who knows");
    let broken_key = pem("PRIVATE KEY", &server.key.serialized_der()[..40]);
    let out_of_order = server.certificate_pem() + &root.pem() + &issuer.pem();

    let table: &[(&str, &str, &str, &str)] = &[
        ("cert.pem", "", cert, "holds no certificate in PEM"),
        ("cert.pem", "not PEM at all", cert, "holds no certificate in PEM"),
        ("cert.pem", &server.key_pem(), cert, "holds no certificate in PEM"),
        ("cert.pem", &cut, cert, "is not PEM"),
        ("cert.pem", &no_certificate, cert, "certificate 1 is no X.509 certificate that can be used"),
        ("cert.pem", &out_of_order, cert, "certificate 2 has issued none of those before it"),
        ("cert.pem", &expired.certificate_pem(), cert, "certificate 1 expired on "),
        ("cert.pem", &early.certificate_pem(), cert, "certificate 1 is not valid before "),
        ("cert.pem", &other.certificate_pem(), key, "its private key is not that of the first certificate in "),
        ("key.pem", "", key, "holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, without a passphrase)"),
        ("key.pem", &server.certificate_pem(), key, "holds no private key in PEM"),
        ("key.pem", &locked, key, "holds no private key in PEM"),
        ("key.pem", &broken_key, key, "its private key cannot be used; it must be RSA of at least 2048 bits"),
        ("key.pem", &other.key_pem(), key, "its private key is not that of the first certificate in "),
        ("key.pem", &(server.key_pem() + &other.key_pem()), key, "holds more than one private key"),
    ];
    for (file, content, key, start) in table {
        let folder = Folder::new(&server);
        folder.write(file, content);

        let found = mistakes(&settings(&folder));

        assert_eq!(found.len(), 1, "{start}: {found:?}");
        assert_eq!(found[0].0, *key, "{found:?}");
        assert!(found[0].1.starts_with(start), "{start}: {found:?}");
    }
}

#[test]
fn mistakes_in_several_files_are_told_together() {
    let folder = Folder::new(&Authority::new("root").server());
    folder.write("cert.pem", "");
    std::fs::remove_file(folder.path("key.pem")).unwrap();

    let found = mistakes(&settings_with_clients(&folder));

    let keys: Vec<_> = found.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["server.tls.cert_file", "server.tls.key_file", "server.tls.client_ca_file"]);
    assert_eq!(found[1].1, "cannot be read: entity not found");
}

#[test]
fn authorities_of_clients_must_be_certificates() {
    let root = Authority::new("root");
    for (content, mistake) in [
        (String::new(), "holds no certificate in PEM"),
        (root.server().key_pem(), "holds no certificate in PEM"),
        (root.pem() + &pem("CERTIFICATE", b"nothing"), "certificate 2 cannot be used as a certificate authority"),
    ] {
        let folder = Folder::new(&root.server());
        folder.write("clients.pem", &content);

        assert_eq!(mistakes(&settings_with_clients(&folder)), [("server.tls.client_ca_file", mistake.to_owned())]);
    }
}

#[test]
fn a_mistake_repeats_nothing_of_the_key() {
    let server = Authority::new("root").server();
    let folder = Folder::new(&server);
    let secret = server.key_pem().lines().nth(1).unwrap().to_owned();
    folder.write("key.pem", &server.key_pem().replace("END PRIVATE", "END PUBLIC"));
    let settings = settings(&folder);
    let files = Files::read(&settings);

    let errors = load(&settings).unwrap_err();

    for text in [format!("{} {errors:?}", errors[0]), format!("{files:?}"), format!("{:?}", files.fingerprint())] {
        assert!(!text.contains(&secret) && !text.contains("PRIVATE"), "{text}");
    }
}

#[test]
fn what_is_in_force_shows_no_key() {
    let server = Authority::new("root").server();
    let folder = Folder::new(&server);
    let tls = load(&settings(&folder)).unwrap();

    let shown = format!("{tls:?}");

    assert_eq!(shown, format!("Tls {{ settings: {:?}, .. }}", settings(&folder)));
}

#[test]
fn every_byte_of_every_file_counts_and_none_moves_between_them_unseen() {
    let folder = Folder::new(&Authority::new("root").server());
    folder.write("clients.pem", "b");
    let fingerprint = |cert: &str, key: &str| {
        folder.write("cert.pem", cert);
        folder.write("key.pem", key);
        Files::read(&settings_with_clients(&folder)).fingerprint()
    };

    let first = fingerprint("aa", "a");

    assert_eq!(first, fingerprint("aa", "a"));
    assert_ne!(first, fingerprint("a", "aa"));
    assert_ne!(first, fingerprint("aa", "b"));
    folder.write("clients.pem", "c");
    assert_ne!(first, fingerprint("aa", "a"));
    std::fs::remove_file(folder.path("clients.pem")).unwrap();
    assert_ne!(first, fingerprint("aa", "a"));
}

#[test]
fn a_mistake_leaves_what_was_in_force_there() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server());
    let settings = settings(&folder);
    let tls = load(&settings).unwrap();
    let (before, expires) = (tls.in_force.load_full(), tls.expires());

    folder.write("key.pem", &root.server().key_pem());
    let refused = tls.replace(&Files::read(&settings));

    assert!(refused.is_err());
    assert!(Arc::ptr_eq(&before, &tls.in_force.load_full()));
    assert_eq!(tls.expires(), expires);
}

#[test]
fn a_new_certificate_ends_no_connection_and_no_session_but_new_authorities_of_clients_end_connections() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server());
    folder.write("clients.pem", &root.pem());
    let settings = settings_with_clients(&folder);
    let tls = load(&settings).unwrap();
    let first = tls.in_force.load_full();

    let renewed = root.server_valid(-Duration::HOUR, Duration::days(1));
    folder.write("cert.pem", &renewed.certificate_pem());
    folder.write("key.pem", &renewed.key_pem());
    tls.replace(&Files::read(&settings)).unwrap();
    let second = tls.in_force.load_full();
    folder.write("clients.pem", &Authority::new("another").pem());
    tls.replace(&Files::read(&settings)).unwrap();
    let third = tls.in_force.load_full();

    assert!(second.validity.not_after < first.validity.not_after);
    assert!(Arc::ptr_eq(&first.clients, &second.clients));
    assert!(!Arc::ptr_eq(&second.clients, &third.clients));
    assert_eq!([&first, &third].map(|in_force| in_force.clients.lease.has_ended()), [true, false]);
}

#[test]
fn sessions_go_on_over_a_new_certificate_and_there_are_none_where_clients_show_theirs() {
    let root = Authority::new("root");
    let folder = Folder::new(&root.server());
    folder.write("clients.pem", &root.pem());
    let tls = load(&settings(&folder)).unwrap();
    let before = Arc::clone(&tls.in_force.load().config);

    tls.replace(&Files::read(tls.settings())).unwrap();
    let after = Arc::clone(&tls.in_force.load().config);
    let mutual = load(&settings_with_clients(&folder)).unwrap();
    let mutual = Arc::clone(&mutual.in_force.load().config);

    assert!(Arc::ptr_eq(&before.ticketer, &after.ticketer));
    assert!(Arc::ptr_eq(&before.session_storage, &after.session_storage));
    assert!(after.ticketer.enabled() && after.session_storage.can_cache());
    assert!(!mutual.ticketer.enabled() && !mutual.session_storage.can_cache());
    assert_eq!(mutual.send_tls13_tickets, 0);
}

#[test]
fn nothing_is_offered_but_http_1_1() {
    let folder = Folder::new(&Authority::new("root").server());
    let tls = load(&settings(&folder)).unwrap();

    let config = Arc::clone(&tls.in_force.load().config);

    assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    assert_eq!(config.max_early_data_size, 0);
}
