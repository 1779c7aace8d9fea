//! What the public listener's layers and handlers share, one a worker.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix_web::{http::header::HeaderValue, web::Bytes};
use ipnet::IpNet;

use super::{Health, cors::Cors};
use crate::{broker::Worker, domain::Throttle, identity::Identity, quota::CallerQuota};

/// All of it.
pub struct Edge {
    /// The way to the URLs.
    pub worker: Rc<Worker>,
    /// Who callers are.
    pub identity: Arc<Identity>,
    /// How much each caller may ask.
    pub caller_quota: Arc<CallerQuota>,
    /// What every answer says of that: see [`ratelimit_policy`](super::ratelimit_policy).
    pub ratelimit_policy: HeaderValue,
    /// A bound on the log lines that strangers can cause.
    pub refusals_to_log: Throttle,
    /// Which web pages may read the answers.
    pub cors: Cors,
    /// The description of the API, for the regions of this gateway.
    pub openapi: Bytes,
    /// How the process is.
    pub health: Arc<Health>,
    /// Networks whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// The longest that a request may take.
    pub request_timeout: Duration,
}
