//! An answer in the vendor's own form, to be kept and read again: what is read has passed the same checks as what came.

use std::num::NonZero;

use serde::Serialize;

use super::{BackupFile, BackupUrls, SignedUrl};
use crate::tencent::error::CallError;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<T> {
    response: T,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    backup_infos: Vec<Info<'a>>,
    request_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Info<'a> {
    file_name: &'a str,
    file_size: u64,
    download_url: &'a str,
    inner_download_url: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal<'a> {
    error: Reason<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reason<'a> {
    code: &'a str,
    message: &'a str,
}

/// The URLs in the form of the answer that [`backup_urls`](fn@super::backup_urls) reads. Secrets stand in it.
pub fn kept_backup_urls(urls: &BackupUrls) -> Vec<u8> {
    let infos = urls.files().map(Info::from).collect();
    super::encode(&Document { response: Answer { backup_infos: infos, request_id: urls.request_id.as_str() } })
}

/// A refusal in the same form; nothing where the error is no refusal of the vendor's.
pub fn kept_refusal(error: &CallError) -> Option<Vec<u8>> {
    let CallError::Refused { code, message, request_id, .. } = error else { return None };
    let reason = Reason { code: code.as_str(), message: message.as_deref().unwrap_or_default() };
    Some(super::encode(&Document { response: Refusal { error: reason, request_id: request_id.as_str() } }))
}

impl<'a> From<BackupFile<'a>> for Info<'a> {
    fn from(file: BackupFile<'a>) -> Self {
        let text = |url: Option<SignedUrl<'a>>| url.map_or("", SignedUrl::expose);
        Self {
            file_name: file.name,
            // The vendor, too, writes 0 where it does not know.
            file_size: file.size_bytes.map_or(0, NonZero::get),
            download_url: text(file.download_url),
            inner_download_url: text(file.inner_download_url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tencent::wire::backup_urls;

    #[test]
    fn what_is_kept_is_read_again_as_what_it_was() {
        let answer = include_bytes!("../../../tests/vectors/describe-backup-url-sample.json");
        let urls = backup_urls(answer).expect("the vendor's own example");
        let mut files: Vec<_> = urls.files().collect();
        files[0].size_bytes = None;
        files[1].inner_download_url = None;
        let sparse = BackupUrls::new(&files, urls.request_id.clone()).expect("it is no longer");

        for urls in [urls.clone(), sparse] {
            assert_eq!(backup_urls(&kept_backup_urls(&urls)), Ok(urls));
        }
    }

    #[test]
    fn a_refusal_is_read_again_as_what_it_was() {
        let refusal = CallError::refused("InvalidParameterValue.BackupNotExists", "no such \"backup\"", "id-1");

        let kept = kept_refusal(&refusal).expect("it is a refusal");

        assert_eq!(backup_urls(&kept), Err(refusal));
        assert_eq!(kept_refusal(&CallError::Timeout), None);
    }
}
