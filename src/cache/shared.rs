//! What replicas share: values in the store, sealed, and a lock for each, so that one of them fetches for all.
//!
//! It trusts the store with nothing but time: what does not open under our keys, in its own place, is no value. It never
//! fetches, and knows no waiter; whoever waits listens to what lands.

mod keys;
mod lock;
mod value;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use futures_util::future::{join, join_all};
use tokio::sync::broadcast::{self, error::RecvError};

pub use keys::Ring;
pub use lock::Lock;
pub use value::{Body, Found, Value};

use crate::store::{Notice, PREFIX, Script, Store, StoreError};
use keys::Alias;
use value::stamp_of;

/// Where replicas tell each other what has landed.
const LANDED: &str = "rbg:{landed}";

/// The longest lease that any version of the gateway takes; a lock that lasts longer is not ours.
const LONGEST_LEASE: Duration = Duration::from_secs(10);

/// What `look.lua` answers.
const FOUND: u8 = 1;
const LOCKED: u8 = 2;
const HELD: u8 = 3;

/// The cache that replicas share. Clones share it.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

struct Inner {
    store: Store,
    ring: ArcSwap<Ring>,
    /// What all names begin with here: another account or another restriction of downloads has other values.
    scope: Vec<Vec<u8>>,
    landed: broadcast::Receiver<Notice>,
    /// Names the locks of this process.
    process: String,
    locks: AtomicU64,
    scripts: Scripts,
}

struct Scripts {
    look: Script,
    peek: Script,
    settle: Script,
    renew: Script,
}

/// A thing in the store, by all the names that it may have there; the one under the key in force comes first.
#[derive(Clone, Debug)]
pub struct Name(Vec<Alias>);

/// Which value will not do, because it is known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// None is known: any value is news.
    Nothing,
    /// The one that was fetched at this moment.
    FetchedAt(SystemTime),
    /// None will do.
    Any,
}

/// What a look found.
#[derive(Debug)]
pub enum Look {
    /// A value that is not the known one.
    Found(Found),
    /// Something that nobody of us put there so.
    Rejected,
    /// Nothing, and the lock is ours: fetch it.
    Locked(Lock),
    /// Nothing, and somebody fetches it.
    Held,
}

/// What has landed since this was asked for.
pub struct Landings(broadcast::Receiver<Notice>);

impl Shared {
    /// A cache in `store` whose values are sealed with `ring`. Values of another `scope` are not found. `process` names
    /// this process among all that share the store.
    pub fn new(store: Store, ring: Ring, scope: &[&[u8]], process: &str) -> Self {
        Self(Arc::new(Inner {
            landed: store.listen(LANDED),
            store,
            ring: ArcSwap::from_pointee(ring),
            scope: scope.iter().map(|part| part.to_vec()).collect(),
            process: process.to_owned(),
            locks: AtomicU64::new(0),
            scripts: Scripts {
                look: Script::new(include_str!("shared/look.lua")),
                peek: Script::new(include_str!("shared/peek.lua")),
                settle: Script::new(include_str!("shared/settle.lua")),
                renew: Script::new(include_str!("shared/renew.lua")),
            },
        }))
    }

    /// Puts other keys in force.
    pub fn replace_keys(&self, ring: Ring) {
        self.0.ring.store(Arc::new(ring));
    }

    /// The name of a thing.
    pub fn name(&self, parts: &[&[u8]]) -> Name {
        let parts: Vec<&[u8]> = self.0.scope.iter().map(Vec::as_slice).chain(parts.iter().copied()).collect();
        Name(self.0.ring.load().aliases(&parts))
    }

    /// Tells from now on what lands. To be asked for before the look whose answer a landing may change.
    pub fn landings(&self) -> Landings {
        Landings(self.0.landed.resubscribe())
    }

