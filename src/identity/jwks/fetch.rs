//! One attempt to read an issuer's keys from where the configuration says. Nothing in a token ever decides where.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use actix_web::http::{
    StatusCode,
    header::{self, HeaderValue},
};
use secrecy::{SecretSlice, zeroize::Zeroizing};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    identity::{
        IssuerSettings, KeySetUrl, KeySource,
        json::{self, Json},
        key_set::{KeySet, KeySetError, MAX_KEY_SET_BYTES, MAX_SECRET_BYTES},
    },
    outbound::{self, BodyError, RootsError, TlsRoots},
};

/// The longest that an attempt may take, from the first byte out to the last byte in.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// Discovery documents are a few KiB; whatever is much longer is another document.
const MAX_DISCOVERY_BYTES: usize = 64 * 1024;

/// A service account's token is about 1 KiB.
const MAX_BEARER_BYTES: usize = 16 * 1024;

/// Where an issuer's keys come from, and what it takes to get them.
///
/// Files are read on threads that may block: a disk that does not answer must not stop the main thread, which grants the
/// tokens of the quota and hears signals. No time limit ends such a read, so that a dead disk holds one thread an issuer
/// and not one for each attempt.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) source: KeySource,
    /// What the discovery document must call itself.
    issuer: String,
    ca_file: Option<PathBuf>,
    bearer_token_file: Option<PathBuf>,
}

/// Why an attempt brought no keys. Its words never hold the URL or anything that the other side said.
#[derive(Debug, thiserror::Error)]
pub(in crate::identity) enum FetchError {
    #[error("no answer within {} seconds", TIMEOUT.as_secs())]
    TimedOut,
    #[error("no connection, or no HTTP answer on it")]
    Unreachable,
    /// Redirects are answers like any other: a key set comes from where the configuration says, or not at all.
    #[error("the answer has status {0} in place of 200")]
    Status(u16),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the file cannot be read: {0}")]
    File(io::ErrorKind),
    #[error("the bearer token file cannot be read: {0}")]
    BearerFile(io::ErrorKind),
    #[error("the bearer token file does not hold one token")]
    Bearer,
    #[error("the issuer's ca_file: {0}")]
    Roots(#[from] RootsError),
    #[error("the answer is not a discovery document")]
    NotDiscovery,
    /// OpenID Connect Discovery 1.0, section 4.3: exactly the same, or it speaks for somebody else.
    #[error("the discovery document is that of another issuer")]
    OtherIssuer,
    #[error("the discovery document's jwks_uri is not https, nor http on this machine")]
    KeySetUrl,
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    #[error("whoever read the files panicked")]
    Reader,
}

/// What it takes to ask an issuer for its keys, from files.
struct Papers {
    /// The authorities that are trusted for it, where the built-in ones will not do.
    roots: Option<TlsRoots>,
    /// The value of `Authorization`, where it wants one.
    bearer: Option<HeaderValue>,
}

impl Origin {
    pub(super) fn of(issuer: &IssuerSettings) -> Self {
        Self {
            source: issuer.keys.clone(),
            issuer: issuer.issuer.clone(),
            ca_file: issuer.ca_file.clone(),
            bearer_token_file: issuer.bearer_token_file.clone(),
        }
    }

    /// Whether the keys lie on this machine's disk.
    pub(super) fn is_file(&self) -> bool {
        self.source.is_file()
    }

    /// Reads the keys, from a URL within [`TIMEOUT`]. `client` trusts the built-in authorities alone.
    pub(super) async fn fetch(&self, client: &awc::Client) -> Result<KeySet, FetchError> {
        let papers = || {
            let origin = self.clone();
            beside(move || origin.papers())
        };
        match &self.source {
            KeySource::File(path) => {
                let path = path.clone();
                beside(move || key_set_in(&path)).await
            }
            KeySource::Secret(path) => {
                let path = path.clone();
                beside(move || secret_in(&path)).await
            }
            KeySource::Url(url) => {
                let papers = papers().await?;
                timeout(TIMEOUT, papers.fetch_from(url, client)).await.unwrap_or(TIMED_OUT)
            }
            KeySource::Discovery(url) => {
                let papers = papers().await?;
                timeout(TIMEOUT, papers.discover(url, &self.issuer, client)).await.unwrap_or(TIMED_OUT)
            }
        }
    }

