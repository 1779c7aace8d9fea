//! TLS as a client meets it: a certificate for the gateway, and connections that know how their handshake went.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
    SignatureAlgorithm,
};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    client::Resumption,
    crypto::{
        CryptoProvider, SupportedKxGroup,
        aws_lc_rs::{self, kx_group},
    },
    pki_types::ServerName,
    version::TLS13,
};

use crate::{Result, client::Connection, pem};

/// The key of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    EcdsaP256,
    Rsa2048,
}

/// A server's certificate, which an authority of its own has signed with ECDSA. It is sent alone: a chain would add
/// bytes, but no signature.
pub(crate) struct Identity {
    pub(crate) key: Key,
    authority: Certificate,
    certificate: Certificate,
    pair: KeyPair,
}

/// How secrets are agreed on.
#[derive(Clone, Copy)]
pub(crate) enum Exchange {
    /// X25519 and ML-KEM-768 at once, as browsers do; the gateway prefers it.
    Hybrid,
    X25519,
}

/// A client of one server. Its connections share their sessions.
pub(crate) struct Client(Arc<ClientConfig>);

/// A connection over TLS.
pub(crate) type Secure = Connection<StreamOwned<ClientConnection, TcpStream>>;

impl Key {
    fn algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Self::EcdsaP256 => &PKCS_ECDSA_P256_SHA256,
            // Of 2048 bits, where nobody says otherwise.
            Self::Rsa2048 => &PKCS_RSA_SHA256,
        }
    }
}

impl Identity {
    pub(crate) fn new(key: Key) -> Result<Self> {
        let mut of_authority = CertificateParams::default();
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let authority = of_authority.self_signed(&authority_pair)?;
        let pair = KeyPair::generate_for(key.algorithm())?;
        let params = CertificateParams::new(["localhost".to_owned()])?;
        let certificate = params.signed_by(&pair, &Issuer::new(of_authority, authority_pair))?;
        Ok(Self { key, authority, certificate, pair })
    }

    pub(crate) fn certificate_pem(&self) -> String {
        pem::encode("CERTIFICATE", self.certificate.der())
    }

    pub(crate) fn key_pem(&self) -> String {
        pem::encode("PRIVATE KEY", self.pair.serialized_der())
    }
}

impl Exchange {
    fn groups(self) -> Vec<&'static dyn SupportedKxGroup> {
        match self {
            // A share of either goes out with the hello, so nobody is asked to say it again.
            Self::Hybrid => vec![kx_group::X25519MLKEM768, kx_group::X25519],
            Self::X25519 => vec![kx_group::X25519],
        }
    }
}

impl Client {
    /// One that speaks TLS 1.3 and forgets its sessions.
    pub(crate) fn new(server: &Identity, exchange: Exchange) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(server.authority.der().clone())?;
        let provider = CryptoProvider { kx_groups: exchange.groups(), ..aws_lc_rs::default_provider() };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// The same, which keeps the tickets that it is given, and shows each once.
    pub(crate) fn that_resumes(self) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.resumption = Resumption::in_memory_sessions(1);
        Self(Arc::new(config))
    }

    /// Opens a connection and says hello on it, but does not wait for the answer.
    pub(crate) fn begin(&self, address: SocketAddr) -> Result<Secure> {
        let mut socket = Connection::open(address)?.into_stream();
        let mut session = ClientConnection::new(Arc::clone(&self.0), ServerName::try_from("localhost")?)?;
        session.write_tls(&mut socket)?;
        Ok(Connection::over(StreamOwned::new(session, socket)))
    }
}

impl Secure {
    /// How the handshake went, which must be over, and by TLS 1.3.
    pub(crate) fn handshake(&self) -> Result<HandshakeKind> {
        let session = &self.stream().conn;
        if session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(format!("TLS 1.3 is measured, this is {:?}", session.protocol_version()).into());
        }
        session.handshake_kind().ok_or_else(|| "the handshake is not over".into())
    }

    /// Says that nothing more will come.
    pub(crate) fn end(self) -> io::Result<()> {
        let StreamOwned { mut conn, mut sock } = self.into_stream();
        conn.send_close_notify();
        conn.write_tls(&mut sock).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData as _;

    use super::*;

    #[test]
    fn an_identity_has_the_key_that_it_says() {
        // OIDs, as DER has them: id-ecPublicKey, and rsaEncryption.
        let expected: [(Key, &[u8]); 2] = [
            (Key::EcdsaP256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]),
            (Key::Rsa2048, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]),
        ];
        for (key, oid) in expected {
            let identity = Identity::new(key).unwrap();

            let public = identity.pair.subject_public_key_info();
            assert!(public.windows(oid.len()).any(|window| window == oid), "{key:?}");
            assert!(identity.certificate_pem().starts_with("-----BEGIN CERTIFICATE-----\n"));
            assert!(identity.key_pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        }
        let rsa = Identity::new(Key::Rsa2048).unwrap();
        assert!((290..300).contains(&rsa.pair.subject_public_key_info().len()), "2048 bits");
    }
}
