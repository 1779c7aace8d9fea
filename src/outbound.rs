//! The one way out: an HTTP/1.1 client that follows no redirect and reads no more than it was told.
//!
//! It never tries twice and never judges an answer: that is for those who know what they asked.

mod connections;
#[cfg(test)]
pub(crate) mod test_peer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use awc::{
    ClientResponse,
    error::PayloadError,
    http::{
        StatusCode, Version,
        header::{self, HeaderMap},
    },
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem, pem::PemObject},
};

pub use connections::watch_connections;

/// A connection that was not used for this long is closed at its next use. Proxies commonly close idle ones after 60 s,
/// and a request on a connection that is being closed is lost.
const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// A connection is replaced at this age, so that a change of DNS is noticed.
const AGE_LIMIT: Duration = Duration::from_secs(75);

/// Trusted certificate authorities: the built-in roots, and those of an operator's file beside them.
#[derive(Clone, Debug)]
pub struct TlsRoots(Arc<ClientConfig>);

/// Why a CA file was not read.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be opened or read.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: io::ErrorKind,
    },
    /// The file is not PEM.
    #[error("{path} is not a PEM file")]
    NotPem {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no certificate.
    #[error("{path} holds no certificate")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// One of the certificates is not an X.509 certificate that can be trusted.
    #[error("certificate {number} of {path} cannot be used as a certificate authority")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The place of the certificate in the file, from 1.
        number: usize,
    },
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is longer than the limit.
    #[error("the body is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// The connection broke or the body was malformed.
    #[error("the body ended early")]
    Broken,
}

impl TlsRoots {
    /// The roots compiled into the program, and those of `ca_file` (PEM) where one is named.
    ///
    /// # Errors
    /// Where `ca_file` cannot be read, or holds anything but at least one certificate authority.
    pub fn load(ca_file: Option<&Path>) -> Result<Self, RootsError> {
        let mut roots = built_in();
        if let Some(path) = ca_file {
            add_file(&mut roots, path)?;
        }
        Ok(Self::of(roots))
    }

    /// The roots compiled into the program.
    pub fn built_in() -> Self {
        Self::of(built_in())
    }

    fn of(roots: RootCertStore) -> Self {
        // The provider is named here: with two of them in the build, the process default is a matter of luck.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("aws-lc-rs has cipher suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // awc speaks HTTP/2 where the peer picks it, over an h2 with an open advisory: it is never offered.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }
}

/// A client for one worker: keep-alive, no redirects, no decompression, ALPN `http/1.1` only.
///
/// `connect_timeout` bounds the name lookup with the TCP connection, and once more the TLS handshake. `timeout` bounds
/// the call from [`send`](awc::ClientRequest::send) to the head of the answer; whoever reads a body bounds the whole.
pub fn client(roots: &TlsRoots, connect_timeout: Duration, timeout: Duration) -> awc::Client {
    let connector = awc::Connector::new()
        .connector(connections::Connections::default())
        .rustls_0_23(Arc::clone(&roots.0))
        .timeout(connect_timeout)
        .handshake_timeout(connect_timeout)
        .conn_keep_alive(IDLE_LIMIT)
        .conn_lifetime(AGE_LIMIT)
        // The limit counts requests in flight, and those beyond it wait unseen inside `send`: a call for which a token
        // of a quota was spent must leave at once. Callers bound their calls; zero is no limit.
        .limit(0);
    awc::Client::builder().connector(connector).disable_redirects().timeout(timeout).finish()
}

/// Reads the whole body, at most `limit_bytes` of it.
///
/// # Errors
/// [`BodyError::TooLong`] as soon as the announced or the received length passes the limit; [`BodyError::Broken`] where
/// fewer bytes came than were announced, or a body was to be read to the end of the connection (awc would read none of
/// it). A chunked body that is cut off cannot be told from a whole one here (awc ends both the same way): its reader
/// must notice.
pub async fn read_body<S>(response: &mut ClientResponse<S>, limit_bytes: usize) -> Result<Bytes, BodyError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let announced_bytes = content_length(response.headers())?;
    if announced_bytes.is_some_and(|length| length > limit_bytes) {
        return Err(BodyError::TooLong { limit_bytes });
    }
    if announced_bytes.is_none() && ends_with_its_connection(response) {
        return Err(BodyError::Broken);
    }

    let mut body = BytesMut::with_capacity(announced_bytes.unwrap_or_default());
    while let Some(chunk) = response.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        if chunk.len() > limit_bytes - body.len() {
            return Err(BodyError::TooLong { limit_bytes });
        }
        body.extend_from_slice(&chunk);
    }

    // awc ends the stream without an error when the connection closes inside the body.
    if announced_bytes.is_some_and(|length| length != body.len()) {
        return Err(BodyError::Broken);
    }
    Ok(body.freeze())
}

/// Whether the body has no other end than that of the connection (RFC 9112 section 6.3, rule 8). For HTTP/1.1 awc takes
/// that for no body, and would hand it out as an empty one.
fn ends_with_its_connection<S>(response: &ClientResponse<S>) -> bool {
    response.version() == Version::HTTP_11
        && !response.headers().contains_key(header::TRANSFER_ENCODING)
        && !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn content_length(headers: &HeaderMap) -> Result<Option<usize>, BodyError> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    value.to_str().ok().and_then(|text| text.trim().parse().ok()).map(Some).ok_or(BodyError::Broken)
}

/// The certificate authorities of `ca_file` (PEM), and no others.
///
/// # Errors
/// Where it cannot be read, or holds anything but at least one certificate authority.
pub fn authorities(ca_file: &Path) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    add_file(&mut roots, ca_file)?;
    Ok(roots)
}

fn built_in() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), RootsError> {
    let refused = |error| match error {
        pem::Error::Io(error) => RootsError::Unreadable { path: path.to_owned(), reason: error.kind() },
        _ => RootsError::NotPem { path: path.to_owned() },
    };
    let mut found = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(refused)? {
        found += 1;
        let unusable = |_| RootsError::Unusable { path: path.to_owned(), number: found };
        roots.add(certificate.map_err(refused)?).map_err(unusable)?;
    }
    if found == 0 {
        return Err(RootsError::NoCertificate { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
