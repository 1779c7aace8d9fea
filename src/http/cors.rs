//! Which web pages may use the API from a browser: those of the origins that the operator lists, and no other.
//!
//! An origin is compared to the byte; there are no wildcards. Nothing here lets anybody in: a page still needs a token,
//! which browsers add to no request by themselves, and cookies mean nothing here.

use std::{fmt, sync::Arc};

use actix_web::{
    HttpResponse,
    dev::ServiceRequest,
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
};

/// What `[cors]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The origins whose pages may use the API.
    pub allowed_origins: Vec<Origin>,
}

/// An origin as browsers write it (RFC 6454, section 6.2): scheme, host, and the port where it is not the scheme's own.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// Why a text is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an origin as browsers write it")]
pub struct InvalidOrigin;

/// The origins in force; clones share them.
#[derive(Clone, Debug)]
pub struct Cors(Arc<[Origin]>);

/// What a page of another origin may send. Everything else that a page may send without asking, it may send.
const ALLOW_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Cache-Control, Traceparent, X-Access-Reason, X-Request-Id");

const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// What a page of another origin may read beside what it may read anyway.
const EXPOSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "Allow, Cache-Status, Content-Security-Policy, RateLimit, RateLimit-Policy, Referrer-Policy, Retry-After, \
     WWW-Authenticate, X-Content-Type-Options, X-Request-Id",
);

/// How long a browser need not ask again, in seconds: an hour, so that a change of the list is felt the same day.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

impl Cors {
    /// The origins that the settings name.
    pub fn new(settings: &Settings) -> Self {
        Self(settings.allowed_origins.clone().into())
    }

    /// The answer to a preflight of an origin that is allowed; a browser sends no token with it. Any other `OPTIONS` is
    /// a method like another.
    pub(super) fn preflight(&self, request: &ServiceRequest) -> Option<HttpResponse> {
        let is_preflight = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight || self.allowed(request.headers()).is_none() {
            return None;
        }
        let answer = HttpResponse::build(StatusCode::NO_CONTENT)
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE))
            .insert_header((header::VARY, "Access-Control-Request-Method, Access-Control-Request-Headers"))
            .finish();
        Some(answer)
    }

    /// The origin of the request where it is allowed.
    pub(super) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let mut origins = headers.get_all(header::ORIGIN);
        let (Some(origin), None) = (origins.next(), origins.next()) else { return None };
        self.0.iter().find(|allowed| allowed.0 == *origin).map(|allowed| allowed.0.clone())
    }

    /// Lets the page of an allowed origin read an answer, whatever it says. Where origins are listed, every answer
    /// depends on the origin, and says so to caches.
    pub(super) fn grant(&self, origin: Option<HeaderValue>, answer: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
        }
    }
}

impl TryFrom<&str> for Origin {
    type Error = InvalidOrigin;

    fn try_from(text: &str) -> Result<Self, InvalidOrigin> {
        let (own_port, rest) = match text.split_once("://") {
            Some(("https", rest)) => ("443", rest),
            Some(("http", rest)) => ("80", rest),
            _ => return Err(InvalidOrigin),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !rest.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let is_port = |port: &str| {
            port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port) && port != own_port
        };
        if !is_host(host) || !port.is_none_or(is_port) {
            return Err(InvalidOrigin);
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| InvalidOrigin)
    }
}

/// A name or an address in the one form that browsers use.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse::<std::net::Ipv6Addr>().ok());
        return address.is_some_and(|address| format!("[{address}]") == host);
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    host.split('.').all(is_label)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const DASHBOARD: &str = "https://dashboard.example.internal";

    fn cors(origins: &[&str]) -> Cors {
        let allowed_origins = origins.iter().map(|origin| Origin::try_from(*origin).unwrap()).collect();
        Cors::new(&Settings { allowed_origins })
    }

    #[test]
    fn an_origin_has_the_one_form_that_browsers_send() {
        for text in [
            DASHBOARD,
            "https://dashboard.example.internal:8443",
            "http://localhost:3000",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
            "https://xn--bcher-kva.example",
        ] {
            assert_eq!(Origin::try_from(text).map(|origin| origin.to_string()).as_deref(), Ok(text));
        }
        for text in [
            "",
            "*",
            "null",
            "dashboard.example.internal",
            "https://*.example.internal",
            "https://dashboard.example.internal/",
            "https://dashboard.example.internal:443",
            "http://dashboard.example.internal:80",
            "https://dashboard.example.internal:08443",
            "https://dashboard.example.internal:",
            "https://dashboard.example.internal:0",
            "https://Dashboard.example.internal",
            "HTTPS://dashboard.example.internal",
            "https://user@dashboard.example.internal",
            "https://dashboard..internal",
            "https://bücher.example",
            "https://[::0001]",
            "ftp://dashboard.example.internal",
            "https://a b",
            "https://",
        ] {
            assert_eq!(Origin::try_from(text), Err(InvalidOrigin), "{text:?}");
        }
    }

    #[test]
    fn origins_are_compared_to_the_byte_and_one_at_a_time() {
        let cors = cors(&[DASHBOARD]);
        let allowed = |origins: &[&str]| {
            let request = origins
                .iter()
                .fold(TestRequest::default(), |request, origin| request.append_header((header::ORIGIN, *origin)));
            cors.allowed(request.to_srv_request().headers()).is_some()
        };

        assert!(allowed(&[DASHBOARD]));
        for origin in [
            "https://dashboard.example.internal.evil.example",
            "https://dashboard.example.internal:443",
            "http://dashboard.example.internal",
            "https://DASHBOARD.example.internal",
            "https://evil.example",
            "null",
            "*",
            "",
        ] {
            assert!(!allowed(&[origin]), "{origin}");
        }
        assert!(!allowed(&[]));
        assert!(!allowed(&[DASHBOARD, DASHBOARD]));
    }

    #[test]
    fn only_a_preflight_of_an_allowed_origin_is_answered_here() {
        let cors = cors(&[DASHBOARD]);
        let preflight = |method: Method, headers: &[(&str, &str)]| {
            let request = headers
                .iter()
                .fold(TestRequest::default().method(method), |request, header| request.append_header(*header));
            cors.preflight(&request.to_srv_request()).map(|answer| answer.status().as_u16())
        };
        let (origin, wants) = (("origin", DASHBOARD), ("access-control-request-method", "GET"));

        assert_eq!(preflight(Method::OPTIONS, &[origin, wants]), Some(204));
        assert_eq!(preflight(Method::OPTIONS, &[origin]), None);
        assert_eq!(preflight(Method::OPTIONS, &[wants]), None);
        assert_eq!(preflight(Method::OPTIONS, &[("origin", "https://evil.example"), wants]), None);
        assert_eq!(preflight(Method::GET, &[origin, wants]), None);
    }

    #[test]
    fn without_a_list_no_answer_speaks_of_origins() {
        let mut headers = HeaderMap::new();

        cors(&[]).grant(None, &mut headers);

        assert!(headers.is_empty());
    }
}
