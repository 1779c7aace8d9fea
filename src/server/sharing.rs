//! What this gateway shares with others like it: the store, and the cache in it, where they are configured.

use std::path::PathBuf;

use super::{
    Setup,
    failures::{Failure, Failures},
};
use crate::{
    cache::{Shared, shared::Ring},
    domain::{Clock, RequestId, key_file::KeyFileError},
    quota::{Agreement, Fleet, Heart},
    store::{Keeper, SetupError, Store},
};

/// What is shared.
pub(super) struct Sharing {
    pub(super) store: Store,
    pub(super) keeper: Keeper,
    /// Those who share the quota, and the sign of life that this process gives them.
    pub(super) fleet: Fleet,
    pub(super) heart: Heart,
    /// The cache, with the file of the keys that its values are sealed with.
    pub(super) cache: Option<(Shared, PathBuf)>,
}

impl Sharing {
    /// What `setup` says is shared, if anything. The store need not be there, for a gateway serves without it; files that
    /// cannot be used are this gateway's own mistake. Blocks on the disk.
    pub(super) fn load(setup: &Setup, clock: &Clock, failures: &mut Failures) -> Option<Self> {
        let settings = setup.shared.clone()?;
        let key_file = settings.encryption_key_file.clone();
        let ring = key_file.as_deref().map(Ring::load).transpose();
        let ring = failures.keep(ring, |error: KeyFileError| Failure::of("shared.encryption_key_file", error));
        let (store, keeper) = Store::new(settings, clock.clone());
        failures
            .keep(keeper.check_files(), |error: SetupError| Failure { key: error.key(), reason: error.to_string() });
        // Another restriction of downloads makes other URLs.
        let scope = [setup.tencent.account.as_bytes(), &setup.tencent.download_digest()];
        let process = RequestId::random();
        let (limits, settings) = (setup.rate_limit, store.settings());
        let agreement = Agreement::new(limits.requests_per_second, limits.guard, settings.replicas, settings.timeout);
        let (fleet, heart) =
            Fleet::new(store.clone(), agreement, &setup.tencent.account, process.as_str(), clock.clone());
        let cache = ring?.map(|ring| Shared::new(store.clone(), ring, &scope, process.as_str()));
        Some(Self { store, keeper, fleet, heart, cache: cache.zip(key_file) })
    }

    /// Tries to reach the store, and says what an operator should know of it.
    pub(super) async fn begin(&mut self) {
        let address = &self.store.settings().address;
        if !address.is_tls() && !address.is_loopback() {
            tracing::warn!(store = %address, "without TLS the network between hears the store's password");
        }
        if self.cache.is_none() {
            tracing::warn!("without shared.encryption_key_file the quota is shared and the cache is not");
        }
        self.keeper.reach().await;
    }
}
