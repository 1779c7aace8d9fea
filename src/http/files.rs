//! `GET /instances/{instance_id}/backups/{backup_id}/files/{n}`: the way to one file, so that `curl -LO` downloads it.

use std::rc::Rc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    cache_status::cache_status,
    query::UrlsQuery,
    request::{BackupPath, FilePath, Incoming, InstancePath, backup_name, file_number, instance_id, wants_fresh},
    urls::{CACHE_STATUS, NO_STORE},
};
use crate::{
    broker::{Ask, FileAnswer},
    domain::{Action, Network},
};

/// Download one file of a backup
///
/// A redirect to the file's URL, so that `curl -LO` downloads it. `Accept` has no say here: what comes back has no body.
/// Scripts in a browser cannot follow it, for the storage lets no page read its answers; links can, but carry no token.
#[utoipa::path(
    get,
    path = "/instances/{instance_id}/backups/{backup_id}/files/{n}",
    operation_id = "download_backup_file",
    tag = "Download",
    params(InstancePath, BackupPath, FilePath, UrlsQuery),
    responses((status = 302, description = "the file is at `Location`, which is a bearer secret")),
    security(("bearer" = [])),
)]
pub(super) async fn file(
    request: &HttpRequest,
    incoming: &mut Incoming,
    instance: &str,
    backup: &str,
    n: &str,
) -> HttpResponse {
    let understood = incoming.understand(request, |incoming| {
        let (instance, backup, n) = (instance_id(instance)?, backup_name(backup)?, file_number(n)?);
        let query = UrlsQuery::parse(request.query_string(), incoming.broker())?;
        let network = query.network.unwrap_or(Network::Public);
        let ask = Ask {
            asker: Rc::clone(&incoming.asker),
            instance,
            backup,
            region: query.region,
            network,
            shown: network,
            wants_fresh: wants_fresh(request.headers()),
        };
        Ok((ask, n))
    });
    let (ask, n) = match understood {
        Ok(understood) => understood,
        Err(problem) => return incoming.refuse(&problem).await,
    };
    let settled = incoming.edge.worker.file(&ask, n).await;
    incoming.conclude(Action::ReadBackupUrls, settled, respond).await
}

fn respond(answer: &FileAnswer) -> HttpResponse {
    HttpResponse::Found()
        .insert_header((header::LOCATION, location(&answer.url)))
        .insert_header((header::CACHE_CONTROL, NO_STORE))
        .insert_header((CACHE_STATUS, cache_status(answer.source, answer.ttl_seconds)))
        .finish()
}

/// The URL byte for byte, in a header that does not print itself.
fn location(url: &SecretString) -> HeaderValue {
    let mut value = HeaderValue::from_bytes(url.expose_secret().as_bytes())
        .expect("a signed URL holds no control character, so it can stand in a header");
    value.set_sensitive(true);
    value
}
