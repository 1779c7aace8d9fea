//! The metrics that every request touches, resolved to their atomics.

use std::{borrow::Cow, sync::OnceLock, time::Duration};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

/// The routes of the public listener, as a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The download URLs of a backup.
    Urls,
    /// One file of a backup.
    File,
    /// The backups of an instance.
    Backups,
    /// The instances.
    Instances,
    /// The OpenAPI document.
    OpenApi,
    /// The page to read it.
    Docs,
    /// Liveness.
    Healthz,
    /// The front page.
    Root,
    /// Anything else.
    Unmatched,
}

/// The methods, as a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `OPTIONS`.
    Options,
    /// Any other.
    Other,
}

/// Statuses that have a handle of their own; the rest is rare enough to be looked up by name.
const STATUSES: [u16; 20] =
    [200, 302, 303, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409, 413, 429, 500, 502, 503, 504, 501];

type ByStatus = [OnceLock<IntCounter>; STATUSES.len()];

/// Requests by route, method and status, and what they took by route.
pub struct HttpMetrics {
    requests: IntCounterVec,
    resolved: [[ByStatus; Method::ALL.len()]; Route::ALL.len()],
    durations: [Histogram; Route::ALL.len()],
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Urls,
        Self::File,
        Self::Backups,
        Self::Instances,
        Self::OpenApi,
        Self::Docs,
        Self::Healthz,
        Self::Root,
        Self::Unmatched,
    ];

    /// The route of a path. Only its shape is looked at, so that a request that is refused before it is routed counts
    /// where it was going.
    pub fn of(path: &str) -> Self {
        let mut segments = path.as_bytes().split(|byte| *byte == b'/').skip(1);
        let (first, rest) = (segments.next(), (segments.next(), segments.next(), segments.next(), segments.next()));
        match (first, rest, segments.next()) {
            (Some(b"instances"), (None, ..), _) => Self::Instances,
            (Some(b"instances"), (Some(_), Some(b"backups"), None, _), _) => Self::Backups,
            (Some(b"instances"), (Some(_), Some(b"backups"), Some(_), Some(b"urls")), None) => Self::Urls,
            (Some(b"instances"), (Some(_), Some(b"backups"), Some(_), Some(b"files")), Some(_))
                if segments.next().is_none() =>
            {
                Self::File
            }
            (Some(b""), (None, ..), _) => Self::Root,
            (Some(b"healthz"), (None, ..), _) => Self::Healthz,
            (Some(b"openapi.json"), (None, ..), _) => Self::OpenApi,
            (Some(b"docs"), ..) => Self::Docs,
            _ => Self::Unmatched,
        }
    }

    /// The label: the route's template.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urls => "/instances/{instance_id}/backups/{backup_id}/urls",
            Self::File => "/instances/{instance_id}/backups/{backup_id}/files/{n}",
            Self::Backups => "/instances/{instance_id}/backups",
            Self::Instances => "/instances",
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
            Self::Healthz => "/healthz",
            Self::Root => "/",
            Self::Unmatched => "unmatched",
        }
    }
}

impl Route {
    /// What a `GET` is answered with, there from the start: the first of a series that was not there before is lost to
    /// `increase`, and the first 5xx is what an alert waits for. Other methods and statuses come when they come.
    fn usual_statuses(self) -> &'static [u16] {
        match self {
            Self::Urls | Self::Backups | Self::Instances => {
                &[200, 400, 401, 403, 404, 406, 409, 429, 500, 502, 503, 504]
            }
            Self::File => &[302, 400, 401, 403, 404, 406, 409, 429, 500, 502, 503, 504],
            Self::OpenApi | Self::Docs | Self::Healthz => &[200],
            Self::Root => &[303],
            Self::Unmatched => &[404],
        }
    }
}

impl Method {
    const ALL: [Self; 4] = [Self::Get, Self::Head, Self::Options, Self::Other];

    /// The method of that name.
    pub fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Other => "other",
        }
    }

    /// The method as spans name it: one that is not known is `_OTHER` there.
    pub fn semantic_name(self) -> &'static str {
        match self {
            Self::Other => "_OTHER",
            known => known.as_str(),
        }
    }
}

impl HttpMetrics {
    pub(super) fn new(requests: IntCounterVec, durations: &HistogramVec) -> Self {
        let metrics = Self {
            requests,
            resolved: Default::default(),
            durations: Route::ALL.map(|route| durations.with_label_values(&[route.as_str()])),
        };
        for route in Route::ALL {
            for status in route.usual_statuses() {
                metrics.requests(route, Method::Get, *status);
            }
        }
        metrics
    }

    /// Counts one answer and what it took.
    pub fn answered(&self, route: Route, method: Method, status: u16, took: Duration) {
        self.requests(route, method, status).inc();
        self.durations[route as usize].observe(took.as_secs_f64());
    }

    fn requests(&self, route: Route, method: Method, status: u16) -> Cow<'_, IntCounter> {
        let resolve =
            || self.requests.with_label_values(&[route.as_str(), method.as_str(), status.to_string().as_str()]);
        match STATUSES.iter().position(|known| *known == status) {
            Some(at) => Cow::Borrowed(self.resolved[route as usize][method as usize][at].get_or_init(resolve)),
            None => Cow::Owned(resolve()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_counted_by_its_shape() {
        let table = [
            ("/instances/i/backups/b/urls", Route::Urls),
            ("/instances/i/backups/b/urls/", Route::Unmatched),
            ("/instances/i/backups/b/urlsx", Route::Unmatched),
            ("/instances/i/backups/b/files/1", Route::File),
            ("/instances/i/backups/b/files/1/2", Route::Unmatched),
            ("/instances/i/backups/b/files", Route::Unmatched),
            ("/instances/i/backups", Route::Backups),
            ("/instances/i/backups/b", Route::Unmatched),
            ("/instances/i", Route::Unmatched),
            ("/instances", Route::Instances),
            ("/instances/", Route::Unmatched),
            ("/healthz", Route::Healthz),
            ("/readyz", Route::Unmatched),
            ("/metrics", Route::Unmatched),
            ("/", Route::Root),
            ("/docs", Route::Docs),
            ("/docs/x.js", Route::Docs),
            ("/openapi.json", Route::OpenApi),
            ("", Route::Unmatched),
            ("*", Route::Unmatched),
            ("/anything/else", Route::Unmatched),
        ];

        for (path, route) in table {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn every_route_and_method_stands_at_its_own_index() {
        for (at, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, at);
        }
        for (at, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, at);
        }
    }
}
