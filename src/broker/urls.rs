//! The main job: the URLs of one backup, from the cache where that is honest, else from the upstream.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Ask, BackupName, Document, Failure, Key, Settled, Worker,
    attempts::NO_LIMIT,
    behalf::Behalf,
    failure::says_missing,
    flights::{Boarding, How, Outcome, Pilot, Terms},
    permission::{Permission, Verdict, Wish},
    sharing::{Sought, Wants, keeping},
};
use crate::{
    audit::{CacheUse, Decision, Record},
    cache::{Entry, Freshness, Lifetime, Lookup, Now, shared::Lock},
    domain::{BackupId, Region},
    metrics::LookupResult,
    quota::Line,
    tencent::{ApiAction, cos_url, error::Class, wire::BackupUrls},
    traces::Step,
};

/// What a fetch brought, as all its waiters see it.
#[derive(Clone)]
pub(super) struct Fetched {
    entry: Arc<Entry<Document>>,
    stored: bool,
}

/// The URLs, and where they came from.
pub struct UrlsAnswer {
    /// The entry; its document holds the URLs.
    pub entry: Arc<Entry<Document>>,
    /// Where it came from.
    pub source: Source,
    /// Whole seconds until the entry stops being fresh; negative where it has.
    pub ttl_seconds: i64,
}

/// Where an answer came from, in the words of RFC 9211.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cache.
    Hit,
    /// The upstream.
    Forwarded {
        /// Why the cache would not do.
        why: Why,
        /// Whether the answer was kept.
        stored: bool,
        /// Whether the call was another caller's.
        collapsed: bool,
    },
    /// The cache, because the upstream failed.
    StaleIfError {
        /// Why the cache would not have done.
        why: Why,
    },
}

/// Why a request went to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There was no entry.
    Miss,
    /// The entry was no longer fresh.
    Stale,
    /// The caller wanted a fresh one.
    Request,
}

impl Worker {
    /// The URLs of one backup.
    ///
    /// The outcome comes with the record of it, which must be written before a byte of the outcome leaves.
    pub async fn urls(self: &Rc<Self>, ask: &Ask) -> Settled<UrlsAnswer> {
        let mut record = self.open_record(Record {
            backup: match &ask.backup {
                BackupName::Id(backup) => Some(backup.clone()),
                BackupName::Latest => None,
            },
            network: Some(ask.network),
            ..self.broker.record_of(&ask.wish())
        });
        let outcome = match self.permitted_region(&ask.wish(), &mut record).await {
            Ok(region) => self.permitted(ask, region, &mut record).await,
            Err(failure) => Err(failure),
        };
        Settled { outcome, record }
    }

    /// The region in which the caller may do what is wished for, in which the instance is taken to be from here on.
    ///
    /// # Errors
    ///
    /// [`Failure::Forbidden`] where the policy permits it nowhere; else what [`find_region`](Self::find_region) says.
    pub(super) async fn permitted_region(
        self: &Rc<Self>,
        wish: &Wish<'_>,
        record: &mut Record,
    ) -> Result<Region, Failure> {
        let trace = &wish.asker.trace;
        let span = trace.step(Step::Policy);
        let Verdict { permission, policies } = self.broker.permission(wish);
        span.note("gateway.action", wish.action.as_str());
        span.note("gateway.allowed", !matches!(permission, Permission::Denied));
        drop(span);
        trace.note_with("gateway.instance_id", || wish.instance.to_shared());
        record.policies = policies;
        let region = match permission {
            Permission::Denied => {
                self.broker.metrics.authz_denial(wish.action);
                return Err(Failure::Forbidden);
            }
            Permission::In(region) => region,
            Permission::Search(allowed) => {
                record.decision = Decision::Allow;
                Box::pin(self.find_region(wish.asker, wish.instance, &allowed)).await?
            }
        };
        record.decision = Decision::Allow;
        trace.note_with("cloud.region", || region.to_shared());
        record.region = Some(region.clone());
        Ok(region)
    }

