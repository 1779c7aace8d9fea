//! Where a caller may act: the policy asked for each region that could be meant.

use std::sync::Arc;

use super::{
    Asker, Broker,
    decisions::{Asked, InForce},
};
use crate::{
    domain::{Action, InstanceId, Network, Region},
    policy,
};

/// What a caller wants of one instance.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) asker: &'a Asker,
    pub(super) action: Action,
    pub(super) instance: &'a InstanceId,
    /// The region, where the caller named one.
    pub(super) region: Option<&'a Region>,
    /// Only reading URLs has to do with it.
    pub(super) network: Network,
}

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

/// Where nobody wants to know which policies decided.
struct Unnoted;

impl Extend<Arc<str>> for Unnoted {
    fn extend<I: IntoIterator<Item = Arc<str>>>(&mut self, _: I) {}
}

impl Broker {
    /// Asks the policy, and nobody else: what it denies costs no call and reveals nothing.
    ///
    /// A region that the caller names must be allowed, and so must the one that we know the instance to be in: a
    /// permit for one region opens no instance of another. Where we know nothing of the instance, the name is a claim, and
    /// the listing of that region must bear it out (`Search` among one), unless a lie would win nothing because the
    /// caller may do the same in every region. Without a name every configured region is asked for.
    pub(super) fn permission(&self, wish: &Wish<'_>) -> Verdict {
        let known = self.regions.known(wish.instance);
        let in_force = self.policies.load();
        let mut policies = Vec::new();
        let permission = match (wish.region, known) {
            (Some(named), known) => {
                let known_here = known.as_ref() == Some(named);
                let elsewhere = known.filter(|known| known != named);
                let mut regions = std::iter::once(named).chain(&elsewhere);
                if !regions.all(|region| self.allows(&in_force, wish, region, &mut policies)) {
                    Permission::Denied
                } else if elsewhere.is_some() || known_here || self.allows_elsewhere(&in_force, wish, named) {
                    Permission::In(named.clone())
                } else {
                    Permission::Search(vec![named.clone()])
                }
            }
            (None, Some(known)) if self.allows(&in_force, wish, &known, &mut policies) => Permission::In(known),
            (None, _) => {
                policies.clear();
                let allowed: Vec<_> = self
                    .region_names
                    .iter()
                    .filter(|region| self.allows(&in_force, wish, region, &mut policies))
                    .cloned()
                    .collect();
                if allowed.is_empty() { Permission::Denied } else { Permission::Search(allowed) }
            }
        };
        policies.sort();
        policies.dedup();
        Verdict { permission, policies }
    }

    /// Whether the caller may do this to the instance in all regions but that one, too.
    fn allows_elsewhere(&self, in_force: &InForce, wish: &Wish<'_>, here: &Region) -> bool {
        let mut others = self.region_names.iter().filter(|region| *region != here);
        others.all(|region| self.allows(in_force, wish, region, &mut Unnoted))
    }

    /// Asks the policies in force about one region, and adds those that decided.
    pub(super) fn allows(
        &self,
        in_force: &InForce,
        wish: &Wish<'_>,
        region: &Region,
        policies: &mut impl Extend<Arc<str>>,
    ) -> bool {
        let request = policy::Request {
            principal: &wish.asker.principal,
            action: wish.action,
            instance: wish.instance,
            region,
            network: wish.network,
            client_ip: wish.asker.client_ip,
            reason: wish.asker.reason.as_deref().unwrap_or_default(),
        };
        let decision =
            in_force.decide(&Asked { caller: &wish.asker.caller, request, reason: wish.asker.reason.as_ref() });
        if !decision.failed.is_empty() {
            self.metrics.policy_errors.inc_by(u64::try_from(decision.failed.len()).unwrap_or(u64::MAX));
            self.lines.policies_failed(&decision.failed, self.clock.monotonic());
        }
        policies.extend(decision.policies.iter().cloned());
        decision.allowed
    }
}
