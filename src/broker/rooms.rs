//! What the server has made of the configuration, on its way into the broker.

use std::sync::Arc;

use super::Render;
use crate::{
    audit::Audit, cache::Shared, metrics::Metrics, policy::Policies, quota::Fleet, store::Store,
    tencent::credentials::CredentialStore,
};

/// What the broker introduces to each other and to the upstream.
pub struct Rooms {
    /// What the policies say at first.
    pub policies: Policies,
    /// Where records go.
    pub audit: Audit,
    /// What calls are signed with.
    pub credentials: Arc<CredentialStore>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How an answer is written down that is kept.
    pub render: Render,
    /// What replicas share, where they do.
    pub store: Option<Store>,
    /// Those who share the quota there, where they do.
    pub fleet: Option<Fleet>,
    /// The cache that they share there, where they do.
    pub shared_cache: Option<Shared>,
}
