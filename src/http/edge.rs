//! What the public listener's layers and handlers share, one a worker.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix_web::{http::header::HeaderValue, web::Bytes};
use ipnet::IpNet;

use super::{Health, Lines, cors::Cors};
use crate::{broker::Worker, identity::Identity, quota::CallerQuota, traces::Tracer};

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
    /// What the log says of requests.
    pub lines: Lines,
    /// What the worker's spans are written with.
    pub tracer: Tracer,
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
