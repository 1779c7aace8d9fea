//! Bodies of `/urls`. A signed URL leaves exactly as it came.

use std::num::NonZero;

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::accept::Format;
use crate::{
    broker::Document,
    cache::{Entry, Lifetime},
    domain::{Network, clock::rfc3339},
    tencent::wire::{BackupFile, SignedUrl},
};

/// The download URLs of one backup.
#[derive(Serialize, ToSchema)]
#[schema(as = BackupUrls)]
pub(super) struct Body<'a> {
    instance_id: &'a str,
    /// The real id, also where `latest` was asked for.
    backup_id: &'a str,
    region: &'a str,
    /// In the vendor's order: one for each shard.
    files: Vec<File<'a>>,
    /// The earliest end of validity among all URLs of this backup, those that are left out included.
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
    /// When the vendor gave them.
    #[schema(value_type = String, format = DateTime)]
    fetched_at: String,
    /// The vendor's id of that call, which its support asks for.
    upstream_request_id: &'a str,
}

/// One file of a backup. Its URLs are bearer secrets: whoever holds one can download the file until it expires.
#[derive(Serialize, ToSchema)]
#[schema(as = BackupFile)]
struct File<'a> {
    name: &'a str,
    /// `null` where the vendor does not say.
    #[schema(required = true, minimum = 0)]
    size_bytes: Option<u64>,
    /// The address on the public internet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    download_url: Option<&'a str>,
    /// The address inside the vendor's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    inner_download_url: Option<&'a str>,
}

/// The body in this format with these addresses.
pub(super) fn body(entry: &Entry<Document>, format: Format, network: Network) -> Bytes {
    match (format, network) {
        (Format::Json, Network::Both) => entry.value.body(),
        (Format::Json, network) => json(&entry.value, &entry.lifetime, network),
        (Format::Text, network) => text(&entry.value, network),
    }
}

/// What nearly everybody asks for, to be kept with the document.
pub fn kept_body(document: &Document, lifetime: &Lifetime) -> Bytes {
    json(document, lifetime, Network::Both)
}

fn json(document: &Document, lifetime: &Lifetime, network: Network) -> Bytes {
    let body = Body {
        instance_id: document.instance.as_str(),
        backup_id: document.backup.as_str(),
        region: document.region.as_str(),
        files: document.urls.files().map(|file| File::of(file, network)).collect(),
        expires_at: rfc3339(lifetime.expires_at),
        fetched_at: rfc3339(lifetime.fetched_at),
        upstream_request_id: document.urls.request_id.as_str(),
    };
    let body = serde_json::to_vec(&body).expect("strings, numbers and lists always serialise");
    // It is kept as long as the entry, without the room to grow that was left over. A copy, for the allocator leaves what is
    // shrunk where it is, with up to as much again behind it.
    Bytes::copy_from_slice(&body)
}

/// One URL a line; the public ones unless the inner ones are asked for.
fn text(document: &Document, network: Network) -> Bytes {
    let mut lines = String::new();
    for file in document.urls.files() {
        let url = match network {
            Network::Inner => file.inner_download_url,
            Network::Public | Network::Both => file.download_url,
        };
        if let Some(url) = url {
            lines.push_str(url.expose());
            lines.push('\n');
        }
    }
    lines.into()
}

