//! The edge: HTTP in, HTTP out. The only place that knows headers and status codes.
//!
//! Strings are parsed here, once, and errors become problem documents here; nothing below formats an answer.

mod accept;
mod authenticate;
mod cache_status;
mod client_ip;
mod context;
mod log_budget;
pub mod ops;
mod outermost;
mod problem;
mod query;
mod render;
mod urls;

use std::{rc::Rc, sync::Arc, time::Duration};

use actix_web::{HttpResponse, middleware::from_fn, web};
use ipnet::IpNet;

pub use log_budget::LogBudget;
pub use ops::Health;
pub use outermost::outermost;

use crate::{broker::Worker, identity::Identity};

/// What the public listener's handlers need, one a worker.
pub struct Edge {
    /// The way to the URLs.
    pub worker: Rc<Worker>,
    /// Who callers are.
    pub identity: Arc<Identity>,
    /// How the process is.
    pub health: Arc<Health>,
    /// Networks whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// The longest that a request may take.
    pub request_timeout: Duration,
    /// How many refusals of strangers are logged.
    pub refusals_log: LogBudget,
}

/// Routes of the public listener.
pub fn public(config: &mut web::ServiceConfig) {
    config
        .service(ops::healthz())
        .service(
            web::scope("/instances")
                .wrap(from_fn(authenticate::authenticate))
                .service(urls::resource())
                .default_service(web::to(not_found)),
        )
        .default_service(web::to(not_found));
}

/// Routes of the admin listener.
pub fn admin(config: &mut web::ServiceConfig) {
    config.service(ops::healthz()).service(ops::readyz()).default_service(web::to(not_found));
}

async fn not_found(context: context::Context) -> HttpResponse {
    problem::Problem::not_found().respond(&context)
}
