//! `GET /instances/{instance_id}/backups/{backup_id}/urls`.

use actix_web::{
    HttpRequest, HttpResponse, Resource,
    http::header::{self, HeaderName},
    web,
};

use super::{
    accept::{self, Format},
    cache_status::cache_status,
    context::Context,
    ops::only_get,
    query::UrlsQuery,
    render,
    request::{Incoming, backup_name, instance_id, wants_fresh},
};
use crate::{
    broker::{Ask, UrlsAnswer},
    domain::{Action, Network},
};

/// `Cache-Status` (RFC 9211).
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

pub(super) fn resource() -> Resource {
    web::resource("/{instance_id}/backups/{backup_id}/urls")
        .route(web::get().to(urls))
        .route(web::head().to(urls))
        .default_service(web::to(only_get))
}

async fn urls(request: HttpRequest, context: Context) -> HttpResponse {
    let mut incoming = Incoming::of(&request, context);
    let understood = incoming.understand(&request, |incoming| {
        let (instance, backup) = (instance_id(&request)?, backup_name(&request)?);
        let query = UrlsQuery::parse(request.query_string(), incoming.broker())?;
        let format = accept::choose(request.headers(), &Format::ALL)?;
        let ask = Ask {
            asker: incoming.asker.clone(),
            instance,
            backup,
            region: query.region,
            network: query.network.unwrap_or(Network::Both),
            wants_fresh: wants_fresh(request.headers()),
        };
        Ok((ask, format))
    });
    let (ask, format) = match understood {
        Ok(understood) => understood,
        Err(problem) => return incoming.refuse(&problem).await,
    };
    let settled = incoming.edge.worker.urls(&ask).await;
    incoming.conclude(Action::ReadBackupUrls, settled, |answer| respond(answer, format, ask.network)).await
}

fn respond(answer: &UrlsAnswer, format: Format, network: Network) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, format.content_type()))
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .insert_header((header::VARY, "Accept"))
        .insert_header((CACHE_STATUS, cache_status(answer.source, answer.ttl_seconds)))
        .body(render::body(&answer.entry.value, format, network))
}