impl<'a> File<'a> {
    fn of(file: BackupFile<'a>, network: Network) -> Self {
        let public = file.download_url.filter(|_| network != Network::Inner);
        let inner = file.inner_download_url.filter(|_| network != Network::Public);
        Self {
            name: file.name,
            size_bytes: file.size_bytes.map(NonZero::get),
            download_url: public.map(SignedUrl::expose),
            inner_download_url: inner.map(SignedUrl::expose),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        cache::{Now, Rules},
        domain::{BackupId, Clock, InstanceId, Region, clock::from_unix_seconds},
        tencent::{cos_url, wire},
    };

    const RULES: Rules = Rules {
        max_bytes: 64 << 20,
        min_validity: Duration::from_secs(600),
        refresh_ahead: Duration::from_secs(1800),
        stale_min_validity: Duration::from_secs(60),
        unknown_lifetime: Duration::from_secs(60),
        token_url_max: Duration::from_secs(1800),
        negative_ttl: Duration::from_secs(10),
        min_age: Duration::from_secs(10),
        list_ttl: Duration::from_secs(30),
    };

    const SAMPLE: &[u8] = include_bytes!("../../tests/vectors/describe-backup-url-sample.json");

    /// An answer, as it came in the second in which the first URL of the vendor's published sample begins.
    fn entry(answer: &[u8]) -> Entry<Document> {
        let now = Now::of(&Clock::manual(from_unix_seconds(1_551_952_863)));
        let urls = wire::backup_urls(answer).unwrap();
        let lifetime = Lifetime {
            fetched_at: now.wall,
            fetched_monotonic: now.monotonic,
            expires_at: cos_url::expires_at(urls.urls(), now.wall, RULES.unknown_lifetime),
            carries_security_token: false,
        };
        let instance = InstanceId::try_from("crs-4y9t57vt").unwrap();
        let backup = BackupId::try_from("678362566696298532848117").unwrap();
        let region = Region::try_from("ap-chengdu").unwrap();
        Entry::new(Document::new(instance, backup, region, urls, &lifetime, kept_body), lifetime, 0, &RULES)
    }

    #[test]
    fn the_published_sample_becomes_five_files_that_end_at_16_02_03() {
        let body: serde_json::Value =
            serde_json::from_slice(&body(&entry(SAMPLE), Format::Json, Network::Both)).unwrap();

        assert_eq!(body["files"].as_array().map(Vec::len), Some(5));
        assert_eq!(body["expires_at"], "2019-03-07T16:02:03Z");
        assert_eq!(body["fetched_at"], "2019-03-07T10:01:03Z");
        assert_eq!(body["upstream_request_id"], "f1b5aabe-806a-4886-b839-9907baa24c85");
        assert_eq!(body["files"][0]["size_bytes"], serde_json::Value::Null);
    }

    #[test]
    fn urls_leave_byte_for_byte_in_the_upstreams_order() {
        let sample = entry(SAMPLE);

        let text = body(&sample, Format::Text, Network::Inner);

        let lines: Vec<_> = std::str::from_utf8(&text).unwrap().lines().collect();
        let source = include_str!("../../tests/vectors/describe-backup-url-sample.json");
        assert_eq!(lines.len(), 5);
        assert!(lines.iter().all(|line| source.contains(&format!("\"{line}\""))));
        assert!(lines[0].contains("-ignore-1-ignore.rdb") && lines[4].contains("-ignore-5-ignore.rdb"));
    }

    #[test]
    fn what_is_kept_of_an_answer_is_kept_once() {
        let came = wire::backup_urls(SAMPLE).unwrap();

        let kept = entry(SAMPLE).value;

        assert_eq!(kept.urls, came);
        assert_eq!(kept.urls.own_bytes(&kept.body()), 5 * 32, "the texts are read in the body");
    }

    #[test]
    fn a_name_that_json_writes_otherwise_is_shown_as_it_came() {
        let name = "a\"b\\c.rdb";
        let answer = serde_json::json!({"Response": {"RequestId": "id-1", "BackupInfos": [
            {"FileName": name, "FileSize": 0, "DownloadUrl": "https://h/k", "InnerDownloadUrl": null},
        ]}});
        let entry = entry(&serde_json::to_vec(&answer).unwrap());

        let shown: serde_json::Value = serde_json::from_slice(&body(&entry, Format::Json, Network::Public)).unwrap();

        assert_eq!(shown["files"][0]["name"], name);
        assert_eq!(entry.value.file(1).map(|file| file.name), Some(name));
        assert_eq!(body(&entry, Format::Text, Network::Both), "https://h/k\n");
    }
}
