//! The story of a request: permission, record, cache, quota, call.
//!
//! It introduces the rooms below to each other, for they do not know one another. It knows no HTTP status and no
//! header; what it returns says what happened, and the edge says it to the caller.

mod attempts;
mod backups;
mod behalf;
mod decisions;
mod document;
mod failure;
mod files;
mod flights;
mod instances;
mod lines;
mod open_record;
mod pages;
mod permission;
mod regions;
mod rooms;
mod sharing;
mod upstreams;
mod urls;
mod wide_readers;

use std::{
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;

pub use backups::{BackupList, BackupsAsk};
pub use document::{Document, Render};
pub use failure::Failure;
pub use files::FileAnswer;
pub use instances::{InstanceList, InstancesAsk, ListedInstance};
pub use open_record::OpenRecord;
pub use pages::Slice;
pub use rooms::Rooms;
pub use urls::{Source, UrlsAnswer, Why};

use behalf::Behalf;
use permission::Wish;

use crate::{
    audit::{Audit, AuditError, CacheUse, Decision, Desk, Fingerprints, Record},
    cache::{Local, Negative, Rules},
    domain::{Action, BackupId, Caller, Clock, EventId, InstanceId, Network, Region, RequestId, TraceId},
    metrics::Metrics,
    policy::{Policies, Principal},
    quota::{Driver, Limits, Line},
    store::Store,
    tencent::{self, ApiAction, client::Client, credentials::CredentialStore, error::CallError},
    traces::Trace,
};

/// What all workers share.
pub struct Broker {
    policies: ArcSwap<decisions::InForce>,
    regions: regions::Regions,
    region_names: Vec<Region>,
    upstreams: upstreams::Upstreams,
    flights: flights::Flights<Key, urls::Fetched>,
    documents: Local<Key, Document>,
    missing: Negative<Key, Arc<CallError>>,
    backups: backups::Backups,
    failed_refreshes: Negative<Key, ()>,
    audit: Audit,
    wide_readers: wide_readers::WideReaders,
    credentials: Arc<CredentialStore>,
    metrics: Arc<Metrics>,
    lines: lines::Lines,
    store: Option<Store>,
    sharing: Option<sharing::Sharing>,
    rules: Rules,
    max_retries: u32,
    render: Render,
    clock: Clock,
}

/// One worker's way to the upstream and to the audit, beside what it shares with the others. Neither can change threads.
pub struct Worker {
    broker: Arc<Broker>,
    client: Client,
    desk: Desk,
}

/// Who asks, and on what terms.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The verified caller.
    pub caller: Arc<Caller>,
    /// The same caller as policies see it.
    pub principal: Principal,
    /// The address that the request came from.
    pub client_ip: IpAddr,
    /// `X-Access-Reason`, where one was given that says something.
    pub reason: Option<Arc<str>>,
    /// The id that the caller reads in the answer.
    pub request_id: RequestId,
    /// The trace that the request is part of.
    pub trace_id: Option<TraceId>,
    /// What the request's spans are written to.
    pub trace: Trace,
    /// When the answer is due.
    pub deadline: Instant,
}

/// A request for the URLs of one backup.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks.
    pub asker: Rc<Asker>,
    /// The instance.
    pub instance: InstanceId,
    /// The backup.
    pub backup: BackupName,
    /// The region, where the caller named one: a configured one.
    pub region: Option<Region>,
    /// The addresses that the caller wants.
    pub network: Network,
    /// Those of them that the answer shows; a form of answer may have room for one address a file only.
    pub shown: Network,
    /// `Cache-Control: no-cache`: an entry older than `cache.min_age` will not do.
    pub wants_fresh: bool,
}

/// How a caller names a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupName {
    /// By its id.
    Id(BackupId),
    /// `latest`: the newest one that is finished and whole.
    Latest,
}

/// What came of a request, with the record that must be written before the caller hears of it.
pub struct Settled<T> {
    /// What came of it.
    pub outcome: Result<T, Failure>,
    record: OpenRecord,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    region: Region,
    instance: InstanceId,
    backup: BackupId,
}

/// How long an entry whose refresh failed is left alone.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);

impl Broker {
    /// A broker, and what must run beside the workers for its buckets to be served.
    pub fn new(
        settings: &tencent::Settings,
        limits: Limits,
        rules: Rules,
        rooms: Rooms,
        clock: Clock,
    ) -> (Arc<Self>, Vec<Driver>) {
        let Rooms { policies, audit, credentials, metrics, render, store, fleet, shared_cache } = rooms;
        let (upstreams, drivers) =
            upstreams::Upstreams::new(&settings.endpoints, &settings.regions, limits, fleet.as_ref(), &clock);
        let broker = Self {
            policies: ArcSwap::from_pointee(decisions::InForce::new(policies)),
            regions: regions::Regions::new(&settings.regions, rules.list_ttl),
            region_names: settings.regions.clone(),
            upstreams,
            flights: flights::Flights::new(),
            documents: Local::new(rules),
            missing: Negative::new(rules.negative_ttl),
            backups: backups::Backups::new(rules.negative_ttl),
            failed_refreshes: Negative::new(REFRESH_PAUSE),
            audit,
            wide_readers: wide_readers::WideReaders::new(clock.monotonic()),
            credentials,
            metrics,
            lines: lines::Lines::default(),
            store,
            sharing: shared_cache.map(sharing::Sharing::new),
            rules,
            max_retries: settings.max_retries,
            render,
            clock,
        };
        (Arc::new(broker), drivers)
    }

    /// Puts other policies in force; what those before them said is forgotten with them.
    pub fn replace_policies(&self, policies: Policies) {
        self.policies.store(Arc::new(decisions::InForce::new(policies)));
    }