    async fn permitted(self: &Rc<Self>, ask: &Ask, region: Region, record: &mut Record) -> Result<UrlsAnswer, Failure> {
        let backup = match &ask.backup {
            BackupName::Id(backup) => backup.clone(),
            BackupName::Latest => Box::pin(self.latest_backup(&ask.asker, &region, &ask.instance)).await?,
        };
        ask.asker.trace.note_with("gateway.backup_id", || backup.to_shared());
        record.backup = Some(backup.clone());
        let outcome = self.look_up_or_fetch(ask, region, backup).await;
        match &outcome {
            Ok(answer) => {
                let document = &answer.entry.value;
                record.cache = match answer.source {
                    Source::Hit => CacheUse::Hit,
                    Source::Forwarded { .. } => CacheUse::Miss,
                    Source::StaleIfError { .. } => CacheUse::Stale,
                };
                record.upstream_request_id = Some(document.urls.request_id.shared());
                record.expires_at = Some(answer.entry.lifetime.expires_at);
                record.url_fingerprints = document.fingerprints(&self.broker.audit, ask.shown);
            }
            Err(failure) => record.upstream_request_id = failure.upstream_request_id(),
        }
        outcome
    }

    async fn look_up_or_fetch(
        self: &Rc<Self>,
        ask: &Ask,
        region: Region,
        backup: BackupId,
    ) -> Result<UrlsAnswer, Failure> {
        let broker = &self.broker;
        let key = Key { region, instance: ask.instance.clone(), backup };
        let now = Now::of(&broker.clock);
        let deadline = ask.asker.deadline;
        let span = ask.asker.trace.step(Step::Cache);
        let (why, fallback, patience) = match broker.documents.look_up(&key, now) {
            Lookup::Fresh { entry, ttl, refresh_is_due } => {
                if self.will_do(ask, &entry, now) {
                    broker.metrics.cache_lookup(LookupResult::Hit);
                    span.note(CACHE_RESULT, LookupResult::Hit.as_str());
                    drop(span);
                    if refresh_is_due {
                        self.refresh_in_background(&key, &entry, ask);
                    }
                    return Ok(UrlsAnswer { entry, source: Source::Hit, ttl_seconds: whole_seconds(ttl) });
                }
                (Why::Request, Some(entry), deadline)
            }
            // Who has something to fall back on is not kept waiting by an upstream that hangs.
            Lookup::Stale { entry, left } => {
                (Why::Stale, Some(entry), deadline.min(now.monotonic + STALE_PATIENCE.min(left / 2)))
            }
            Lookup::Missing => (Why::Miss, None, deadline),
        };
        if let Some(refusal) = broker.missing.look_up(&key, now.monotonic) {
            broker.metrics.cache_lookup(LookupResult::Negative);
            span.note(CACHE_RESULT, LookupResult::Negative.as_str());
            return Err(Failure::Upstream(refusal));
        }
        let looked_up = if why == Why::Stale { LookupResult::Stale } else { LookupResult::Miss };
        broker.metrics.cache_lookup(looked_up);
        span.note(CACHE_RESULT, looked_up.as_str());
        drop(span);
        // A future is as large as whatever it may wait for, and a hit, which waits for none of this, would carry it about.
        match Box::pin(self.fetch(ask, &key, why, fallback.as_deref(), patience)).await {
            Err(failure) if is_passing(&failure) => {
                // The replicas may have had an old one that this one had not.
                let fallback = fallback.or_else(|| broker.documents.look_up(&key, Now::of(&broker.clock)).into_entry());
                self.bridge(fallback, why).ok_or(failure)
            }
            outcome => outcome,
        }
    }

    /// The entry of `key` where it is good enough for what is asked.
    fn sufficient(&self, ask: &Ask, key: &Key) -> Option<Arc<Entry<Document>>> {
        let now = Now::of(&self.broker.clock);
        match self.broker.documents.look_up(key, now) {
            Lookup::Fresh { entry, .. } if self.will_do(ask, &entry, now) => Some(entry),
            _ => None,
        }
    }

