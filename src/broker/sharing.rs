//! What replicas share of the main job: before this one fetches, it asks whether another has, or does.
//!
//! One look for everybody here who wants the same. While another replica fetches, callers here wait for that, each to
//! its own deadline and in no line of the quota: they cost no token. Where the store does not answer, this replica goes
//! on by itself.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::watch,
    time::{sleep, timeout_at},
};

use super::{Broker, Document, Failure, Key, Worker, failure::says_missing};
use crate::{
    cache::{
        Entry, Freshness, Lifetime, Now, Rules, Shared,
        shared::{Body, Found, Known, Lock, Look, Name, Value},
    },
    metrics::SharedLookup,
    tencent::{
        error::CallError,
        wire::{backup_urls, kept_backup_urls, kept_refusal},
    },
};

/// How soon a fetch of another replica is looked for again where nothing is heard of it: a notice can be lost, and a
/// replica can die, whose lock then ends within two seconds.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Looks of others that a caller joins, and that bring less than it wants, before it fetches by itself.
const MOST_LOOKS: usize = 3;

/// Values that will not do before none will: each is another one, so more than a few are somebody's game.
const MOST_UNFIT: usize = 4;

/// What this replica shares with others, and the looks that are under way.
pub(super) struct Sharing {
    cache: Shared,
    looks: Mutex<HashMap<Key, Weak<Teller>>>,
}

type Teller = watch::Sender<Option<Looked>>;

/// What a look came to, as all who waited for it see it.
#[derive(Clone)]
enum Looked {
    /// An entry, which is in the local cache by now.
    Found {
        /// The entry.
        entry: Arc<Entry<Document>>,
        /// Whether another replica fetched it while we waited.
        waited: bool,
    },
    /// There is no such thing, as a replica was told lately.
    Missing(Arc<CallError>),
    /// Nobody has it or fetches it: fetch it for all, and hold the lock until it is there.
    Ours(Arc<Lock>),
    /// The store does not answer.
    Alone,
}

/// What a value says.
enum Said {
    /// An entry.
    There(Arc<Entry<Document>>),
    /// There is no such thing.
    Missing(Arc<CallError>),
    /// There was no such thing, longer ago than that is believed.
    WasMissing,
    /// Nothing that an answer could say.
    Nothing,
}

/// What whoever needs an entry is to do.
pub(super) enum Sought {
    /// Take this one.
    Found {
        /// The entry.
        entry: Arc<Entry<Document>>,
        /// Whether another replica fetched it while we waited.
        waited: bool,
    },
    /// Fetch it, or join those here who do; where others wait for it, under this lock.
    Fetch(Option<Arc<Lock>>),
}

/// Which entry will do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    /// The one that is known here, so that it is not sent again.
    pub(super) known: Known,
    /// It must have been fetched later than this.
    pub(super) fetched_after: Option<SystemTime>,
    /// It must be younger than this.
    pub(super) younger_than: Option<Duration>,
}

impl Sharing {
    pub(super) fn new(cache: Shared) -> Self {
        Self { cache, looks: Mutex::default() }
    }

    /// Whether somebody looks for `key` right now.
    fn is_looking(&self, key: &Key) -> bool {
        self.lock().get(key).is_some_and(|teller| teller.strong_count() > 0)
    }

    fn name(&self, key: &Key) -> Name {
        let Key { region, instance, backup } = key;
        self.cache.name(&[region.as_str().as_bytes(), instance.as_str().as_bytes(), backup.as_str().as_bytes()])
    }

    /// The look for `key` that is under way; else a new one, with the side that is to make it.
    fn join(&self, key: &Key) -> (watch::Receiver<Option<Looked>>, Option<Arc<Teller>>) {
        let mut looks = self.lock();
        if let Some(teller) = looks.get(key).and_then(Weak::upgrade) {
            return (teller.subscribe(), None);
        }
        let (teller, told) = watch::channel(None);
        let teller = Arc::new(teller);
        looks.insert(key.clone(), Arc::downgrade(&teller));
        (told, Some(teller))
    }

    /// Ends a look: who comes after this begins another.
    fn end(&self, key: &Key, teller: &Arc<Teller>, looked: Looked) {
        self.forget(&mut self.lock(), key, teller);
        teller.send_replace(Some(looked));
    }

