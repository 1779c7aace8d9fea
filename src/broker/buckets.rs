//! The buckets of this process: one for each endpoint and action that can be called.

use std::collections::HashMap;

use crate::{
    domain::{Clock, Region},
    quota::{Bucket, Driver, Limits},
    tencent::endpoint::{Endpoint, Endpoints},
};

/// A call of the vendor's redis API; each has a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    /// The URLs of one backup.
    DescribeBackupUrl,
    /// The instances of a region.
    DescribeInstances,
}

/// Every bucket, made at the start: the set is closed, so a request looks up and never creates.
pub(super) struct Buckets {
    endpoints: HashMap<Region, Endpoint>,
    buckets: HashMap<(Endpoint, Call), Bucket>,
}

impl Buckets {
    /// A bucket per endpoint of `regions` and call, and what must run for them to be served.
    pub(super) fn new(endpoints: &Endpoints, regions: &[Region], limits: Limits, clock: &Clock) -> (Self, Vec<Driver>) {
        let endpoints: HashMap<_, _> = regions.iter().map(|region| (region.clone(), endpoints.of(region))).collect();
        let mut buckets = HashMap::new();
        let mut drivers = Vec::new();
        for endpoint in endpoints.values() {
            for call in [Call::DescribeBackupUrl, Call::DescribeInstances] {
                buckets.entry((endpoint.clone(), call)).or_insert_with(|| {
                    let (bucket, driver) = Bucket::new(limits, clock.clone());
                    drivers.push(driver);
                    bucket
                });
            }
        }
        (Self { endpoints, buckets }, drivers)
    }

    /// The bucket that a call for `region` draws on. Regions that share an endpoint share it.
    pub(super) fn of(&self, region: &Region, call: Call) -> &Bucket {
        let endpoint = self.endpoints.get(region).expect("only configured regions get past the edge");
        self.buckets.get(&(endpoint.clone(), call)).expect("every endpoint has a bucket for every call")
    }
}