    /// Looks for a value, and takes the lock where there is none but the known one. One trip; while keys are being
    /// replaced another for each previous key, side by side with the first.
    ///
    /// # Errors
    ///
    /// Where the store does not answer, or not as it should.
    pub async fn look(&self, name: &Name, known: Known) -> Result<Look, StoreError> {
        let inner = &*self.0;
        // Made before the trip: where nobody waits for its answer any more, or none comes, it is given back all the same.
        let number = inner.locks.fetch_add(1, Ordering::Relaxed);
        let lock = Lock::new(self.clone(), name.clone(), format!("{}:{number}", inner.process));
        let stamp = match known {
            Known::Nothing => Vec::new(),
            Known::FetchedAt(moment) => stamp_of(moment).to_vec(),
            Known::Any => b"*".to_vec(),
        };
        let (lease, longest) = (lock::LEASE.as_millis().to_string(), LONGEST_LEASE.as_millis().to_string());
        let most_bytes = lock::MOST_SEALED_BYTES.to_string();
        let args = [&*stamp, lock.owner().as_bytes(), lease.as_bytes(), longest.as_bytes(), most_bytes.as_bytes()];
        let keys = [name.value_key(), name.lock_key()];
        let looking = inner.store.run::<(u8, Vec<u8>, i64)>(&inner.scripts.look, &keys, &args);
        let (looked, earlier) = join(looking, self.earlier(name, known)).await;
        let (verdict, sealed, millis_left) = looked?;
        match verdict {
            FOUND => {
                lock.forget();
                Ok(self.open(name.current(), &sealed, millis_left).map_or(Look::Rejected, Look::Found))
            }
            LOCKED => Ok(earlier.map_or_else(|| Look::Locked(lock), Look::Found)),
            HELD => {
                lock.forget();
                Ok(earlier.map_or(Look::Held, Look::Found))
            }
            _ => Err(StoreError::Unexpected),
        }
    }

    /// The latest that stands under the names of previous keys and is not known. What does not come is not missed.
    async fn earlier(&self, name: &Name, known: Known) -> Option<Found> {
        let looks = name.previous().iter().map(|alias| async move {
            let (keys, args) = ([value_key(alias)], [lock::MOST_SEALED_BYTES.to_string()]);
            let trip = self.0.store.run::<(Vec<u8>, i64)>(&self.0.scripts.peek, &keys, &args);
            let (sealed, millis_left) = trip.await.ok()?;
            self.open(alias, &sealed, millis_left)
        });
        let found = join_all(looks).await.into_iter().flatten();
        found.filter(|found| known.lets_through(&found.value)).max_by_key(|found| found.value.fetched_at)
    }

    fn open(&self, alias: &Alias, sealed: &[u8], millis_left: i64) -> Option<Found> {
        let (stamp, text) = self.0.ring.load().open(alias, sealed)?;
        Found::new(Value::decode(stamp, &text)?, millis_left)
    }
}

impl Name {
    fn current(&self) -> &Alias {
        self.0.first().expect("a ring has a key, and so a thing has a name")
    }

    fn previous(&self) -> &[Alias] {
        self.0.get(1..).unwrap_or_default()
    }

    fn value_key(&self) -> String {
        value_key(self.current())
    }

    fn lock_key(&self) -> String {
        format!("{PREFIX}{{{}}}:lock", self.current().as_str())
    }
}

fn value_key(alias: &Alias) -> String {
    format!("{PREFIX}{{{}}}:urls", alias.as_str())
}

impl Known {
    fn lets_through(self, value: &Value) -> bool {
        match self {
            Self::Nothing => true,
            Self::FetchedAt(moment) => value.stamp() != stamp_of(moment),
            Self::Any => false,
        }
    }
}

impl Landings {
    /// Ends when this thing may have landed: it did, or what was said meanwhile is lost.
    pub async fn of(&mut self, name: &Name) {
        let landed = name.current().as_str().as_bytes();
        loop {
            match self.0.recv().await {
                Ok(Notice::Said(what)) if *what != *landed => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                // The store is gone with the process; a slow look finds what there is.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("store", &self.0.store)
            .field("keys", &*self.0.ring.load())
            .finish_non_exhaustive()
    }
}
