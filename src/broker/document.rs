//! The answer that is kept: the URLs of one backup, as the body that nearly everybody asks for.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::{Broker, Key};
use crate::{
    audit::{Audit, Fingerprints, Remembered},
    cache::{Entry, Lifetime},
    domain::{BackupId, InstanceId, Network, Region},
    tencent::wire::{BackupFile, BackupUrls, SignedUrl},
};

/// How the edge writes down an answer that is kept.
pub type Render = fn(&Document, &Lifetime) -> Bytes;

/// The URLs of one backup and where they came from.
#[derive(Debug)]
pub struct Document {
    /// The instance that was asked for.
    pub instance: InstanceId,
    /// The backup that was asked for.
    pub backup: BackupId,
    /// The region that answered.
    pub region: Region,
    /// What the upstream gave. Its texts are read in the body, so that they are kept once.
    pub urls: BackupUrls,
    body: Body,
    fingerprints: [Remembered; 3],
}

/// What was rendered. Secrets stand in it.
struct Body(Bytes);

impl Document {
    /// A document of `urls`, rendered once and for all.
    pub fn new(
        instance: InstanceId,
        backup: BackupId,
        region: Region,
        urls: BackupUrls,
        lifetime: &Lifetime,
        render: Render,
    ) -> Self {
        let (body, fingerprints) = (Body(Bytes::new()), Default::default());
        let mut document = Self { instance, backup, region, urls, body, fingerprints };
        document.body.0 = render(&document, lifetime);
        document.urls.read_in(&document.body.0);
        document
    }

    /// The body that nearly every caller asks for, shared.
    pub fn body(&self) -> Bytes {
        self.body.0.clone()
    }

    /// The fingerprints of the URLs of that network, made once and shared from then on.
    pub(super) fn fingerprints(&self, audit: &Audit, network: Network) -> Fingerprints {
        let remembered = &self.fingerprints[match network {
            Network::Public => 0,
            Network::Inner => 1,
            Network::Both => 2,
        }];
        audit.remembered_fingerprints(remembered, || {
            self.urls.files().flat_map(move |file| addresses(file, network)).map(SignedUrl::expose)
        })
    }

    /// File `n`, counted from 1.
    pub fn file(&self, n: u32) -> Option<BackupFile<'_>> {
        self.urls.files().nth(usize::try_from(n).ok()?.checked_sub(1)?)
    }

    /// Bytes that this takes beside its own fixed size: the body and what is kept of the URLs beside it, with what an
    /// allocator rounds them up by, and each URL's fingerprint in two lists. The names are shared with the key.
    fn weight_bytes(&self) -> usize {
        const NAMES_AND_NODES: usize = 256;
        const FINGERPRINTS: usize = 2 * 35;
        let texts = self.body.0.len() + self.urls.own_bytes(&self.body.0);
        texts + texts / 8 + self.urls.urls().count() * FINGERPRINTS + NAMES_AND_NODES
    }
}

impl Broker {
    /// An entry of what came, rendered and weighed.
    pub(super) fn entry(&self, key: Key, urls: BackupUrls, lifetime: Lifetime) -> Arc<Entry<Document>> {
        let Key { region, instance, backup } = key;
        let document = Document::new(instance, backup, region, urls, &lifetime, self.render);
        let weight_bytes = document.weight_bytes();
        Arc::new(Entry::new(document, lifetime, weight_bytes, &self.rules))
    }
}

/// The addresses of a file in that network.
fn addresses(file: BackupFile<'_>, network: Network) -> impl Iterator<Item = SignedUrl<'_>> {
    let public = file.download_url.filter(|_| network != Network::Inner);
    let inner = file.inner_download_url.filter(|_| network != Network::Public);
    public.into_iter().chain(inner)
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("bytes", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        cache::Now,
        domain::{Clock, clock::from_unix_seconds},
        tencent::wire,
    };

    #[test]
    fn a_document_shows_neither_its_urls_nor_its_body() {
        let now = Now::of(&Clock::manual(from_unix_seconds(1_551_952_863)));
        let lifetime = Lifetime {
            fetched_at: now.wall,
            fetched_monotonic: now.monotonic,
            expires_at: now.wall + Duration::from_secs(60),
            carries_security_token: false,
        };
        let answer = br#"{"Response": {"RequestId": "id-1", "DownloadUrl": ["https://h/k.rdb?sign=secret"]}}"#;
        let render: Render = |document, _| document.urls.urls().map(SignedUrl::expose).collect::<String>().into();
        let document = Document::new(
            InstanceId::try_from("crs-4y9t57vt").unwrap(),
            BackupId::try_from("678362566696298532848117").unwrap(),
            Region::try_from("ap-chengdu").unwrap(),
            wire::backup_urls(answer).unwrap(),
            &lifetime,
            render,
        );

        let shown = format!("{document:?}");

        assert_eq!(document.body(), "https://h/k.rdb?sign=secret");
        assert!(shown.contains("k.rdb") && !shown.contains("secret"), "{shown}");
    }
}
