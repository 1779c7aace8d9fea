//! A request of a known caller, read into types: what all resource routes take from path, query and headers.

use std::{net::IpAddr, rc::Rc, sync::Arc, time::Instant};

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderMap, HeaderName},
};
use utoipa::IntoParams;

use super::{client_ip::Uncertain, context::Context, edge::Edge, problem::Problem};
use crate::{
    broker::{Asker, BackupName, Broker},
    domain::{BackupId, Caller, InstanceId},
    policy::Principal,
};

const X_ACCESS_REASON: HeaderName = HeaderName::from_static("x-access-reason");

/// The longest `X-Access-Reason`, in characters.
const LONGEST_REASON: usize = 256;

/// The name of the newest backup in paths.
const LATEST: &str = "latest";

/// Digits of the largest file number; no backup has that many shards.
const LONGEST_FILE_NUMBER: usize = 6;

/// The instance in a path, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is read by the derived documentation alone")]
pub(super) struct InstancePath {
    /// The id of the instance.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", example = "crs-4y9t57vt")]
    instance_id: String,
}

/// The backup in a path, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is read by the derived documentation alone")]
pub(super) struct BackupPath {
    /// The id of the backup, or `latest` for the newest one in status `normal`.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$", example = "678362566696298532848117")]
    backup_id: String,
}

/// The file in a path, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is read by the derived documentation alone")]
pub(super) struct FilePath {
    /// The number of the file, counted from 1.
    #[param(minimum = 1, maximum = 999999, example = 1)]
    n: u32,
}

/// A request that got past the gate. How it is answered stands in `settle`.
pub(super) struct Incoming {
    pub(super) edge: Rc<Edge>,
    pub(super) context: Context,
    /// The caller. The reason that he gives is there once the request is [understood](Self::understand).
    pub(super) asker: Rc<Asker>,
    client: Result<IpAddr, Uncertain>,
}

impl Incoming {
    /// A request of `caller`. Fails on nothing: whoever is here can be told and written down. It came from `client` by
    /// way of `peer`, and its answer is due at `deadline`.
    pub(super) fn new(
        edge: Rc<Edge>,
        context: Context,
        caller: Arc<Caller>,
        (client, peer): (Result<IpAddr, Uncertain>, IpAddr),
        deadline: Instant,
    ) -> Self {
        let asker = Rc::new(Asker {
            principal: Principal::new(&caller),
            caller,
            client_ip: client.unwrap_or(peer),
            reason: None,
            request_id: context.request_id.clone(),
            trace_id: context.trace_id,
            trace: context.trace.clone(),
            deadline,
        });
        Self { edge, context, asker, client }
    }

    /// What all workers share.
    pub(super) fn broker(&self) -> &Arc<Broker> {
        self.edge.worker.broker()
    }

    /// Reads the reason that the caller gives, and then what `read` makes of the rest.
    pub(super) fn understand<T>(
        &mut self,
        request: &HttpRequest,
        read: impl FnOnce(&Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.client.map_err(|error| Problem::invalid_request(error.to_string()))?;
        if let Some(reason) = access_reason(request.headers())? {
            Rc::make_mut(&mut self.asker).reason = Some(reason);
        }
        read(self)
    }
}

/// The instance in a path.
pub(super) fn instance_id(text: &str) -> Result<InstanceId, Problem> {
    InstanceId::try_from(text).map_err(|error| Problem::invalid_request(error.to_string()))
}

/// The backup in a path: its id, or `latest`.
pub(super) fn backup_name(text: &str) -> Result<BackupName, Problem> {
    match text {
        LATEST => Ok(BackupName::Latest),
        text => match BackupId::try_from(text) {
            Ok(backup) => Ok(BackupName::Id(backup)),
            Err(error) => Err(Problem::invalid_request(error.to_string())),
        },
    }
}

/// The number of a file in a path.
pub(super) fn file_number(text: &str) -> Result<u32, Problem> {
    let is_number = text.len() <= LONGEST_FILE_NUMBER && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number && !text.starts_with('0'));
    number.ok_or_else(|| Problem::invalid_request("n must match [1-9][0-9]{0,5}: the first file is 1"))
}

/// `X-Access-Reason`: at most 256 printable characters, given at most once. The empty one says as much as none.
fn access_reason(headers: &HeaderMap) -> Result<Option<Arc<str>>, Problem> {
    let mut values = headers.get_all(X_ACCESS_REASON);
    let Some(value) = values.next() else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).ok();
    let is_fit = |text: &&str| text.chars().count() <= LONGEST_REASON && !text.chars().any(char::is_control);
    match (text.filter(is_fit), values.next()) {
        (Some(text), None) => Ok((!text.is_empty()).then(|| Arc::from(text))),
        _ => Err(Problem::invalid_request("header X-Access-Reason must be 0 to 256 printable characters, given once")),
    }
}

/// Whether `no-cache` stands among the directives of `Cache-Control` (RFC 9111, section 5.2.1.4).
pub(super) fn wants_fresh(headers: &HeaderMap) -> bool {
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
        let reason = |values: &[&[u8]]| {
            access_reason(&headers(&X_ACCESS_REASON, values))
                .ok()
                .map(|reason| reason.as_deref().unwrap_or("").to_owned())
        };

        assert_eq!(reason(&[]).as_deref(), Some(""));
        assert_eq!(reason(&[b""]).as_deref(), Some(""));
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

    #[test]
    fn a_file_number_counts_from_one_and_has_one_spelling() {
        let number = |text| file_number(text).ok();

        assert_eq!(number("1"), Some(1));
        assert_eq!(number("999999"), Some(999_999));
        for text in ["", "0", "01", "-1", "+1", "1.0", "1000000", "one", "1 ", "١"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }

    #[test]
    fn latest_is_a_name_and_not_an_id() {
        let name = |text| backup_name(text).ok();

        assert_eq!(name("latest"), Some(BackupName::Latest));
        assert_eq!(name("LATEST"), BackupId::try_from("LATEST").ok().map(BackupName::Id));
        assert_eq!(name("../latest"), None);
    }
}
