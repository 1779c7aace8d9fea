//! What the sandbox has seen: the numbers that tests and people ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::window::{RollingSecond, Verdict};

/// How many arrival times are kept; later ones are counted only.
const MOST_ARRIVALS: usize = 500_000;

/// A snapshot of the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Arrivals by action, refused and badly signed ones included.
    pub calls: BTreeMap<String, u64>,
    /// The same by (sub-account, endpoint, action), with what the limit saw.
    pub buckets: Vec<Bucket>,
    /// Calls that got `RequestLimitExceeded` from the limit.
    pub refused: u64,
    /// The most arrivals that any rolling second of any bucket held, refused ones included.
    pub largest_rolling_second: usize,
    /// `DescribeBackupUrl` calls by `instance/backup`, counted once the signature is good.
    pub backups: BTreeMap<String, u64>,
    /// API errors sent, by code.
    pub errors: BTreeMap<String, u64>,
    /// Connections accepted, by listener.
    pub connections: BTreeMap<String, u64>,
    /// Connections cut with a request unread.
    pub cut_before_reading: u64,
    /// Requests for the discovery document.
    pub discovery_reads: u64,
    /// Requests for the key set.
    pub key_set_reads: u64,
    /// Files downloaded.
    pub downloads: u64,
    /// Requests for metadata.
    pub metadata_reads: u64,
    /// Calls of the token service by action. They count against nobody's limit.
    pub sts: BTreeMap<String, u64>,
}

/// What one (sub-account, endpoint, action) was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The sub-account of the key; `(unknown)` for a key that the sandbox does not know.
    pub account: String,
    /// The name of the endpoint, which stands for its host.
    pub endpoint: String,
    /// The action.
    pub action: String,
    /// Arrivals, refused ones included.
    pub arrivals: u64,
    /// Arrivals beyond the limit.
    pub refused: u64,
    /// The most arrivals that any rolling second held, refused ones included.
    pub largest_rolling_second: usize,
}

impl Counters {
    /// Arrivals for an action.
    #[must_use]
    pub fn calls_of(&self, action: &str) -> u64 {
        self.calls.get(action).copied().unwrap_or_default()
    }

    /// Calls of the token service for an action.
    #[must_use]
    pub fn sts_calls_of(&self, action: &str) -> u64 {
        self.sts.get(action).copied().unwrap_or_default()
    }

    /// `DescribeBackupUrl` calls for a backup.
    #[must_use]
    pub fn calls_for_backup(&self, instance_id: &str, backup_id: &str) -> u64 {
        self.backups.get(&format!("{instance_id}/{backup_id}")).copied().unwrap_or_default()
    }
}

/// One call that arrived, as its head told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Time since the sandbox started at which the head had been read, in microseconds.
    pub at_us: u64,
    /// The sub-account of the key.
    pub account: String,
    /// The name of the endpoint.
    pub endpoint: String,
    /// The action.
    pub action: String,
    /// Whether the limit let it through.
    pub passed: bool,
}

/// The name of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BucketName {
    pub(crate) account: String,
    pub(crate) endpoint: String,
    pub(crate) action: String,
}

#[derive(Debug, Default)]
struct Seen {
    second: RollingSecond,
    arrivals: u64,
    refused: u64,
}

/// The counters while they count.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    buckets: BTreeMap<BucketName, Seen>,
    arrivals: Vec<Arrival>,
    /// The counters that are nothing but numbers.
    pub(crate) plain: Counters,
}

impl Ledger {
    /// Counts an arrival and judges it. Without a limit it always passes.
    pub(crate) fn arrive(
        &mut self,
        name: &BucketName,
        at: Duration,
        limit: Option<usize>,
        count_refused: bool,
    ) -> Verdict {
        let seen = self.buckets.entry(name.clone()).or_default();
        let verdict = seen.second.arrive(at, limit.unwrap_or(usize::MAX), count_refused);
        seen.arrivals += 1;
        seen.refused += u64::from(!verdict.passes);
        if self.arrivals.len() < MOST_ARRIVALS {
            self.arrivals.push(Arrival {
                at_us: u64::try_from(at.as_micros()).unwrap_or(u64::MAX),
                account: name.account.clone(),
                endpoint: name.endpoint.clone(),
                action: name.action.clone(),
                passed: verdict.passes,
            });
        }
        verdict
    }

    pub(crate) fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    pub(crate) fn snapshot(&self) -> Counters {
        let mut counters = self.plain.clone();
        for (name, seen) in self.buckets.iter().filter(|(_, seen)| seen.arrivals > 0) {
            *counters.calls.entry(name.action.clone()).or_default() += seen.arrivals;
            counters.refused += seen.refused;
            counters.largest_rolling_second = counters.largest_rolling_second.max(seen.second.largest());
            counters.buckets.push(Bucket {
                account: name.account.clone(),
                endpoint: name.endpoint.clone(),
                action: name.action.clone(),
                arrivals: seen.arrivals,
                refused: seen.refused,
                largest_rolling_second: seen.second.largest(),
            });
        }
        counters
    }

    /// Starts counting anew. The limit remembers the second that is under way: forgetting it would let 40 pass.
    pub(crate) fn reset(&mut self) {
        self.plain = Counters::default();
        self.arrivals.clear();
        for seen in self.buckets.values_mut() {
            seen.arrivals = 0;
            seen.refused = 0;
            seen.second.forget_largest();
        }
    }
}

/// Counts one more under a name.
pub(crate) fn count(map: &mut BTreeMap<String, u64>, name: &str) {
    match map.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(map.insert(name.to_owned(), 1)),
    }
}
