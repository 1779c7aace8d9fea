//! The edge: HTTP in, HTTP out. The only place that knows headers and status codes.
//!
//! Strings are parsed here, once, and errors become problem documents here; nothing below formats an answer.

mod accept;
mod authenticate;
mod cache_status;
mod caller_quota;
mod client_ip;
mod context;
pub mod ops;
mod outermost;
mod problem;
mod query;
mod render;
mod urls;

use std::{rc::Rc, sync::Arc, time::Duration};

use actix_web::{HttpResponse, middleware::from_fn, web};
use ipnet::IpNet;

pub use ops::Health;
pub use outermost::outermost;

use crate::{broker::Worker, domain::Throttle, identity::Identity, quota::CallerQuota};

/// What the public listener's handlers need, one a worker.
pub struct Edge {
    /// The way to the URLs.
    pub worker: Rc<Worker>,
    /// Who callers are.
    pub identity: Arc<Identity>,
    /// How much each caller may ask.
    pub caller_quota: Arc<CallerQuota>,
    /// A bound on the log lines that strangers can cause.
    pub refusals_to_log: Throttle,
    /// How the process is.
    pub health: Arc<Health>,
    /// Networks whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// The longest that a request may take.
    pub request_timeout: Duration,
}

/// Routes of the public listener.
pub fn public(config: &mut web::ServiceConfig) {
    config
        .service(ops::healthz())
        .service(
            web::scope("/instances")
                .wrap(from_fn(caller_quota::count))
                .wrap(from_fn(authenticate::authenticate))
                .service(urls::resource())
                .default_service(web::to(not_found)),
        )
        .default_service(web::to(not_found));
}

/// Routes of the admin listener.
pub fn admin(config: &mut web::ServiceConfig) {
    config.service(ops::healthz()).service(ops::readyz()).service(ops::metrics()).default_service(web::to(not_found));
}

async fn not_found(context: context::Context) -> HttpResponse {
    problem::Problem::not_found().respond(&context)
}
