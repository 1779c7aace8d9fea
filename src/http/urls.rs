//! `GET /instances/{instance_id}/backups/{backup_id}/urls`.

use std::{rc::Rc, sync::Arc};

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse, Resource,
    http::header::{self, HeaderMap, HeaderName},
    web,
};

use super::{
    Edge,
    accept::{self, Format, NotChosen},
    authenticate::Authenticated,
    cache_status::cache_status,
    client_ip::client_ip,
    context::Context,
    ops::only_get,
    problem::Problem,
    query::UrlsQuery,
    render,
};
use crate::{
    audit::Record,
    broker::{Ask, Asker, Broker, Failure, UrlsAnswer},
    domain::{BackupId, InstanceId, Network},
    metrics::{Metrics, Scope},
    policy::Principal,
    tencent::error::CallError,
};

const X_ACCESS_REASON: HeaderName = HeaderName::from_static("x-access-reason");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The longest `X-Access-Reason`, in characters.
const LONGEST_REASON: usize = 256;

pub(super) fn resource() -> Resource {
    web::resource("/{instance_id}/backups/{backup_id}/urls")
        .route(web::get().to(urls))
        .route(web::head().to(urls))
        .default_service(web::to(only_get))
}

async fn urls(request: HttpRequest, context: Context) -> HttpResponse {
    let edge = Rc::clone(request.app_data::<Rc<Edge>>().expect("the server gives every app its edge"));
    let broker = edge.worker.broker();
    let mut asker = asker(&request, &edge, &context);
    let parsed = access_reason(request.headers()).and_then(|reason| {
        asker.reason = reason;
        Ok((parse_ask(&request, broker, asker.clone())?, parse_accept(request.headers())?))
    });
    let (ask, format) = match parsed {
        Ok(parsed) => parsed,
        Err(problem) => {
            return settle(broker, broker.record_of_error(&asker), problem.respond(&context), &context).await;
        }
    };
    let (outcome, record) = edge.worker.urls(&ask).await.into_parts();
    let answer = match outcome {
        Ok(answer) => respond(&answer, format, ask.network),
        Err(failure) => {
            count_rejection(broker.metrics(), &failure);
            tracing::info!(
                request_id = context.request_id.as_str(),
                trace_id = context.trace_id.as_deref(),
                error = %failure,
                "a request was answered without URLs"
            );
            Problem::from(&failure).respond(&context)
        }
    };
    settle(broker, record, answer, &context).await
}

fn count_rejection(metrics: &Metrics, failure: &Failure) {
    match failure {
        Failure::QuotaExhausted(_) => metrics.rejection(Scope::Upstream),
        Failure::Upstream(error) if matches!(**error, CallError::CircuitOpen(_)) => metrics.rejection(Scope::Circuit),
        _ => {}
    }
}

/// The answer, once its record is written; else a 503, and nothing of the answer leaves.
async fn settle(broker: &Broker, record: Record, answer: HttpResponse, context: &Context) -> HttpResponse {
    match broker.settle(record, answer.status().as_u16()).await {
        Ok(()) => answer,
        Err(error) => {
            tracing::error!(request_id = context.request_id.as_str(), %error, "an answer was withheld");
            Problem::from(error).respond(context)
        }
    }
}

fn respond(answer: &UrlsAnswer, format: Format, network: Network) -> HttpResponse {
    let content_type = match format {
        Format::Json => "application/json",
        Format::Text => "text/plain; charset=utf-8",
    };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type))
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .insert_header((header::VARY, "Accept"))
        .insert_header((CACHE_STATUS, cache_status(answer.source, answer.ttl_seconds)))
        .body(render::body(&answer.entry.value, format, network))
}

fn asker(request: &HttpRequest, edge: &Edge, context: &Context) -> Asker {
    let caller = request.extensions().get::<Authenticated>().map(|caller| Arc::clone(&caller.0));
    let caller = caller.expect("the gate lets nobody in without a caller");
    let peer = request.peer_addr().map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    Asker {
        principal: Principal::new(&caller),
        caller,
        client_ip: client_ip(peer, request.headers(), &edge.trusted_proxies),
        reason: Arc::from(""),
        request_id: context.request_id.clone(),
        trace_id: context.trace_id.clone(),
        deadline: edge.worker.broker().clock().monotonic() + edge.request_timeout,
    }
}

fn parse_ask(request: &HttpRequest, broker: &Broker, asker: Asker) -> Result<Ask, Problem> {
    let path = request.match_info();
    let instance = InstanceId::try_from(path.get("instance_id").unwrap_or_default());
    let backup = BackupId::try_from(path.get("backup_id").unwrap_or_default());
    let query = UrlsQuery::parse(request.query_string(), broker)?;
    Ok(Ask {
        asker,
        instance: instance.map_err(|error| Problem::invalid_request(error.to_string()))?,
        backup: backup.map_err(|error| Problem::invalid_request(error.to_string()))?,
        region: query.region,
        network: query.network,
        wants_fresh: wants_fresh(request.headers()),
    })
}

fn parse_accept(headers: &HeaderMap) -> Result<Format, Problem> {
    accept::choose(headers).map_err(|error| match error {
        NotChosen::Malformed => Problem::invalid_request("header Accept is not a list of media ranges"),
        NotChosen::NotAcceptable => Problem::not_acceptable(),
    })
}

/// `X-Access-Reason`: at most 256 printable characters, given at most once.
fn access_reason(headers: &HeaderMap) -> Result<Arc<str>, Problem> {
    let mut values = headers.get_all(X_ACCESS_REASON);
    let Some(value) = values.next() else { return Ok(Arc::from("")) };
    let text = std::str::from_utf8(value.as_bytes()).ok();
    let is_fit = |text: &&str| text.chars().count() <= LONGEST_REASON && !text.chars().any(char::is_control);
    match (text.filter(is_fit), values.next()) {
        (Some(text), None) => Ok(Arc::from(text)),
        _ => Err(Problem::invalid_request("header X-Access-Reason must be 0 to 256 printable characters, given once")),
    }
}

/// Whether `no-cache` stands among the directives of `Cache-Control` (RFC 9111, section 5.2.1.4).
fn wants_fresh(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CACHE_CONTROL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn headers(name: &HeaderName, values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn an_access_reason_is_printable_bounded_and_single() {
        let reason = |values: &[&[u8]]| access_reason(&headers(&X_ACCESS_REASON, values)).ok();

        assert_eq!(reason(&[]).as_deref(), Some(""));
        assert_eq!(reason(&[b"INC-4711 restore test"]).as_deref(), Some("INC-4711 restore test"));
        assert_eq!(reason(&["Störung".as_bytes()]).as_deref(), Some("Störung"));
        assert_eq!(reason(&["ö".repeat(256).as_bytes()]).as_deref(), Some("ö".repeat(256).as_str()));
        assert_eq!(reason(&["ö".repeat(257).as_bytes()]), None);
        assert_eq!(reason(&[b"a\tb"]), None);
        assert_eq!(reason(&[b"\xff"]), None);
        assert_eq!(reason(&[b"one", b"two"]), None);
    }

    #[test]
    fn no_cache_is_found_among_other_directives() {
        let wants = |values: &[&[u8]]| wants_fresh(&headers(&header::CACHE_CONTROL, values));

        assert!(wants(&[b"no-cache"]));
        assert!(wants(&[b"max-age=0, No-Cache"]));
        assert!(wants(&[b"max-age=0", b"no-cache"]));
        assert!(!wants(&[]));
        assert!(!wants(&[b"no-store"]));
    }
}
