//! This process among the others that share the quota: its signs of life, and its trips to the store for tokens.
//!
//! The I/O around the rules. It decides nothing, and no lock is held over an await, nor two at a time.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use super::{
    Agreement, HEARTBEAT,
    membership::{Lease, Membership, Trip},
    protocol::{self, Books, Granted, Known, Malformed, Outcome, Purpose, Renewal, Renewed, Reply, Take},
    service::Service,
};
use crate::{
    domain::Clock,
    store::{PREFIX, Script, Store, StoreError},
};

/// The keys of a bucket: its pace, its open tokens, its settled tokens, its line.
pub(in crate::quota) type BucketKeys = [String; 4];

/// What a trip for tokens brought.
pub(in crate::quota) type Taken = Reply<Granted>;

/// What holds tokens of the store, as the fleet sees it.
pub(in crate::quota) trait Holder: Send + Sync {
    /// The books of its tokens for a sign of life at `now`.
    fn books(&self, now: Instant) -> Books;

    /// That sign of life was answered: its tokens may leave until then.
    fn booked(&self, books: &Books, leave_by: Instant);

    /// Tells how the membership stands.
    fn set_lease(&self, lease: Lease);
}

/// A bucket, and its books as they are told.
type Kept = (BucketKeys, Arc<dyn Holder>, Books);

/// This process, as a member of the fleet. Clones share it.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

/// The task that gives signs of life. Without it the quota is the replica's share.
pub struct Heart(Weak<Inner>);

struct Inner {
    store: Store,
    take: Script,
    renew: Script,
    agreement: Agreement,
    clock: Clock,
    membership: Mutex<Membership>,
    service: Mutex<Service>,
    buckets: Mutex<Vec<(BucketKeys, Weak<dyn Holder>)>>,
    /// The prefix of all keys; they stand in one slot of a cluster.
    tag: String,
    has_left: AtomicBool,
}

impl Fleet {
    /// A member-to-be of those who share the quota of `account` in `store`, under the name `replica`, which no other
    /// process has. [`Heart::beat`] has to be spawned.
    pub fn new(store: Store, agreement: Agreement, account: &str, replica: &str, clock: Clock) -> (Self, Heart) {
        let now = clock.monotonic();
        let membership = Membership::new(agreement, replica.to_owned(), now);
        let inner = Arc::new(Inner {
            store,
            take: Script::new(protocol::TAKE),
            renew: Script::new(protocol::RENEW),
            agreement,
            clock,
            membership: Mutex::new(membership),
            service: Mutex::new(Service::new(now)),
            buckets: Mutex::new(Vec::new()),
            tag: format!("{PREFIX}{{quota:{}}}", digest(account)),
            has_left: AtomicBool::new(false),
        });
        let heart = Heart(Arc::downgrade(&inner));
        (Self(inner), heart)
    }

    /// What the members agree on.
    pub fn agreement(&self) -> Agreement {
        self.0.agreement
    }

    /// Whether the store has lately done what the quota needs. Where it has not, this process has its share, if that.
    pub fn is_shared(&self) -> bool {
        self.0.service().is_shared(self.0.clock.monotonic())
    }

    /// How the membership stands.
    pub(in crate::quota) fn lease(&self) -> Lease {
        self.0.membership().lease()
    }

    /// Makes a bucket known, by a name that is the same in every replica.
    ///
    /// Its keys come back, for [`Self::take`].
    pub(in crate::quota) fn enrol(&self, name: &str, bucket: Weak<dyn Holder>) -> BucketKeys {
        let keys = ["pace", "open", "away", "line"].map(|part| format!("{}:{}:{part}", self.0.tag, digest(name)));
        self.0.lock_buckets().push((keys.clone(), bucket));
        keys
    }

    /// Takes tokens for the bucket with those keys; what comes back is to be given to its ledger, `None` where nothing
    /// came.
    pub(in crate::quota) fn take(
        &self,
        bucket: &BucketKeys,
        take: &Take,
    ) -> impl Future<Output = Option<Taken>> + Send + use<> {
        let inner = Arc::clone(&self.0);
        let sent_at = inner.clock.monotonic();
        let keys = inner.keys_with(bucket);
        let arguments = inner.membership().envelope(sent_at).map(|envelope| take.arguments(&envelope));
        async move {
            let reply = inner.ask(&inner.take, &keys, &arguments?, Reply::of_take).await?;
            let missing = match &reply.outcome {
                Outcome::Done(granted) => Some(granted.missing),
                _ => None,
            };
            let now = inner.clock.monotonic();
            inner.change(|membership| membership.overheard(&reply, missing, sent_at, now));
            Some(reply)
        }
    }

    /// Says that nothing will be granted here any more, so that nobody keeps this replica's share free.
    pub async fn leave(&self) {
        self.0.has_left.store(true, Ordering::Relaxed);
        let now = self.0.clock.monotonic();
        let farewell = self.0.membership().leave_fleet(now);
        self.0.tell_lease();
        if let Some(envelope) = farewell {
            let renewal = Renewal { purpose: Purpose::Leave, known: Known::ALONE, books: Vec::new() };
            let arguments = renewal.arguments(&envelope);
            // Nobody is there to be told; the lease lapses all the same.
            let _ = self.0.send(&self.0.keys_with(&[]), &arguments).await;
        }
    }
}

impl Heart {
    /// Gives signs of life until the fleet is left or forgotten.
    pub async fn beat(&self) {
        while let Some(inner) = self.0.upgrade() {
            if inner.has_left.load(Ordering::Relaxed) {
                return;
            }
            let pause = inner.beat().await;
            drop(inner);
            sleep(pause).await;
        }
    }
}

