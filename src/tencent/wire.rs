//! The API's requests and answers as JSON, read into types.
//!
//! It reads tolerantly where the vendor's documents contradict themselves, and refuses what must not be passed on. It
//! never opens a connection.

mod backup_urls;
mod files;
mod kept;
mod listings;
mod signed_url;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use backup_urls::{backup_urls, backup_urls_request};
pub use files::{BackupFile, BackupUrls};
pub use kept::{kept_backup_urls, kept_refusal};
pub use listings::{
    Backup, BackupFilter, BackupPage, BackupStatus, Instance, InstancePage, InstanceStatus, Page, backups,
    backups_request, instances, instances_request,
};
pub use signed_url::{SignedUrl, UnusableUrl};

use super::error::{CallError, Defect, UpstreamRequestId};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<T> {
    response: T,
}

/// What every answer has. An answer with an error has nothing else.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Head {
    error: Option<ErrorBody>,
    request_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorBody {
    code: Option<String>,
    message: Option<String>,
}

/// The error that an answer of the API carries, whatever status and content type it came with.
pub fn refusal(answer: &[u8]) -> Option<CallError> {
    let head: Envelope<Head> = serde_json::from_slice(answer).ok()?;
    head.response.into_result().err()
}

/// The result of a call, and its id.
///
/// The answer is read twice: once for what every answer has, so that an error is found whatever stands beside it.
pub(super) fn open<T: DeserializeOwned>(answer: &[u8]) -> Result<(T, UpstreamRequestId), CallError> {
    let not_an_answer = |_| CallError::Malformed(Defect::NotAnAnswer);
    let head: Envelope<Head> = serde_json::from_slice(answer).map_err(not_an_answer)?;
    let request_id = head.response.into_result()?;
    let body: Envelope<T> = serde_json::from_slice(answer).map_err(not_an_answer)?;
    Ok((body.response, request_id))
}

/// The bytes of a request: what is signed and what is sent.
fn encode(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).expect("structs of texts and numbers have a JSON form")
}

impl Head {
    fn into_result(self) -> Result<UpstreamRequestId, CallError> {
        let request_id = self.request_id.as_deref().unwrap_or_default();
        let Some(error) = self.error else {
            return Ok(UpstreamRequestId::new(request_id));
        };
        let (code, message) = (error.code.unwrap_or_default(), error.message.unwrap_or_default());
        Err(CallError::refused(&code, &message, request_id))
    }
}

#[cfg(test)]
mod tests;
