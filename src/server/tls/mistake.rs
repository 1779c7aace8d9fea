//! What can be wrong with the files of `[server.tls]`. It repeats nothing of what stands in them.

use std::{io, path::PathBuf, time::SystemTime};

use crate::domain::clock::rfc3339;

/// A file that cannot be put in force.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {mistake}")]
pub(in crate::server) struct TlsError {
    /// The key of the configuration that names the file.
    pub(in crate::server) key: &'static str,
    /// The file.
    path: PathBuf,
    /// What is wrong with it.
    mistake: Mistake,
}

/// What is wrong with a file. Certificates are counted from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistake {
    /// The file cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// Something in it begins like PEM and does not go on so.
    #[error("is not PEM")]
    NotPem,
    /// There is no certificate in it.
    #[error("holds no certificate in PEM")]
    NoCertificate,
    /// One of the certificates is none.
    #[error("certificate {number} is no X.509 certificate that can be used")]
    NotX509 {
        /// Which.
        number: usize,
    },
    /// One of the certificates has ended.
    #[error("certificate {number} expired on {}", rfc3339(*.at))]
    Expired {
        /// Which.
        number: usize,
        /// When.
        at: SystemTime,
    },
    /// One of the certificates has not begun.
    #[error("certificate {number} is not valid before {}", rfc3339(*.at))]
    NotYetValid {
        /// Which.
        number: usize,
        /// When it will be.
        at: SystemTime,
    },
    /// The chain is out of order, or has something in it that does not belong there.
    #[error(
        "certificate {number} has issued none of those before it: the server's own comes first, then that of its \
         issuer, and so on"
    )]
    OutOfOrder {
        /// Which.
        number: usize,
    },
    /// There is no private key in it.
    #[error("holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, without a passphrase)")]
    NoKey,
    /// There is more than one private key in it.
    #[error("holds more than one private key")]
    SeveralKeys,
    /// The private key is damaged, or of a kind that is not used.
    #[error("its private key cannot be used; it must be RSA of at least 2048 bits, ECDSA or Ed25519")]
    UnusableKey,
    /// The private key belongs to another certificate.
    #[error("its private key is not that of the first certificate in server.tls.cert_file")]
    OtherKey,
    /// One of the certificates cannot vouch for others.
    #[error("certificate {number} cannot be used as a certificate authority")]
    NoAuthority {
        /// Which.
        number: usize,
    },
    /// Keys for session tickets cannot be made.
    #[error("cannot be used now: the system gives no randomness")]
    NoRandomness,
}

impl TlsError {
    pub(super) fn new(key: &'static str, path: PathBuf, mistake: Mistake) -> Vec<Self> {
        vec![Self { key, path, mistake }]
    }
}

/// Both results, or what is wrong with either.
pub(super) fn both<A, B>(
    one: Result<A, Vec<TlsError>>,
    other: Result<B, Vec<TlsError>>,
) -> Result<(A, B), Vec<TlsError>> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(mut one), Err(other)) => {
            one.extend(other);
            Err(one)
        }
        (Err(errors), Ok(_)) | (Ok(_), Err(errors)) => Err(errors),
    }
}
