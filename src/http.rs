//! The edge: HTTP in, HTTP out. The only place that knows headers and status codes.
//!
//! Strings are parsed here, once, and errors become problem documents here; nothing below formats an answer.

mod accept;
mod authenticate;
mod backups;
mod cache_status;
mod caller_quota;
mod client_ip;
mod context;
mod conversation;
pub mod cors;
mod docs;
mod edge;
mod files;
mod gate;
mod instances;
mod lease;
mod lines;
mod lists;
mod newcomers;
pub mod openapi;
pub mod ops;
mod outermost;
mod problem;
mod query;
mod render;
mod request;
mod settle;
mod spans;
mod strict;
mod target;
mod trace_headers;
mod unanswered;
mod urls;

use actix_web::{HttpResponse, web};

pub use caller_quota::ratelimit_policy;
pub use conversation::{Conversation, Turn};
pub use edge::Edge;
pub use lease::Lease;
pub use lines::Lines;
pub use ops::Health;
pub use outermost::outermost;
pub use render::kept_body;
pub use strict::LONGEST_UNANSWERED;

/// The whole answer to plain HTTP on a port that speaks HTTPS, in the one language that such a client understands.
pub const PLAIN_ON_TLS: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\
    Content-Length: 24\r\n\r\nThis port speaks HTTPS.\n";

/// The whole answer to a head that is too large to be read to its end.
pub const HEAD_TOO_LARGE: &str =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The whole answer to a head that takes too long, in the parser's place.
pub const HEAD_TOO_SLOW: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Routes of the public listener. Those of the resources are not among them: the [outermost layer](outermost()) leads
/// them to their gate.
pub fn public(config: &mut web::ServiceConfig) {
    config.service(ops::healthz());
    for resource in docs::resources() {
        config.service(resource);
    }
    config.default_service(web::to(not_found));
}

/// Routes of the admin listener.
pub fn admin(config: &mut web::ServiceConfig) {
    config.service(ops::healthz()).service(ops::readyz()).service(ops::metrics()).default_service(web::to(not_found));
}

async fn not_found(context: context::Context) -> HttpResponse {
    problem::Problem::not_found().respond(&context)
}
