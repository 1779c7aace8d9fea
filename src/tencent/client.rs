//! Signed calls to the vendor's API, one attempt each.
//!
//! It neither waits for a quota nor tries again: it reports each step, so that whoever pays for the call can.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use actix_web::error::ParseError;
use awc::{
    ClientRequest,
    error::{ConnectError, SendRequestError},
    http::header::{self, HeaderMap, HeaderValue, HttpDate},
};
use bytes::Bytes;
use secrecy::ExposeSecret;

use super::{
    ApiAction, Settings,
    credentials::CredentialStore,
    endpoint::Endpoint,
    error::{CallError, Defect, Unreachable},
    tc3::{Method, Payload, Request, Scope},
    wire::{self, BackupFilter, BackupPage, BackupUrls, InstancePage},
};
use crate::{
    domain::{BackupId, Clock, InstanceId, Region},
    outbound::{self, BodyError, TlsRoots},
};

pub use super::wire::Page;

/// The name of the API in signatures.
const SERVICE: &str = "redis";

/// The version of the API.
const VERSION: &str = "2018-04-12";

/// What is sent is what is signed, to the byte.
const CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// Tells the vendor who calls, where its own SDKs write their names.
const REQUEST_CLIENT: &str = concat!("redis-backup-gateway_", env!("CARGO_PKG_VERSION"));

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
        let request = self.signed(action, region, &self.settings.endpoints.of(region), &body);
        on_progress(Progress::HandedOver(self.clock.monotonic()));
        let sending = request.send_body(body);
        let on_opening = || on_progress(Progress::Connecting(self.clock.monotonic()));
        let mut response = outbound::watch_connections(sending, on_opening).await.map_err(|error| not_sent(&error))?;
        on_progress(Progress::Answered { at: self.clock.monotonic(), date: date(response.headers()) });

        let answer = outbound::read_body(&mut response, ANSWER_LIMIT_BYTES).await;
        let status = response.status();
        if status != awc::http::StatusCode::OK {
            // The API writes its errors into a 200. Should it ever write one into another status, its code says more.
            let refusal = answer.ok().and_then(|answer| wire::refusal(&answer));
            return Err(refusal.unwrap_or(CallError::Status(status.as_u16())));
        }
        answer.map_err(|error| match error {
            BodyError::TooLong { .. } => CallError::Malformed(Defect::TooLong),
            BodyError::Broken => CallError::Dropped,
        })
    }

    /// The request, signed for this moment: a signature made earlier could expire while a call waits for its turn.
    fn signed(&self, action: ApiAction, region: &Region, endpoint: &Endpoint, body: &[u8]) -> ClientRequest {
        let credentials = self.credentials.current();
        let scope = Scope::at(self.clock.wall(), SERVICE);
        let signed = Request {
            method: Method::Post,
            query: "",
            content_type: CONTENT_TYPE,
            host: endpoint.host_header(),
            action: None,
            payload: Payload::Signed(body),
        };
        let authorization = signed.authorization(credentials.secret_id(), credentials.secret_key(), &scope);
        let mut request = self
            .http
            .post(endpoint.uri())
            .insert_header((header::HOST, endpoint.host_header()))
            .insert_header((header::CONTENT_TYPE, CONTENT_TYPE))
            .insert_header((header::AUTHORIZATION, sensitive(&authorization)))
            .insert_header(("x-tc-action", action.as_str()))
            .insert_header(("x-tc-version", VERSION))
            .insert_header(("x-tc-timestamp", scope.timestamp_s()))
            .insert_header(("x-tc-region", region.as_str()))
            .insert_header(("x-tc-language", "en-US"))
            .insert_header(("x-tc-requestclient", REQUEST_CLIENT));
        if let Some(token) = credentials.token() {
            request = request.insert_header(("x-tc-token", sensitive(token.expose_secret())));
        }
        request
    }
}

/// A header's value that its `Debug` does not show.
fn sensitive(value: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(value).expect("credentials are printable ASCII");
    value.set_sensitive(true);
    value
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let date: HttpDate = headers.get(header::DATE)?.to_str().ok()?.parse().ok()?;
    Some(date.into())
}

/// What awc's error means. Its own text may name the host and more, and is not kept.
fn not_sent(error: &SendRequestError) -> CallError {
    match error {
        SendRequestError::Timeout | SendRequestError::Connect(ConnectError::Timeout) => CallError::Timeout,
        // awc's words for a connection that closes before the answer's head.
        SendRequestError::Connect(ConnectError::Disconnected) => CallError::Dropped,
        SendRequestError::Connect(ConnectError::Io(error)) => CallError::Connect(unreachable(error)),
        SendRequestError::Connect(_) => CallError::Connect(Unreachable::NoAddress),
        SendRequestError::Response(ParseError::Io(_) | ParseError::Incomplete) => CallError::Dropped,
        SendRequestError::Response(_) => CallError::Malformed(Defect::NotAnAnswer),
        _ => CallError::Dropped,
    }
}

fn unreachable(error: &io::Error) -> Unreachable {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => Unreachable::Tls(error.to_string().into()),
        None => Unreachable::Io(error.kind()),
    }
}

#[cfg(test)]
mod tests;