    /// Reads the keys where they lie on this machine's disk. Blocks.
    pub(super) fn read(&self) -> Option<Result<KeySet, FetchError>> {
        match &self.source {
            KeySource::File(path) => Some(key_set_in(path)),
            KeySource::Secret(path) => Some(secret_in(path)),
            KeySource::Url(_) | KeySource::Discovery(_) => None,
        }
    }

    /// What the files say that it takes to ask elsewhere. Read each time: a cluster's authorities are renewed while we run,
    /// and its tokens live for an hour. Blocks.
    fn papers(&self) -> Result<Papers, FetchError> {
        let roots = self.ca_file.as_deref().map(|ca_file| TlsRoots::load(Some(ca_file))).transpose()?;
        let bearer = self.bearer_token_file.as_deref().map(bearer_in).transpose()?;
        Ok(Papers { roots, bearer })
    }
}

impl Papers {
    async fn fetch_from(&self, url: &KeySetUrl, client: &awc::Client) -> Result<KeySet, FetchError> {
        let document = get(url, self.bearer.as_ref(), &self.client(client), MAX_KEY_SET_BYTES).await?;
        Ok(KeySet::parse(&document)?)
    }

    /// The issuer's own token goes to the host that it is meant for, and to no other that a document names.
    async fn discover(&self, url: &KeySetUrl, issuer: &str, client: &awc::Client) -> Result<KeySet, FetchError> {
        let client = self.client(client);
        let document = get(url, self.bearer.as_ref(), &client, MAX_DISCOVERY_BYTES).await?;
        let keys = key_set_url(&document, issuer)?;
        let bearer = self.bearer.as_ref().filter(|_| keys.has_same_origin(url));
        Ok(KeySet::parse(&get(&keys, bearer, &client, MAX_KEY_SET_BYTES).await?)?)
    }

    fn client(&self, shared: &awc::Client) -> awc::Client {
        match &self.roots {
            None => shared.clone(),
            Some(roots) => outbound::client(roots, TIMEOUT, TIMEOUT),
        }
    }
}

const TIMED_OUT: Result<KeySet, FetchError> = Err(FetchError::TimedOut);

/// Reads files on a thread that may block.
async fn beside<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    spawn_blocking(read).await.unwrap_or(Err(FetchError::Reader))
}

fn key_set_in(path: &Path) -> Result<KeySet, FetchError> {
    Ok(KeySet::parse(&read_file(path, MAX_KEY_SET_BYTES).map_err(FetchError::File)?)?)
}

fn secret_in(path: &Path) -> Result<KeySet, FetchError> {
    Ok(KeySet::of_secret(read_secret(path).map_err(FetchError::File)?)?)
}

/// The value of `Authorization`.
fn bearer_in(path: &Path) -> Result<HeaderValue, FetchError> {
    let content = read_file(path, MAX_BEARER_BYTES).map_err(FetchError::BearerFile)?;
    let token = content.trim_ascii();
    if token.is_empty() || token.len() > MAX_BEARER_BYTES || !token.iter().all(u8::is_ascii_graphic) {
        return Err(FetchError::Bearer);
    }
    let value = Zeroizing::new([b"Bearer ", token].concat());
    let mut value = HeaderValue::from_bytes(&value).map_err(|_| FetchError::Bearer)?;
    value.set_sensitive(true);
    Ok(value)
}