    /// Whether a fresh entry will do; who wants a fresher one is served a very young one all the same.
    fn will_do(&self, ask: &Ask, entry: &Entry<Document>, now: Now) -> bool {
        !ask.wants_fresh || entry.lifetime.age(now) < self.broker.rules.min_age
    }

    /// An entry that was not good enough before the upstream failed, where it still may be handed out.
    fn bridge(&self, fallback: Option<Arc<Entry<Document>>>, why: Why) -> Option<UrlsAnswer> {
        let entry = fallback?;
        let ttl_seconds = match entry.lifetime.freshness(&self.broker.rules, Now::of(&self.broker.clock)) {
            Freshness::Fresh { ttl, .. } => whole_seconds(ttl),
            Freshness::Stale { past, .. } => -whole_seconds(past),
            Freshness::Gone => return None,
        };
        Some(UrlsAnswer { entry, source: Source::StaleIfError { why }, ttl_seconds })
    }

    /// What another replica has, or else what the upstream gives.
    async fn fetch(
        self: &Rc<Self>,
        ask: &Ask,
        key: &Key,
        why: Why,
        here: Option<&Entry<Document>>,
        deadline: Instant,
    ) -> Result<UrlsAnswer, Failure> {
        let broker = &self.broker;
        let younger_than = ask.wants_fresh.then_some(broker.rules.min_age);
        let wants = Wants { younger_than, ..Wants::other_than(here) };
        let will_do = |entry: &Entry<_>| self.will_do(ask, entry, Now::of(&broker.clock));
        let lock = match self.seek(key, wants, deadline, will_do).await? {
            Sought::Found { entry, waited } => {
                let source =
                    if waited { Source::Forwarded { why, stored: true, collapsed: true } } else { Source::Hit };
                return Ok(self.answer(entry, source));
            }
            Sought::Fetch(lock) => lock,
        };
        let terms = Terms { deadline, ..broker.terms(&ask.asker, &key.region, ApiAction::DescribeBackupUrl) };
        let known = || {
            let refusal = || broker.missing.look_up(key, broker.clock.monotonic()).map(Err);
            self.sufficient(ask, key).map(|entry| Ok(Fetched { entry, stored: true })).or_else(refusal)
        };
        let spawn = |pilot| {
            actix_web::rt::spawn(fly(Rc::clone(self), key.clone(), pilot, lock.clone()));
        };
        let (outcome, how) = broker.flights.obtain(key, &terms, known, spawn).await?;
        let Fetched { entry, stored } = outcome.map_err(Failure::Upstream)?;
        let source = match how {
            How::Known => Source::Hit,
            How::Joined | How::Opened => Source::Forwarded { why, stored, collapsed: how == How::Joined },
        };
        Ok(self.answer(entry, source))
    }

    fn answer(&self, entry: Arc<Entry<Document>>, source: Source) -> UrlsAnswer {
        let broker = &self.broker;
        let ttl_seconds = match entry.lifetime.freshness(&broker.rules, Now::of(&broker.clock)) {
            Freshness::Fresh { ttl, .. } => whole_seconds(ttl),
            Freshness::Stale { past, .. } => -whole_seconds(past),
            Freshness::Gone => 0,
        };
        UrlsAnswer { entry, source, ttl_seconds }
    }

    /// Starts a successor of a fresh entry, behind everybody who waits, unless one is on its way.
    fn refresh_in_background(self: &Rc<Self>, key: &Key, here: &Entry<Document>, ask: &Ask) {
        let broker = &self.broker;
        let failed_lately = broker.failed_refreshes.look_up(key, broker.clock.monotonic()).is_some();
        if failed_lately || broker.flights.is_in_flight(key) || broker.is_looking(key) {
            return;
        }
        let wants = Wants { fetched_after: Some(here.lifetime.fetched_at), ..Wants::other_than(Some(here)) };
        let (worker, key, behalf) = (Rc::clone(self), key.clone(), Behalf::caused_by(&ask.asker));
        actix_web::rt::spawn(async move {
            refresh(worker, key, wants, &behalf).await;
            behalf.trace.end();
        });
    }
}

