//! Certificates for tests, made when they are needed, so that none of them ever expires and none is kept.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// Something that issues certificates.
pub(crate) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(crate) struct Leaf {
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
}

/// The three files of `[server.tls]`, in a folder of a test's own.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
}

impl Authority {
    /// A root.
    pub(crate) fn new(name: &str) -> Self {
        let (params, key) = (authority(name), key());
        Self { certificate: params.self_signed(&key).unwrap(), issuer: Issuer::new(params, key) }
    }

    /// One that this one vouches for.
    pub(crate) fn under(&self, name: &str) -> Self {
        let (params, key) = (authority(name), key());
        Self { certificate: params.signed_by(&key, &self.issuer).unwrap(), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", self.der())
    }

    pub(crate) fn der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// A certificate for `localhost`, valid from an hour ago for ten years.
    pub(crate) fn server(&self) -> Leaf {
        self.server_valid(-Duration::HOUR, Duration::days(3650))
    }

    /// The same with other ends, counted from now.
    pub(crate) fn server_valid(&self, from: Duration, to: Duration) -> Leaf {
        self.issue(ExtendedKeyUsagePurpose::ServerAuth, from, to, key())
    }

    /// A certificate for a purpose, valid between two ends that are counted from now, for somebody's key.
    pub(crate) fn issue(&self, purpose: ExtendedKeyUsagePurpose, from: Duration, to: Duration, key: KeyPair) -> Leaf {
        let mut params = named("somebody", from, to);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        Leaf { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }
}

impl Leaf {
    pub(crate) fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", self.certificate.der())
    }

    pub(crate) fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key.serialized_der())
    }
}

impl Folder {
    pub(crate) fn new(leaf: &Leaf) -> Self {
        let folder = Self { folder: tempfile::tempdir().unwrap() };
        folder.write("cert.pem", &leaf.certificate_pem());
        folder.write("key.pem", &leaf.key_pem());
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in place, as an editor does.
    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name, -Duration::HOUR, Duration::days(3650));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn named(name: &str, from: Duration, to: Duration) -> CertificateParams {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now() + from;
    params.not_after = now() + to;
    params
}

#[expect(clippy::disallowed_methods, reason = "a certificate for a real connection is valid in real time")]
fn now() -> OffsetDateTime {
    std::time::SystemTime::now().into()
}

/// A key of the usual kind.
pub(crate) fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// RFC 7468.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