    /// The configured region of that name.
    pub fn region(&self, name: &str) -> Option<&Region> {
        self.region_names.iter().find(|region| region.as_str() == name)
    }

    /// The configured regions, for a message.
    pub fn regions(&self) -> &[Region] {
        &self.region_names
    }

    /// The clock that the whole request is measured by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What is counted, here and at the edge.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Bytes that cached answers weigh.
    pub fn cached_bytes(&self) -> u64 {
        self.documents.weighed_bytes()
    }

    /// How many wait for a token, by the upstream's action, over all endpoints.
    pub fn queue_lengths(&self) -> Vec<(&'static str, usize)> {
        ApiAction::ALL.map(|action| (action.as_str(), self.upstreams.queue_length(action))).to_vec()
    }

    /// Whether records cannot be written at the moment.
    pub fn audit_is_failing(&self) -> bool {
        self.audit.is_failing()
    }

    /// Whether the store that replicas share is there; nothing where there is none.
    pub fn shared_store_is_up(&self) -> Option<bool> {
        self.store.as_ref().map(Store::is_up)
    }

    /// When the gateway's own keys end; nothing where they do not.
    pub fn credentials_expire_at(&self) -> Option<SystemTime> {
        self.credentials.current().expires_at()
    }

    /// Whether the cloud cannot be called because the gateway's own keys have ended.
    pub fn credentials_have_expired(&self) -> bool {
        self.credentials.current().have_expired(self.clock.wall())
    }

    /// Whether an endpoint has failed so often that it is left alone at the moment.
    pub fn upstream_is_left_alone(&self) -> bool {
        self.upstreams.any_is_open()
    }

    /// A record of which no more is known than who asked.
    fn blank_record(&self, asker: &Asker) -> Record {
        Record {
            event_id: EventId::random(),
            request_id: asker.request_id.clone(),
            trace_id: asker.trace_id,
            caller: Arc::clone(&asker.caller),
            client_ip: asker.client_ip,
            reason: asker.reason.clone(),
            action: None,
            instance: None,
            backup: None,
            file: None,
            file_name: None,
            region: None,
            network: None,
            decision: Decision::Error,
            policies: Vec::new(),
            cache: CacheUse::None,
            upstream_request_id: None,
            expires_at: None,
            url_fingerprints: Fingerprints::default(),
        }
    }

    /// On what terms `asker` waits for a call.
    fn terms(&self, asker: &Asker, region: &Region, action: ApiAction) -> flights::Terms<'_> {
        flights::Terms {
            upstream: self.upstreams.of(region),
            action,
            line: asker.line(),
            deadline: asker.deadline,
            behalf: Behalf::of(asker),
            clock: &self.clock,
        }
    }

    /// What the attempts of a fetch have in common.
    fn course<'a>(&'a self, region: &'a Region, action: ApiAction, behalf: &'a Behalf) -> attempts::Course<'a> {
        attempts::Course {
            upstream: self.upstreams.of(region),
            region,
            action,
            behalf,
            max_retries: self.max_retries,
            credentials: &self.credentials,
            clock: &self.clock,
            metrics: &self.metrics,
        }
    }

    fn record_of(&self, wish: &Wish<'_>) -> Record {
        Record {
            action: Some(wish.action),
            instance: Some(wish.instance.clone()),
            region: wish.region.cloned(),
            decision: Decision::Deny,
            ..self.blank_record(wish.asker)
        }
    }
}

impl Worker {
    /// A worker's part of `broker`, with a client that was made on the worker's own thread.
    pub fn new(broker: Arc<Broker>, client: Client) -> Self {
        let desk = broker.audit.desk();
        Self { broker, client, desk }
    }

    /// What all workers share.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// The record of a request of a known caller that could not be understood.
    pub fn record_of_error(&self, asker: &Asker) -> OpenRecord {
        self.open_record(self.broker.blank_record(asker))
    }

    /// Opens a record: from here on it is written, one way or another.
    fn open_record(&self, record: Record) -> OpenRecord {
        OpenRecord::new(record, self.desk.clone())
    }

    /// Writes the record of what came of a request, now that its status is known.
    ///
    /// # Errors
    ///
    /// When the record is not known to be written. Then nothing of the outcome may leave.
    pub fn settle(&self, record: OpenRecord, status: u16) -> impl Future<Output = Result<(), AuditError>> {
        let record = record.close();
        let reading = self.broker.reading_of(&record);
        let written = self.desk.write(&record, status);
        async move {
            let outcome = written.await;
            match outcome {
                Ok(()) => {
                    self.broker.metrics.audit_records.inc();
                    if let Some(reading) = reading {
                        self.broker.watch_breadth(&reading);
                    }
                }
                Err(_) => self.broker.metrics.audit_failures.inc(),
            }
            outcome
        }
    }
}

impl Ask {
    fn wish(&self) -> Wish<'_> {
        Wish {
            asker: &self.asker,
            action: Action::ReadBackupUrls,
            instance: &self.instance,
            region: self.region.as_ref(),
            network: self.network,
        }
    }
}

impl Asker {
    /// The caller's line in the upstream's queue.
    fn line(&self) -> Line {
        Line::Caller { issuer: Arc::clone(&self.caller.issuer), caller: Arc::clone(&self.caller.subject) }
    }

    /// Time until the answer is due.
    pub fn time_left(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }
}

impl<T> Settled<T> {
    /// The outcome and the record apart.
    pub fn into_parts(self) -> (Result<T, Failure>, OpenRecord) {
        (self.outcome, self.record)
    }
}
