//! `GET /instances/{instance_id}/backups/{backup_id}/urls`.

use std::rc::Rc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName, HeaderValue},
};

use super::{
    accept::{self, Format},
    cache_status::cache_status,
    query::UrlsQuery,
    render,
    request::{BackupPath, Incoming, InstancePath, backup_name, instance_id, wants_fresh},
};
use crate::{
    broker::{Ask, UrlsAnswer},
    domain::{Action, Network},
};

/// `Cache-Status` (RFC 9211).
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What carries a signed URL is for the one who asked, and to be kept by nobody.
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");

/// Get the download URLs of a backup
///
/// One entry for each file, in the vendor's order. `Accept: text/plain` gives one URL a line, for `xargs`: the public
/// ones, or those of `network`.
#[utoipa::path(
    get,
    path = "/instances/{instance_id}/backups/{backup_id}/urls",
    operation_id = "read_backup_urls",
    tag = "Download",
    params(InstancePath, BackupPath, UrlsQuery),
    responses((
        status = 200,
        description = "the URLs; they are bearer secrets",
        content(
            (render::Body<'_> = "application/json", example = json!({
                "instance_id": "crs-4y9t57vt",
                "backup_id": "678362566696298532848117",
                "region": "ap-chengdu",
                "files": [{
                    "name": "crs-4y9t57vt-ignore-1-ignore.rdb",
                    "size_bytes": 1048576,
                    "download_url": "https://redis-backup.example.com/crs-4y9t57vt-ignore-1-ignore.rdb?sign=q-sign-algorithm",
                    "inner_download_url": "https://redis-backup.example.com/crs-4y9t57vt-ignore-1-ignore.rdb?sign=q-sign-algorithm"
                }],
                "expires_at": "2019-03-07T16:02:03Z",
                "fetched_at": "2019-03-07T10:01:03Z",
                "upstream_request_id": "f1b5aabe-806a-4886-b839-9907baa24c85"
            })),
            (String = "text/plain", example = json!("https://redis-backup.example.com/crs-4y9t57vt-ignore-1-ignore.rdb?sign=q-sign-algorithm\n")),
        ),
    )),
    security(("bearer" = [])),
)]
pub(super) async fn urls(request: &HttpRequest, incoming: &mut Incoming, instance: &str, backup: &str) -> HttpResponse {
    let understood = incoming.understand(request, |incoming| {
        let (instance, backup) = (instance_id(instance)?, backup_name(backup)?);
        let query = UrlsQuery::parse(request.query_string(), incoming.broker())?;
        let format = accept::choose(request.headers(), &Format::ALL)?;
        let network = query.network.unwrap_or(Network::Both);
        let ask = Ask {
            asker: Rc::clone(&incoming.asker),
            instance,
            backup,
            region: query.region,
            network,
            shown: format.shows(network),
            wants_fresh: wants_fresh(request.headers()),
        };
        Ok((ask, format))
    });
    let (ask, format) = match understood {
        Ok(understood) => understood,
        Err(problem) => return incoming.refuse(&problem).await,
    };
    let settled = incoming.edge.worker.urls(&ask).await;
    incoming.conclude(Action::ReadBackupUrls, settled, |answer| respond(answer, format, ask.shown)).await
}

fn respond(answer: &UrlsAnswer, format: Format, network: Network) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, format.content_type()))
        .insert_header((header::CACHE_CONTROL, NO_STORE))
        .insert_header((header::VARY, HeaderValue::from_static("Accept")))
        .insert_header((CACHE_STATUS, cache_status(answer.source, answer.ttl_seconds)))
        .body(render::body(&answer.entry, format, network))
}
