//! Where a caller may act: the policy asked for each region that could be meant.

use std::sync::Arc;

use super::{Ask, Broker, decisions::Asked};
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
    /// permit for one region opens no instance of another. Where we know nothing of the instance, the name is a claim, and
    /// the listing of that region must bear it out (`Search` among one), unless a lie would win nothing because the
    /// caller may do the same in every region. Without a name every configured region is asked for.
    pub(super) fn permission(&self, ask: &Ask) -> Verdict {
        let known = self.regions.known(&ask.instance);
        let mut policies = Vec::new();
        let permission = match (&ask.region, known) {
            (Some(named), known) => {
                let known_here = known.as_ref() == Some(named);
                let elsewhere = known.filter(|known| known != named);
                let mut regions = std::iter::once(named).chain(&elsewhere);
                if !regions.all(|region| self.allows(ask, region, &mut policies)) {
                    Permission::Denied
                } else if elsewhere.is_some() || known_here || self.allows_everywhere(ask) {
                    Permission::In(named.clone())
                } else {
                    Permission::Search(vec![named.clone()])
                }
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

    /// Whether the caller may do this to the instance wherever it is.
    fn allows_everywhere(&self, ask: &Ask) -> bool {
        self.region_names.iter().all(|region| self.allows(ask, region, &mut Vec::new()))
    }

    fn allows(&self, ask: &Ask, region: &Region, policies: &mut Vec<Arc<str>>) -> bool {
        let Ask { asker, instance, network, .. } = ask;
        let request = policy::Request {
            principal: &asker.principal,
            action: Action::ReadBackupUrls,
            instance,
            region,
            network: *network,
            client_ip: asker.client_ip,
            reason: &asker.reason,
        };
        let decision = self.policies.load().decide(&Asked { caller: &asker.caller, request, reason: &asker.reason });
        if !decision.failed.is_empty() {
            self.metrics.policy_errors.inc_by(u64::try_from(decision.failed.len()).unwrap_or(u64::MAX));
            tracing::error!(policies = ?decision.failed, "a policy failed to evaluate, so the request was denied");
        }
        policies.extend(decision.policies.iter().cloned());
        decision.allowed
    }
}
