//! One attempt to read a key set from where the configuration says. Nothing in a token ever decides where.

use std::{path::Path, time::Duration};

use actix_web::http::{StatusCode, header};
use tokio::{fs::File, io::AsyncReadExt, time::timeout};

use crate::{
    identity::{
        KeySource,
        key_set::{KeySet, KeySetError, MAX_KEY_SET_BYTES},
    },
    outbound::{self, BodyError},
};

/// The longest that an attempt may take, from the first byte out to the last byte in.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// Why an attempt brought no key set. Its words never hold the URL or anything that the other side said.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
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
    File(std::io::ErrorKind),
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

/// Reads the key set from its source within [`TIMEOUT`].
pub(super) async fn fetch(source: &KeySource, client: &awc::Client) -> Result<KeySet, FetchError> {
    let document = async {
        match source {
            KeySource::Url(url) => from_url(url, client).await,
            KeySource::File(path) => from_file(path).await.map_err(|error| FetchError::File(error.kind())),
        }
    };
    let document = timeout(TIMEOUT, document).await.map_err(|_| FetchError::TimedOut)??;
    Ok(KeySet::parse(&document)?)
}

async fn from_url(url: &str, client: &awc::Client) -> Result<Vec<u8>, FetchError> {
    let request = client.get(url).insert_header((header::ACCEPT, "application/jwk-set+json, application/json"));
    let mut response = request.send().await.map_err(|_| FetchError::Unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    Ok(outbound::read_body(&mut response, MAX_KEY_SET_BYTES).await?.into())
}

/// Reads one byte more than a key set may have: enough for the parser to see that there are too many.
async fn from_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut document = Vec::new();
    File::open(path).await?.take(MAX_KEY_SET_BYTES as u64 + 1).read_to_end(&mut document).await?;
    Ok(document)
}
