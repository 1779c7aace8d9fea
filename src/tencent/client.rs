//! Signed calls to the vendor's API, one attempt each.
//!
//! It neither waits for a quota nor tries again: it reports each step, so that whoever pays for the call can.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use awc::http::header::{self, HeaderMap, HttpDate};
use bytes::Bytes;

use super::{
    ApiAction, Settings,
    credentials::CredentialStore,
    error::CallError,
    request::{ApiRequest, not_sent, read_answer},
    wire::{self, BackupFilter, BackupPage, BackupUrls, InstancePage},
};
use crate::{
    domain::{BackupId, Clock, InstanceId, Region},
    outbound::{self, TlsRoots},
};

pub use super::wire::Page;

/// The name of the API in signatures.
const SERVICE: &str = "redis";

/// The version of the API.
const VERSION: &str = "2018-04-12";

/// The longest answer that is read. A page of 1000 instances has some 3 MB, a backup of 128 shards 0.3.
const ANSWER_LIMIT_BYTES: usize = 4 << 20;

/// A worker's client of the vendor's API.
pub struct Client {
    http: awc::Client,
    settings: Arc<Settings>,
    credentials: Arc<CredentialStore>,
    clock: Clock,
}

/// A step of a call, told when it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The signed request was given to an open connection, as far as is known.
    HandedOver(Instant),
    /// There was none, and one is being opened first. It follows [`HandedOver`](Self::HandedOver) and corrects it.
    Connecting(Instant),
    /// The head of the answer came.
    Answered {
        /// When it came.
        at: Instant,
        /// The upstream's own clock, to whole seconds, where it says.
        date: Option<SystemTime>,
    },
}

impl Client {
    /// A client for the worker that calls this.
    pub fn new(settings: Arc<Settings>, roots: &TlsRoots, credentials: Arc<CredentialStore>, clock: Clock) -> Self {
        let http = outbound::client(roots, settings.connect_timeout, settings.timeout);
        Self { http, settings, credentials, clock }
    }

    /// The download URLs of a backup.
    ///
    /// `timeout` is what the caller has left; the settings' own holds where it is shorter. It covers everything from
    /// the connection to the last byte.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn describe_backup_url(
        &self,
        region: &Region,
        instance: &InstanceId,
        backup: &BackupId,
        timeout: Duration,
        on_progress: impl FnMut(Progress),
    ) -> Result<BackupUrls, CallError> {
        let request = wire::backup_urls_request(instance, backup, self.settings.download.as_ref());
        let answer = self.call(ApiAction::DescribeBackupUrl, region, request, timeout, on_progress).await?;
        wire::backup_urls(&answer)
    }

    /// A page of the instances of a region. For `timeout` see [`describe_backup_url`](Self::describe_backup_url).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn describe_instances(
        &self,
        region: &Region,
        page: Page,
        timeout: Duration,
        on_progress: impl FnMut(Progress),
    ) -> Result<InstancePage, CallError> {
        let request = wire::instances_request(page);
        let answer = self.call(ApiAction::DescribeInstances, region, request, timeout, on_progress).await?;
        wire::instances(&answer, region)
    }

    /// A page of the backups of an instance. For `timeout` see [`describe_backup_url`](Self::describe_backup_url).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn describe_instance_backups(
        &self,
        region: &Region,
        instance: &InstanceId,
        page: Page,
        filter: &BackupFilter,
        timeout: Duration,
        on_progress: impl FnMut(Progress),
    ) -> Result<BackupPage, CallError> {
        let request = wire::backups_request(instance, page, filter);
        let answer = self.call(ApiAction::DescribeInstanceBackups, region, request, timeout, on_progress).await?;
        wire::backups(&answer)
    }

    async fn call(
        &self,
        action: ApiAction,
        region: &Region,
        body: Vec<u8>,
        timeout: Duration,
        on_progress: impl FnMut(Progress),
    ) -> Result<Bytes, CallError> {
        let timeout = timeout.min(self.settings.timeout);
        if timeout.is_zero() {
            // The timer would let the first step through, and that step is the request.
            return Err(CallError::Timeout);
        }
        let exchange = self.exchange(action, region, body, on_progress);
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(CallError::Timeout))
    }

    async fn exchange(
        &self,
        action: ApiAction,
        region: &Region,
        body: Vec<u8>,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Bytes, CallError> {
        let request = ApiRequest {
            service: SERVICE,
            version: VERSION,
            action: action.as_str(),
            region,
            endpoint: &self.settings.endpoints.of(region),
            body: &body,
        };
        let request = request.signed(&self.http, &self.credentials.current(), self.clock.wall());
        on_progress(Progress::HandedOver(self.clock.monotonic()));
        let sending = request.send_body(body);
        let on_opening = || on_progress(Progress::Connecting(self.clock.monotonic()));
        let mut response = outbound::watch_connections(sending, on_opening).await.map_err(|error| not_sent(&error))?;
        on_progress(Progress::Answered { at: self.clock.monotonic(), date: date(response.headers()) });
        read_answer(&mut response, ANSWER_LIMIT_BYTES).await
    }
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let date: HttpDate = headers.get(header::DATE)?.to_str().ok()?.parse().ok()?;
    Some(date.into())
}

#[cfg(test)]
mod tests;
