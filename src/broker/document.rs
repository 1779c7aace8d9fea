//! The answer that is kept: the URLs of one backup, with the bodies that were rendered from them.

use std::{sync::OnceLock, time::SystemTime};

use bytes::Bytes;

use crate::{
    audit::{Audit, Fingerprints, Remembered},
    cache::{Lifetime, Now},
    domain::{BackupId, InstanceId, Network, Region},
    tencent::wire::{BackupFile, BackupUrls, SignedUrl},
};

/// The URLs of one backup and where they came from.
#[derive(Debug)]
pub struct Document {
    /// The instance that was asked for.
    pub instance: InstanceId,
    /// The backup that was asked for.
    pub backup: BackupId,
    /// The region that answered.
    pub region: Region,
    /// What the upstream gave.
    pub urls: BackupUrls,
    /// When it came.
    pub fetched_at: SystemTime,
    /// The earliest end of validity among all URLs.
    pub expires_at: SystemTime,
    rendered: OnceLock<Bytes>,
    fingerprints: [Remembered; 3],
}

impl Document {
    /// A document of `urls` that came at `fetched_at`, with nothing rendered yet.
    pub fn new(
        instance: InstanceId,
        backup: BackupId,
        region: Region,
        urls: BackupUrls,
        fetched_at: SystemTime,
        expires_at: SystemTime,
    ) -> Self {
        Self {
            instance,
            backup,
            region,
            urls,
            fetched_at,
            expires_at,
            rendered: OnceLock::new(),
            fingerprints: Default::default(),
        }
    }

    /// The body that nearly every caller asks for, rendered once and shared from then on.
    pub fn rendered(&self, render: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.rendered.get_or_init(|| render(self)).clone()
    }

    /// The fingerprints of the URLs of that network, made once and shared from then on.
    pub(super) fn fingerprints(&self, audit: &Audit, network: Network) -> Fingerprints {
        let remembered = &self.fingerprints[match network {
            Network::Public => 0,
            Network::Inner => 1,
            Network::Both => 2,
        }];
        audit.remembered_fingerprints(remembered, || {
            let files = self.urls.files.iter();
            files.flat_map(move |file| addresses(file, network)).map(SignedUrl::expose)
        })
    }

    /// File `n`, counted from 1.
    pub fn file(&self, n: u32) -> Option<&BackupFile> {
        self.urls.files.get(usize::try_from(n).ok()?.checked_sub(1)?)
    }

    /// Bytes that this takes, what is rendered from it included: the body repeats every text once, with some syntax
    /// around it, and each URL has a fingerprint in two lists.
    pub(super) fn weight_bytes(&self) -> usize {
        const SYNTAX_PER_FILE_BYTES: usize = 128 + 4 * 35;
        let names: usize = self.urls.files.iter().map(|file| file.name.len()).sum();
        let urls: usize = self.urls.files.iter().flat_map(BackupFile::urls).map(|url| url.expose().len()).sum();
        2 * (names + urls) + self.urls.files.len() * SYNTAX_PER_FILE_BYTES + 512
    }

    pub(super) fn lifetime(&self, now: Now) -> Lifetime {
        Lifetime {
            fetched_at: self.fetched_at,
            fetched_monotonic: now.monotonic,
            expires_at: self.expires_at,
            carries_security_token: self.urls.carry_security_token(),
        }
    }
}

/// The addresses of a file in that network.
fn addresses(file: &BackupFile, network: Network) -> impl Iterator<Item = &SignedUrl> {
    let public = file.download_url.as_ref().filter(|_| network != Network::Inner);
    let inner = file.inner_download_url.as_ref().filter(|_| network != Network::Public);
    public.into_iter().chain(inner)
}