/// Has a successor from another replica, or fetches it for all of them.
async fn refresh(worker: Rc<Worker>, key: Key, wants: Wants, behalf: &Behalf) {
    let broker = &worker.broker;
    let deadline = broker.clock.monotonic() + BACKGROUND_DEADLINE;
    let Ok(Sought::Fetch(lock)) = worker.seek(&key, wants, deadline, |_| true).await else { return };
    let terms = Terms {
        upstream: broker.upstreams.of(&key.region),
        action: ApiAction::DescribeBackupUrl,
        line: Line::Background,
        deadline,
        behalf: behalf.clone(),
        clock: &broker.clock,
    };
    if let Boarding::Opened(passenger, pilot) = broker.flights.board(&key, &terms, || None) {
        actix_web::rt::spawn(fly(Rc::clone(&worker), key.clone(), pilot, lock));
        // Nobody reads the outcome; somebody has to stand for the fetch.
        drop(passenger.arrive(&broker.clock, deadline).await);
    }
}

/// What a look into the cache found, in spans.
const CACHE_RESULT: &str = "gateway.cache_result";

/// The longest that a caller who can be served a stale entry waits for a better one.
const STALE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a refresh may stand behind everybody else before it is given up.
const BACKGROUND_DEADLINE: Duration = Duration::from_secs(30);

/// Makes the call for whoever waits here, and, under the lock, for those who wait at other replicas.
async fn fly(worker: Rc<Worker>, key: Key, mut pilot: Pilot<Key, Fetched>, lock: Option<Arc<Lock>>) {
    let broker = &worker.broker;
    let course = broker.course(&key.region, ApiAction::DescribeBackupUrl, &pilot.behalf);
    let answer = course.run(
        &mut pilot.fetch,
        |urls: &BackupUrls| &urls.request_id,
        async |grant| {
            let progress = |progress| course.note(grant, progress);
            worker.client.describe_backup_url(&key.region, &key.instance, &key.backup, NO_LIMIT, progress).await
        },
    );
    let Ok(answer) = keeping(lock.as_deref(), answer).await else { return };
    let outcome: Outcome<Fetched> = answer.map_err(Arc::new).map(|urls| {
        let now = Now::of(&broker.clock);
        let lifetime = Lifetime {
            fetched_at: now.wall,
            fetched_monotonic: now.monotonic,
            expires_at: cos_url::expires_at(urls.urls(), now.wall, broker.rules.unknown_lifetime),
            carries_security_token: urls.carry_security_token(),
        };
        let entry = broker.entry(key.clone(), urls, lifetime);
        broker.missing.forget(&key);
        Fetched { stored: broker.documents.insert(key.clone(), Arc::clone(&entry)), entry }
    });
    if let Err(error) = &outcome {
        if says_missing(error) {
            broker.documents.remove(&key);
            broker.missing.insert(key, Arc::clone(error), broker.clock.monotonic());
        } else {
            broker.failed_refreshes.insert(key, (), broker.clock.monotonic());
        }
    }
    let to_share = lock
        .as_ref()
        .and_then(|_| broker.to_share(outcome.as_ref().map(|fetched| &*fetched.entry).map_err(|error| &**error)));
    // Those who wait here are not kept waiting by the store.
    pilot.land(outcome);
    if let Some(lock) = lock {
        // Where this does not arrive, the lock ends by itself.
        let _ = lock.settle(to_share.as_ref()).await;
    }
}

/// Whether the upstream may well give a better answer later, so that an old one may bridge the time.
fn is_passing(failure: &Failure) -> bool {
    match failure {
        Failure::Forbidden | Failure::InstanceNotFound | Failure::NoNormalBackup | Failure::NoSuchFile => false,
        Failure::QuotaExhausted(_) | Failure::DeadlineOver | Failure::Lost => true,
        Failure::Upstream(error) => {
            matches!(error.class(), None | Some(Class::RateLimited | Class::Denied | Class::Failed))
        }
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
