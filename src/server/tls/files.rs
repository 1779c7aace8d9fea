//! The files of `[server.tls]`: read once, then looked at, so that what was compared is what is taken.
//!
//! The bytes of the private key are wiped when they are dropped, and no part of a file is ever repeated.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    Error, InconsistentKeys,
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest as _, Sha256};

use super::{
    Mistake, Settings, TlsError,
    certificate::{self, Facts, Validity},
    mistake::both,
};

const CERT_FILE: &str = "server.tls.cert_file";
const KEY_FILE: &str = "server.tls.key_file";
const CLIENT_CA_FILE: &str = "server.tls.client_ca_file";

/// What stood in the files at one moment.
pub(in crate::server) struct Files {
    certificates: File<Vec<u8>>,
    key: File<SecretSlice<u8>>,
    client_authorities: Option<File<Vec<u8>>>,
}

/// A file's content, or why there is none.
struct File<T> {
    path: PathBuf,
    content: Result<T, io::ErrorKind>,
}

/// Tells the content of the files from another, and shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Fingerprint([u8; 32]);

/// Who the server is: its certificates and its key, which fit each other.
pub(super) struct Identity {
    pub(super) key: CertifiedKey,
    pub(super) validity: Validity,
}

impl Files {
    /// Reads all of them. What cannot be read is remembered as that. Blocks.
    pub(in crate::server) fn read(settings: &Settings) -> Self {
        let key = read(&settings.key_file).map(SecretSlice::from);
        Self {
            certificates: File { path: settings.cert_file.clone(), content: read(&settings.cert_file) },
            key: File { path: settings.key_file.clone(), content: key },
            client_authorities: settings
                .client_ca_file
                .as_ref()
                .map(|path| File { path: path.clone(), content: read(path) }),
        }
    }

    pub(in crate::server) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        let mut add = |content: Result<&[u8], &io::ErrorKind>| match content {
            // With its length, so that no byte can move from one file to the next unseen.
            Ok(bytes) => {
                hash.update(bytes.len().to_be_bytes());
                hash.update(bytes);
            }
            Err(kind) => hash.update(format!("{kind:?}")),
        };
        add(self.certificates.content.as_deref());
        add(self.key.content.as_ref().map(|key| key.expose_secret()));
        if let Some(file) = &self.client_authorities {
            add(file.content.as_deref());
        }
        Fingerprint(hash.finalize().into())
    }

    /// The server's certificates and its key, valid at `now` and made for each other.
    pub(super) fn identity(&self, provider: &Arc<CryptoProvider>, now: SystemTime) -> Result<Identity, Vec<TlsError>> {
        let (chain, key) = both(self.chain(now), self.private_key())?;
        let (chain, validity) = chain;
        let key = provider.key_provider.load_private_key(key).map_err(|_| self.refuse_key(Mistake::UnusableKey))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            // The provider knows the public half of every kind of key that it takes.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Identity { key, validity }),
            Err(Error::InconsistentKeys(_)) => Err(self.refuse_key(Mistake::OtherKey)),
            Err(_) => Err(self.refuse_certificate(Mistake::NotX509 { number: 1 })),
        }
    }

    /// The certificates of `client_ca_file`; none where no such file is named.
    pub(super) fn client_authorities(&self) -> Result<Vec<CertificateDer<'static>>, Vec<TlsError>> {
        let Some(file) = &self.client_authorities else { return Ok(Vec::new()) };
        let bytes = file.content.as_ref().map_err(|kind| self.refuse_client_authorities(Mistake::Unreadable(*kind)))?;
        certificates(bytes).map_err(|mistake| self.refuse_client_authorities(mistake))
    }

    fn chain(&self, now: SystemTime) -> Result<(Vec<CertificateDer<'static>>, Validity), Vec<TlsError>> {
        let refused = |mistake| self.refuse_certificate(mistake);
        let bytes = self.certificates.content.as_ref().map_err(|kind| refused(Mistake::Unreadable(*kind)))?;
        let chain = certificates(bytes).map_err(refused)?;
        let facts = chain.iter().enumerate().map(|(index, certificate)| {
            certificate::read(certificate).ok_or_else(|| refused(Mistake::NotX509 { number: index + 1 }))
        });
        let facts = facts.collect::<Result<Vec<Facts<'_>>, _>>()?;
        let validity = certificate::judge(&facts, now).map_err(refused)?;
        Ok((chain, validity))
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, Vec<TlsError>> {
        let refused = |mistake| self.refuse_key(mistake);
        let bytes = self.key.content.as_ref().map_err(|kind| refused(Mistake::Unreadable(*kind)))?;
        let mut keys = PrivateKeyDer::pem_slice_iter(bytes.expose_secret());
        let key = keys.next().ok_or_else(|| refused(Mistake::NoKey))?.map_err(|error| refused(not_pem(&error)))?;
        match keys.next() {
            None => Ok(key),
            Some(_) => Err(refused(Mistake::SeveralKeys)),
        }
    }

    pub(super) fn refuse_certificate(&self, mistake: Mistake) -> Vec<TlsError> {
        TlsError::new(CERT_FILE, self.certificates.path.clone(), mistake)
    }

    fn refuse_key(&self, mistake: Mistake) -> Vec<TlsError> {
        TlsError::new(KEY_FILE, self.key.path.clone(), mistake)
    }

    pub(super) fn refuse_client_authorities(&self, mistake: Mistake) -> Vec<TlsError> {
        let path = self.client_authorities.as_ref().map(|file| file.path.clone()).unwrap_or_default();
        TlsError::new(CLIENT_CA_FILE, path, mistake)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, io::ErrorKind> {
    fs::read(path).map_err(|error| error.kind())
}

/// All certificates of a file that has one; what else stands in it is passed over, as a key may.
fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Mistake> {
    let certificates = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(Mistake::NoCertificate),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(not_pem(&error)),
    }
}

fn not_pem(error: &pem::Error) -> Mistake {
    match error {
        pem::Error::NoItemsFound => Mistake::NoKey,
        _ => Mistake::NotPem,
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client_authorities = self.client_authorities.as_ref().map(|file| &file.path);
        f.debug_struct("Files")
            .field("certificates", &self.certificates.path)
            .field("key", &self.key.path)
            .field("client_authorities", &client_authorities)
            .finish_non_exhaustive()
    }
}
