//! The instances that a caller may see, over all regions at once.
//!
//! The listing is everybody's, and cached; what a caller may see of it is decided anew for each request.

use std::{collections::BTreeSet, rc::Rc, sync::Arc};

use futures_util::future::join_all;
use tokio::task::yield_now;

use super::{Asker, Settled, Worker, pages::Slice, permission::Wish, regions::Listing};
use crate::{
    audit::{Decision, Record},
    domain::{Action, Network, Region},
    tencent::wire::Instance,
};

/// A request for the instances that the caller may see.
#[derive(Clone, Debug)]
pub struct InstancesAsk {
    /// Who asks.
    pub asker: Rc<Asker>,
    /// Only those of this region: a configured one.
    pub region: Option<Region>,
    /// Which part of them.
    pub slice: Slice,
}

/// A part of the instances that a caller may see: by region as configured, in the upstream's order within one.
#[derive(Clone, Debug)]
pub struct InstanceList {
    /// The instances.
    pub instances: Vec<ListedInstance>,
    /// How many the caller may see, on all pages.
    pub total: u64,
    /// Regions that could not be asked, so that instances may be missing here.
    pub unavailable_regions: Vec<Region>,
}

/// An instance, and the region whose listing it stands in.
#[derive(Clone, Debug)]
pub struct ListedInstance {
    /// The region that answers for it.
    pub region: Region,
    /// The instance.
    pub instance: Instance,
}

/// Instances decided about in one go: about a millisecond, after which others on this worker have their turn.
const DECISIONS_AT_ONCE: usize = 50;

impl Worker {
    /// The instances that the caller may see.
    ///
    /// Whoever may see none has an empty list, which is no failure. The list comes with the record of it, which must be
    /// written before a byte of the list leaves.
    pub async fn instances(self: &Rc<Self>, ask: &InstancesAsk) -> Settled<InstanceList> {
        let mut record = self.open_record(Record {
            action: Some(Action::ListInstances),
            region: ask.region.clone(),
            decision: Decision::Deny,
            ..self.broker.blank_record(&ask.asker)
        });
        let policies = self.broker.policies.load_full();
        let principal = &ask.asker.principal;
        let mut asked: Vec<_> = ask.region.as_ref().map_or(&*self.broker.region_names, std::slice::from_ref).to_vec();
        asked.retain(|region| policies.policies().could_allow(principal, Action::ListInstances, region));
        let listings =
            join_all(asked.iter().map(async |region| (region, self.listing(&ask.asker, region).await))).await;

        let mut decided_by = BTreeSet::new();
        let mut denied_by = BTreeSet::new();
        let mut list = InstanceList { instances: Vec::new(), total: 0, unavailable_regions: Vec::new() };
        for (region, listing) in listings {
            let listing: Arc<Listing> = match listing {
                Ok(listing) => listing,
                Err(error) => {
                    self.broker.lines.region_is_missing(region, &error, self.broker.clock.monotonic());
                    list.unavailable_regions.push(region.clone());
                    continue;
                }
            };
            for instances in listing.instances.chunks(DECISIONS_AT_ONCE) {
                for instance in instances {
                    let wish = wish(&ask.asker, instance);
                    let mut by = Vec::new();
                    if !self.broker.allows(&policies, &wish, region, &mut by) {
                        denied_by.extend(by);
                        continue;
                    }
                    decided_by.extend(by);
                    if list.total >= u64::from(ask.slice.offset) && list.instances.len() < ask.slice.limit as usize {
                        list.instances.push(ListedInstance { region: region.clone(), instance: instance.clone() });
                    }
                    list.total += 1;
                }
                yield_now().await;
            }
        }
        let is_anything_allowed = list.total > 0;
        record.decision = if is_anything_allowed { Decision::Allow } else { Decision::Deny };
        record.policies = Vec::from_iter(if is_anything_allowed { decided_by } else { denied_by });
        Settled { outcome: Ok(list), record }
    }
}

fn wish<'a>(asker: &'a Asker, instance: &'a Instance) -> Wish<'a> {
    Wish { asker, action: Action::ListInstances, instance: &instance.id, region: None, network: Network::Both }
}
