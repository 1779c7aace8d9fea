//! From what was written to what it means, section by section.
//!
//! A reader asks for all of its keys before it gives up on any, so that every mistake is noted.

mod auth;
mod rules;
mod server;
mod shared;
mod tencent;

use super::{
    Config,
    field::{Field, Refused},
    problem::Notes,
    raw::Table,
};

/// Reads all sections.
pub(super) fn read(root: &Table, notes: &Notes) -> Result<Config, Refused> {
    let at = |name| Field::section(root, name, notes);
    let server = server::read(&at("server"));
    let cors = rules::cors(&at("cors"));
    let auth = auth::read(&at("auth"), &at("rate_limit").at("failed_auth"));
    let policy = rules::policy(&at("policy"));
    let tencent = tencent::read(&at("tencent"));
    let rate_limit = rules::rate_limit(&at("rate_limit"));
    let per_caller = rules::per_caller(&at("rate_limit").at("per_caller"));
    let cache = rules::cache(&at("cache"));
    let shared = shared::read(&at("shared"));
    let audit = rules::audit(&at("audit"));
    let log = rules::log(&at("log"));
    let otlp = rules::otlp(&at("log"));
    if let (Ok(server), Ok(Some(shared))) = (&server, &shared) {
        shared::leave_time(shared, server.request_timeout, &at("shared"));
    }
    Ok(Config {
        server: server?,
        cors: cors?,
        auth: auth?,
        policy: policy?,
        tencent: tencent?,
        rate_limit: rate_limit?,
        per_caller: per_caller?,
        cache: cache?,
        shared: shared?,
        audit: audit?,
        log: log?,
        otlp: otlp?,
    })
}