    /// Ends when nobody waits for a look any more, which is over by that.
    async fn unwanted(&self, key: &Key, teller: &Arc<Teller>) {
        loop {
            teller.closed().await;
            let mut looks = self.lock();
            // Whoever joins does so under this lock.
            if teller.is_closed() {
                self.forget(&mut looks, key, teller);
                return;
            }
        }
    }

    fn forget(&self, looks: &mut HashMap<Key, Weak<Teller>>, key: &Key, teller: &Arc<Teller>) {
        if looks.get(key).is_some_and(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(teller))) {
            looks.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<Teller>>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// An entry that the replicas have, or the leave to fetch it for them.
    ///
    /// # Errors
    ///
    /// Where a replica was told that there is no such thing; [`Failure::DeadlineOver`] when another replica still fetches
    /// it at `deadline`.
    pub(super) async fn seek(
        self: &Rc<Self>,
        key: &Key,
        wants: Wants,
        deadline: Instant,
        will_do: impl Fn(&Entry<Document>) -> bool,
    ) -> Result<Sought, Failure> {
        let Some(sharing) = &self.broker.sharing else { return Ok(Sought::Fetch(None)) };
        for _ in 0..MOST_LOOKS {
            // Those who fly have looked.
            if self.broker.flights.is_in_flight(key) {
                break;
            }
            match self.look(sharing, key, wants, deadline).await? {
                Looked::Found { entry, waited } if will_do(&entry) => return Ok(Sought::Found { entry, waited }),
                // Whoever began this look wanted less.
                Looked::Found { .. } => {}
                Looked::Missing(refusal) => return Err(Failure::Upstream(refusal)),
                Looked::Ours(lock) => return Ok(Sought::Fetch(Some(lock))),
                Looked::Alone => break,
            }
        }
        Ok(Sought::Fetch(None))
    }

    async fn look(
        self: &Rc<Self>,
        sharing: &Sharing,
        key: &Key,
        wants: Wants,
        deadline: Instant,
    ) -> Result<Looked, Failure> {
        let (mut told, teller) = sharing.join(key);
        if let Some(teller) = teller {
            actix_web::rt::spawn(look(Rc::clone(self), key.clone(), wants, teller));
        }
        match timeout_at(deadline.into(), told.wait_for(Option::is_some)).await {
            Ok(Ok(looked)) => Ok(looked.clone().unwrap_or(Looked::Alone)),
            // The worker that looked has stopped.
            Ok(Err(_)) => Ok(Looked::Alone),
            Err(_) => Err(Failure::DeadlineOver),
        }
    }
}

/// Renews the lock, where there is one, for as long as `task` takes.
pub(super) async fn keeping<T>(lock: Option<&Lock>, task: impl Future<Output = T>) -> T {
    let Some(lock) = lock else { return task.await };
    tokio::select! {
        biased;
        outcome = task => outcome,
        never = lock.keep() => match never {},
    }
}

async fn look(worker: Rc<Worker>, key: Key, wants: Wants, teller: Arc<Teller>) {
    let broker = &worker.broker;
    let Some(sharing) = &broker.sharing else { return };
    tokio::select! {
        looked = broker.find(sharing, &key, wants) => sharing.end(&key, &teller, looked),
        () = sharing.unwanted(&key, &teller) => {}
    }
}

impl Broker {
    /// Whether somebody asks the replicas for `key` right now.
    pub(super) fn is_looking(&self, key: &Key) -> bool {
        self.sharing.as_ref().is_some_and(|sharing| sharing.is_looking(key))
    }

    /// Looks until there is something, or nobody else fetches it.
    async fn find(&self, sharing: &Sharing, key: &Key, wants: Wants) -> Looked {
        let name = sharing.name(key);
        let mut landings = sharing.cache.landings();
        let (mut known, mut unfit, mut waited) = (wants.known, 0, false);
        loop {
            let said = match sharing.cache.look(&name, known).await {
                Ok(Look::Found(found)) => self.understand(key, &found),
                Ok(Look::Rejected) => Said::Nothing,
                Ok(Look::Locked(lock)) => {
                    self.metrics.shared_lookup(SharedLookup::Miss);
                    return Looked::Ours(Arc::new(lock));
                }
                Ok(Look::Held) => {
                    self.metrics.shared_lookup(SharedLookup::Miss);
                    waited = true;
                    tokio::select! {
                        () = landings.of(&name) => {}
                        () = sleep(LOOK_AGAIN) => {}
                    }
                    (known, unfit) = (wants.known, 0);
                    continue;
                }
                Err(_) => {
                    self.metrics.shared_lookup(SharedLookup::Unavailable);
                    return Looked::Alone;
                }
            };
            unfit += 1;
            known = match said {
                Said::Nothing => {
                    self.metrics.shared_lookup(SharedLookup::Rejected);
                    Known::Any
                }
                Said::Missing(refusal) => {
                    self.metrics.shared_lookup(SharedLookup::Negative);
                    return Looked::Missing(refusal);
                }
                Said::WasMissing => {
                    self.metrics.shared_lookup(SharedLookup::Stale);
                    Known::Any
                }
                Said::There(entry) if wants.accept(&entry, &self.rules, Now::of(&self.clock)) => {
                    self.metrics.shared_lookup(SharedLookup::Hit);
                    return Looked::Found { entry, waited };
                }
                Said::There(_) if unfit >= MOST_UNFIT => Known::Any,
                Said::There(entry) => {
                    self.metrics.shared_lookup(SharedLookup::Stale);
                    Known::FetchedAt(entry.lifetime.fetched_at)
                }
            };
        }
    }