impl Inner {
    /// One sign of life; says how long to wait before the next.
    async fn beat(&self) -> Duration {
        let sent_at = self.clock.monotonic();
        let trip = self.membership().trip(sent_at);
        // What the request may bring about has to be known before it leaves.
        self.tell_lease();
        let (books, answer) = match trip {
            Trip::LookUp => (Vec::new(), self.look_up(Purpose::Stay).await),
            Trip::Void => (Vec::new(), self.look_up(Purpose::Void).await),
            Trip::Renew(purpose) => {
                let books = self.books(sent_at);
                let answer = self.renew(purpose, &books, sent_at).await;
                (books, answer)
            }
        };

        let now = self.clock.monotonic();
        let Some(reply) = answer else {
            self.change(Membership::unheard);
            return (sent_at + HEARTBEAT).saturating_duration_since(now);
        };
        let may_join = self.change(|membership| {
            membership.heard(&reply, sent_at, now);
            trip == Trip::LookUp && membership.lease().resumes_at <= now
        });
        if matches!(reply.outcome, Outcome::Done(_)) {
            self.service().renewed(now);
            for (_, bucket, books) in books {
                bucket.booked(&books, sent_at + self.agreement.lease());
            }
        }
        if may_join { Duration::ZERO } else { (sent_at + HEARTBEAT).saturating_duration_since(now) }
    }

    async fn look_up(&self, purpose: Purpose) -> Option<Reply<Renewed>> {
        let envelope = self.membership().look_up();
        let nothing = Renewal { purpose, known: Known::ALONE, books: Vec::new() };
        self.send(&self.keys_with(&[]), &nothing.arguments(&envelope)).await
    }

    async fn renew(&self, purpose: Purpose, books: &[Kept], sent_at: Instant) -> Option<Reply<Renewed>> {
        let (known, envelope) = {
            let membership = self.membership();
            (membership.known(), membership.envelope(sent_at)?)
        };
        let keys: Vec<_> = books.iter().flat_map(|(keys, _, _)| keys.clone()).collect();
        let books = books.iter().map(|(_, _, books)| books.clone()).collect();
        self.send(&self.keys_with(&keys), &Renewal { purpose, known, books }.arguments(&envelope)).await
    }

    async fn send(&self, keys: &[String], arguments: &[String]) -> Option<Reply<Renewed>> {
        self.ask(&self.renew, keys, arguments, Reply::of_renewal).await
    }

    /// One trip. An answer that comes when the request is void is none.
    async fn ask<T>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[String],
        read: fn(&[String]) -> Result<Reply<T>, Malformed>,
    ) -> Option<Reply<T>> {
        let trip = self.store.run::<Vec<String>>(script, keys, arguments);
        match timeout(self.agreement.timeout, trip).await.ok()? {
            Ok(answer) => read(&answer).inspect_err(|error| self.complain(&error.to_string())).ok(),
            // Whoever keeps the connection says that, and what is to be done about it.
            Err(StoreError::Away | StoreError::TimedOut | StoreError::Broken | StoreError::Unfit(_)) => None,
            Err(error @ StoreError::Unexpected) => {
                self.complain(&error.to_string());
                None
            }
        }
    }

    /// The store is there, and a script fails in it. It is asked ten times a second, and says so each time.
    fn complain(&self, reason: &str) {
        if self.service().failed(reason, self.clock.monotonic()) {
            tracing::warn!(
                error = reason,
                "the quota is not shared: its scripts fail in the store; it may not permit a command that they need, such \
                 as INFO, or keep something else under their keys"
            );
        }
    }

    /// The books of all buckets at `now`.
    fn books(&self, now: Instant) -> Vec<Kept> {
        let kept = |(keys, bucket): (BucketKeys, Arc<dyn Holder>)| {
            let books = bucket.books(now);
            (keys, bucket, books)
        };
        self.buckets().into_iter().map(kept).collect()
    }

    /// Those that are still in use.
    fn buckets(&self) -> Vec<(BucketKeys, Arc<dyn Holder>)> {
        let mut buckets = self.lock_buckets();
        buckets.retain(|(_, bucket)| bucket.strong_count() > 0);
        buckets.iter().filter_map(|(keys, bucket)| Some((keys.clone(), bucket.upgrade()?))).collect()
    }

    /// Changes the membership, and tells every bucket what came of it.
    fn change<T>(&self, change: impl FnOnce(&mut Membership) -> T) -> T {
        let changed = change(&mut self.membership());
        self.tell_lease();
        changed
    }

    fn tell_lease(&self) {
        let lease = self.membership().lease();
        for (_, bucket) in self.buckets() {
            bucket.set_lease(lease);
        }
    }

    /// The fleet's own keys, and after them those of buckets.
    fn keys_with(&self, buckets: &[String]) -> Vec<String> {
        let mut keys = vec![format!("{}:fleet", self.tag), format!("{}:members", self.tag)];
        keys.extend_from_slice(buckets);
        keys
    }

    fn membership(&self) -> MutexGuard<'_, Membership> {
        self.membership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_buckets(&self) -> MutexGuard<'_, Vec<(BucketKeys, Weak<dyn Holder>)>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name in a key: of one length, and without characters that mean something there.
fn digest(name: &str) -> String {
    Sha256::digest(name).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("agreement", &self.0.agreement).finish_non_exhaustive()
    }
}

impl fmt::Debug for Heart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heart").finish_non_exhaustive()
    }
}
