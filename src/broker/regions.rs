//! Where an instance lives, learnt from the listings of the regions and from nothing else.
//!
//! A call that named a region and succeeded teaches nothing here: whether the cloud refuses an instance asked for in
//! a foreign region is unknown, and a caller's guess must not become our knowledge.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::{
    Asker, Failure, Worker,
    attempts::NO_LIMIT,
    behalf::Behalf,
    flights::{Flights, Outcome, Pilot},
};
use crate::{
    cache::Negative,
    domain::{FastHashing, InstanceId, Region},
    quota::{Abandoned, Fetch},
    tencent::{
        ApiAction,
        client::Page,
        error::{CallError, Defect},
        wire::{Instance, InstancePage},
    },
};

/// What is known of the regions that the operator configured.
pub(super) struct Regions {
    listings: HashMap<Region, ArcSwapOption<Listing>>,
    /// All listings turned round, rebuilt with each new one: a request asks it once.
    region_of: ArcSwap<HashMap<InstanceId, Region, FastHashing>>,
    flights: Flights<Region, Arc<Listing>>,
    failed_lately: Negative<Region, Arc<CallError>>,
    list_ttl: Duration,
}

/// The instances of one region.
pub(super) struct Listing {
    pub(super) instances: Vec<Instance>,
    listed_at: Instant,
}

/// How long a listing that failed is not tried again: a stream of unknown ids must not become one of calls.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// The vendor's largest page.
const PAGE_LENGTH: u32 = 1000;

/// Pages after which a listing is refused as endless: a hundred thousand instances in one region.
const MOST_PAGES: u32 = 100;

impl Regions {
    pub(super) fn new(regions: &[Region], list_ttl: Duration) -> Self {
        Self {
            listings: regions.iter().map(|region| (region.clone(), ArcSwapOption::empty())).collect(),
            region_of: ArcSwap::default(),
            flights: Flights::new(),
            failed_lately: Negative::new(FAILURE_PAUSE.min(list_ttl)),
            list_ttl,
        }
    }

    /// The region of `instance` as the last listings have it.
    pub(super) fn known(&self, instance: &InstanceId) -> Option<Region> {
        self.region_of.load().get(instance).cloned()
    }

    fn fresh(&self, region: &Region, now: Instant) -> Option<Arc<Listing>> {
        let listing = self.listings.get(region)?.load_full()?;
        (now.saturating_duration_since(listing.listed_at) < self.list_ttl).then_some(listing)
    }

    /// What the last attempt to list `region` brought, while that holds.
    fn look_up(&self, region: &Region, now: Instant) -> Option<Outcome<Arc<Listing>>> {
        self.fresh(region, now).map(Ok).or_else(|| self.failed_lately.look_up(region, now).map(Err))
    }

    fn learn(&self, region: &Region, listing: &Arc<Listing>) {
        let Some(slot) = self.listings.get(region) else { return };
        slot.store(Some(Arc::clone(listing)));
        self.region_of.rcu(|_| {
            let mut region_of = HashMap::default();
            for (region, listing) in &self.listings {
                let Some(listing) = listing.load_full() else { continue };
                region_of.extend(listing.instances.iter().map(|instance| (instance.id.clone(), region.clone())));
            }
            region_of
        });
    }
}

impl Worker {
    /// The region among `allowed` in which `instance` lives.
    ///
    /// An id that is in none of the fresh listings is not asked for again before they age: a guesser costs one
    /// listing per region and `list_ttl`, however many ids he makes up.
    ///
    /// # Errors
    ///
    /// [`Failure::InstanceNotFound`] where no allowed region has it, wherever else it may be; the failure of a listing
    /// where one failed, for then "not found" would be a guess.
    pub(super) async fn find_region(
        self: &Rc<Self>,
        asker: &Asker,
        instance: &InstanceId,
        allowed: &[Region],
    ) -> Result<Region, Failure> {
        // The first listing that has it decides: a region that hangs holds up only those who look for what is there.
        let mut listings: FuturesUnordered<_> =
            allowed.iter().map(async |region| (region, self.listing(asker, region).await)).collect();
        let mut failure = None;
        while let Some((region, listing)) = listings.next().await {
            match listing {
                Ok(listing) if listing.instances.iter().any(|listed| listed.id == *instance) => {
                    return Ok(region.clone());
                }
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(Failure::InstanceNotFound))
    }

    /// The instances of a region, as of `list_ttl` ago at the most.
    ///
    /// # Errors
    ///
    /// The failure of the call, or of the wait for it. A failure holds for a second.
    pub(super) async fn listing(self: &Rc<Self>, asker: &Asker, region: &Region) -> Result<Arc<Listing>, Failure> {
        let broker = &self.broker;
        let known = || broker.regions.look_up(region, broker.clock.monotonic());
        if let Some(outcome) = known() {
            return outcome.map_err(Failure::Upstream);
        }
        let terms = broker.terms(asker, region, ApiAction::DescribeInstances);
        let spawn = |pilot| {
            actix_web::rt::spawn(list(Rc::clone(self), region.clone(), pilot));
        };
        let (outcome, _) = broker.regions.flights.obtain(region, &terms, known, spawn).await?;
        outcome.map_err(Failure::Upstream)
    }
}

async fn list(worker: Rc<Worker>, region: Region, mut pilot: Pilot<Region, Arc<Listing>>) {
    let Ok(outcome) = list_all(&worker, &region, &mut pilot.fetch, &pilot.behalf).await else { return };
    let broker = &worker.broker;
    let outcome = outcome.map(|instances| {
        let listing = Arc::new(Listing { instances, listed_at: broker.clock.monotonic() });
        broker.regions.learn(&region, &listing);
        listing
    });
    let outcome = outcome.map_err(Arc::new);
    if let Err(error) = &outcome {
        broker.regions.failed_lately.insert(region, Arc::clone(error), broker.clock.monotonic());
    }
    pilot.land(outcome);
}

async fn list_all(
    worker: &Worker,
    region: &Region,
    fetch: &mut Fetch,
    behalf: &Behalf,
) -> Result<Result<Vec<Instance>, CallError>, Abandoned> {
    let course = worker.broker.course(region, ApiAction::DescribeInstances, behalf);
    let mut instances = Vec::new();
    for page in 0..MOST_PAGES {
        if page > 0 {
            fetch.requeue(course.clock.monotonic())?;
        }
        let page = Page { offset: page * PAGE_LENGTH, limit: PAGE_LENGTH };
        let answer = course.run(
            fetch,
            |page: &InstancePage| &page.request_id,
            async |grant| {
                worker.client.describe_instances(region, page, NO_LIMIT, |progress| course.note(grant, progress)).await
            },
        );
        let answer = match answer.await? {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        let is_last = answer.items.is_empty() || u64::from(page.offset + PAGE_LENGTH) >= answer.total;
        instances.extend(answer.items);
        if is_last {
            return Ok(Ok(instances));
        }
    }
    Ok(Err(CallError::Malformed(Defect::TooLong)))
}