async fn get(
    url: &KeySetUrl,
    bearer: Option<&HeaderValue>,
    client: &awc::Client,
    limit_bytes: usize,
) -> Result<Vec<u8>, FetchError> {
    let mut request =
        client.get(url.as_str()).insert_header((header::ACCEPT, "application/jwk-set+json, application/json"));
    if let Some(bearer) = bearer {
        request = request.insert_header((header::AUTHORIZATION, bearer.clone()));
    }
    let mut response = request.send().await.map_err(|_| FetchError::Unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    Ok(outbound::read_body(&mut response, limit_bytes).await?.into())
}

/// `jwks_uri` of a discovery document that is this issuer's.
fn key_set_url(document: &[u8], issuer: &str) -> Result<KeySetUrl, FetchError> {
    let members = json::object(document).map_err(|_| FetchError::NotDiscovery)?;
    let text = |name| match members.get(name) {
        Some(Json::String(text)) => Ok(text.as_ref()),
        _ => Err(FetchError::NotDiscovery),
    };
    if text("issuer")? != issuer {
        return Err(FetchError::OtherIssuer);
    }
    KeySetUrl::try_from(text("jwks_uri")?).map_err(|_| FetchError::KeySetUrl)
}

/// The secret of a file, without the line break that editors put at its end.
///
/// # Errors
///
/// Whatever the system says. The length is judged by [`KeySet::of_secret`].
pub(in crate::identity) fn read_secret(path: &Path) -> Result<SecretSlice<u8>, io::ErrorKind> {
    // Room for a line break, and for one byte that shows that the secret is too long.
    let content = read_file(path, MAX_SECRET_BYTES + 2)?;
    let secret = content.strip_suffix(b"\n").unwrap_or(&content);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    Ok(SecretSlice::from(secret.to_vec()))
}

/// Reads one byte more than the limit: enough for who judges the length to see that there are too many. Blocks.
fn read_file(path: &Path, limit_bytes: usize) -> Result<Zeroizing<Vec<u8>>, io::ErrorKind> {
    // The whole room is taken at once: a vector that grows leaves copies of a secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(limit_bytes + 1));
    let read = File::open(path).and_then(|file| file.take(limit_bytes as u64 + 1).read_to_end(&mut content));
    read.map_err(|error| error.kind())?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_secret_is_read_without_the_line_break_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (content, secret) in
            [("s", "s"), ("s\n", "s"), ("s\r\n", "s"), ("s\n\n", "s\n"), (" s \n", " s "), ("", ""), ("a\nb", "a\nb")]
        {
            std::fs::write(&path, content).unwrap();

            let read = read_secret(&path).unwrap();

            assert_eq!(read.expose_secret(), secret.as_bytes(), "{content:?}");
            assert_eq!(format!("{read:?}"), "SecretBox<[u8]>([REDACTED])");
        }
    }

    #[test]
    fn a_discovery_document_must_be_the_issuers_and_name_a_safe_place() {
        let read = |text: &str| key_set_url(text.as_bytes(), "https://sso.example.internal").map_err(|e| e.to_string());
        let with = |issuer: &str, jwks_uri: &str| {
            read(&serde_json::json!({"issuer": issuer, "jwks_uri": jwks_uri, "x": 1}).to_string())
        };
        let other = FetchError::OtherIssuer.to_string();

        assert!(with("https://sso.example.internal", "https://keys.example/jwks").is_ok());
        for issuer in
            ["https://sso.example.internal/", "https://SSO.example.internal", "http://sso.example.internal", ""]
        {
            assert_eq!(with(issuer, "https://keys.example/jwks"), Err(other.clone()), "{issuer}");
        }
        for url in ["http://keys.example/jwks", "/jwks", "file:///etc/passwd", "https://user:pw@keys.example", ""] {
            assert_eq!(with("https://sso.example.internal", url), Err(FetchError::KeySetUrl.to_string()), "{url}");
        }
        for text in [
            "",
            "[]",
            "<html></html>",
            r#"{"issuer":"https://sso.example.internal"}"#,
            r#"{"jwks_uri":"https://keys.example"}"#,
            r#"{"issuer":["https://sso.example.internal"],"jwks_uri":"https://keys.example"}"#,
            r#"{"issuer":"https://evil.example","issuer":"https://sso.example.internal","jwks_uri":"https://a"}"#,
        ] {
            assert_eq!(read(text), Err(FetchError::NotDiscovery.to_string()), "{text}");
        }
    }
}
