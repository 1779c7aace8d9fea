//! Where a caller may act: the policy asked for each region that could be meant.

use std::sync::Arc;

use super::{Ask, Broker};
use crate::{
    domain::{Action, Region},
    policy,
};

/// Where the caller may go on.
pub(super) enum Permission {
    /// In this region.
    In(Region),
    /// In whichever of these the instance is found.
    Search(Vec<Region>),
    /// Nowhere.
    Denied,
}

/// The answer of the policy, with the ids of the policies that gave it.
pub(super) struct Verdict {
    pub(super) permission: Permission,
    pub(super) policies: Vec<Arc<str>>,
}

impl Broker {
    /// Asks the policy, and nobody else: what it denies costs no call and reveals nothing.
    ///
    /// A region that the caller names must be allowed, and so must the one that we know the instance to be in: a
    /// permit for one region opens no instance of another. Without a name every configured region is asked for.
    pub(super) fn permission(&self, ask: &Ask) -> Verdict {
        let known = self.regions.known(&ask.instance);
        let mut policies = Vec::new();
        let permission = match (&ask.region, known) {
            (Some(named), known) => {
                let elsewhere = known.filter(|known| known != named);
                let mut regions = std::iter::once(named).chain(&elsewhere);
                let allowed = regions.all(|region| self.allows(ask, region, &mut policies));
                if allowed { Permission::In(named.clone()) } else { Permission::Denied }
            }
            (None, Some(known)) if self.allows(ask, &known, &mut policies) => Permission::In(known),
            (None, _) => {
                policies.clear();
                let allowed: Vec<_> = self
                    .region_names
                    .iter()
                    .filter(|region| self.allows(ask, region, &mut policies))
                    .cloned()
                    .collect();
                if allowed.is_empty() { Permission::Denied } else { Permission::Search(allowed) }
            }
        };
        policies.sort();
        policies.dedup();
        Verdict { permission, policies }
    }

    fn allows(&self, ask: &Ask, region: &Region, policies: &mut Vec<Arc<str>>) -> bool {
        let decision = self.policies.load().decide(&policy::Request {
            principal: &ask.asker.principal,
            action: Action::ReadBackupUrls,
            instance: &ask.instance,
            region,
            network: ask.network,
            client_ip: ask.asker.client_ip,
            reason: &ask.asker.reason,
        });
        if !decision.failed.is_empty() {
            self.metrics.policy_errors.inc_by(u64::try_from(decision.failed.len()).unwrap_or(u64::MAX));
            tracing::error!(policies = ?decision.failed, "a policy failed to evaluate, so the request was denied");
        }
        policies.extend(decision.policies);
        decision.allowed
    }
}
