//! Bodies of `/urls`. A signed URL leaves exactly as it came.

use bytes::Bytes;
use serde::Serialize;

use super::accept::Format;
use crate::{
    broker::Document,
    domain::{Network, clock::rfc3339},
    tencent::wire::BackupFile,
};

#[derive(Serialize)]
struct Body<'a> {
    instance_id: &'a str,
    backup_id: &'a str,
    region: &'a str,
    files: Vec<File<'a>>,
    expires_at: String,
    fetched_at: String,
    upstream_request_id: &'a str,
}

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    download_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inner_download_url: Option<&'a str>,
}

/// The body in this format with these addresses. What nearly everybody asks for is rendered once and kept.
pub(super) fn body(document: &Document, format: Format, network: Network) -> Bytes {
    match (format, network) {
        (Format::Json, Network::Both) => document.rendered(|document| json(document, Network::Both)),
        (Format::Json, network) => json(document, network),
        (Format::Text, network) => text(document, network),
    }
}

fn json(document: &Document, network: Network) -> Bytes {
    let body = Body {
        instance_id: document.instance.as_str(),
        backup_id: document.backup.as_str(),
        region: document.region.as_str(),
        files: document.urls.files.iter().map(|file| File::of(file, network)).collect(),
        expires_at: rfc3339(document.expires_at),
        fetched_at: rfc3339(document.fetched_at),
        upstream_request_id: document.urls.request_id.as_str(),
    };
    serde_json::to_vec(&body).expect("strings, numbers and lists always serialise").into()
}

/// One URL a line; the public ones unless the inner ones are asked for.
fn text(document: &Document, network: Network) -> Bytes {
    let mut lines = String::new();
    for file in &document.urls.files {
        let url = match network {
            Network::Inner => &file.inner_download_url,
            Network::Public | Network::Both => &file.download_url,
        };
        if let Some(url) = url {
            lines.push_str(url.expose());
            lines.push('\n');
        }
    }
    lines.into()
}

impl<'a> File<'a> {
    fn of(file: &'a BackupFile, network: Network) -> Self {
        let public = file.download_url.as_ref().filter(|_| network != Network::Inner);
        let inner = file.inner_download_url.as_ref().filter(|_| network != Network::Public);
        Self {
            name: &file.name,
            size_bytes: file.size_bytes,
            download_url: public.map(|url| url.expose()),
            inner_download_url: inner.map(|url| url.expose()),
        }
    }
}