    /// What a value says, which is remembered here: an entry, also one that is past its freshness, for it may bridge an
    /// outage; or a refusal.
    fn understand(&self, key: &Key, found: &Found) -> Said {
        let now = Now::of(&self.clock);
        let Found { value, age_in_store } = found;
        let urls = match backup_urls(value.body.expose()) {
            Ok(urls) => urls,
            Err(refusal) if says_missing(&refusal) => {
                // Whoever writes there may have kept it and put it there again: the store's word is not enough.
                let age = now.wall.duration_since(value.fetched_at).unwrap_or_default().max(*age_in_store);
                let Some(since) = now.monotonic.checked_sub(age).filter(|_| age < self.rules.negative_ttl) else {
                    return Said::WasMissing;
                };
                let refusal = Arc::new(refusal);
                self.documents.remove(key);
                self.missing.insert(key.clone(), Arc::clone(&refusal), since);
                return Said::Missing(refusal);
            }
            Err(_) => return Said::Nothing,
        };
        let (fetched_at, expires_at) = (value.fetched_at, value.expires_at);
        let carries_token = urls.carry_security_token();
        let lifetime = Lifetime::of_another_machine(fetched_at, expires_at, carries_token, *age_in_store, now);
        let Some(lifetime) = lifetime else { return Said::Nothing };
        let entry = self.entry(key.clone(), urls, lifetime);
        if self.is_newer(key, &entry, now) {
            self.missing.forget(key);
            self.documents.insert(key.clone(), Arc::clone(&entry));
        }
        Said::There(entry)
    }

    /// Whether an entry was fetched later than the one that is here.
    fn is_newer(&self, key: &Key, entry: &Entry<Document>, now: Now) -> bool {
        let here = self.documents.look_up(key, now).into_entry();
        here.is_none_or(|here| here.lifetime.fetched_at < entry.lifetime.fetched_at)
    }

    /// What a fetch brought, in the form in which it is shared; nothing where it is not.
    pub(super) fn to_share(&self, outcome: Result<&Entry<Document>, &CallError>) -> Option<Value> {
        match outcome {
            Ok(entry) => Some(Value {
                fetched_at: entry.lifetime.fetched_at,
                expires_at: entry.lifetime.expires_at,
                kept_for: entry.lifetime.useful_for(&self.rules),
                body: Body::from(kept_backup_urls(&entry.value.urls)),
            }),
            Err(error) if says_missing(error) => {
                let fetched_at = self.clock.wall();
                let kept_for = self.rules.negative_ttl;
                let body = Body::from(kept_refusal(error)?);
                Some(Value { fetched_at, expires_at: fetched_at + kept_for, kept_for, body })
            }
            Err(_) => None,
        }
    }
}

impl Wants {
    /// Any fresh entry but the one that is here.
    pub(super) fn other_than(here: Option<&Entry<Document>>) -> Self {
        let known = here.map_or(Known::Nothing, |here| Known::FetchedAt(here.lifetime.fetched_at));
        Self { known, fetched_after: None, younger_than: None }
    }

    fn accept(self, entry: &Entry<Document>, rules: &Rules, now: Now) -> bool {
        let is_fresh = matches!(entry.lifetime.freshness(rules, now), Freshness::Fresh { .. });
        is_fresh
            && self.fetched_after.is_none_or(|moment| entry.lifetime.fetched_at > moment)
            && self.younger_than.is_none_or(|age| entry.lifetime.age(now) < age)
    }
}
