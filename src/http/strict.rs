//! What the parser lets pass and we do not: messages that two readers on the way could understand differently, and
//! messages that are larger than any that means well.
//!
//! The parser below (actix-http) has refused the rest: two `Host` fields or none, two lengths, a length beside
//! `Transfer-Encoding`, codings other than `chunked`. What is read of a head at all is bounded beneath it.

use actix_web::{
    HttpResponse,
    dev::ServiceRequest,
    http::{StatusCode, header},
};

use super::{context::Context, problem::Problem};

/// The longest request target. The longest that means something has some 400 bytes.
const LONGEST_TARGET: usize = 8 << 10;

/// The largest header section: a token of 8 KiB and what proxies add have room in it twice.
const LARGEST_HEAD_BYTES: usize = 32 << 10;

/// The most that is read of a client before it is answered: the largest head that is looked at, with its method, its
/// version and a scheme.
pub const LONGEST_UNANSWERED: usize = LONGEST_TARGET + LARGEST_HEAD_BYTES + (1 << 10);

/// What a field costs beside its name and its value on the wire.
const FIELD_SYNTAX_BYTES: usize = ": \r\n".len();

/// The answer to a message that is not looked at any further. Its connection is closed: where it ends is in doubt.
pub(super) fn refuse(request: &ServiceRequest, context: &Context) -> Option<HttpResponse> {
    if head_bytes(request) > LARGEST_HEAD_BYTES {
        return Some(HttpResponse::build(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).force_close().finish());
    }
    let detail = if target_length(request) > LONGEST_TARGET {
        format!("the request target is longer than {LONGEST_TARGET} bytes")
    } else if !is_host(request) {
        "header Host must be a host with or without a port, and the one in the request target where there is one".into()
    } else {
        return None;
    };
    let mut answer = Problem::invalid_request(detail).respond(context);
    answer.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    Some(answer)
}

/// Whether the message says that a body follows. None is wanted, and none is read.
pub(super) fn has_body(request: &ServiceRequest) -> bool {
    let headers = request.headers();
    let has_length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    has_length || headers.contains_key(header::TRANSFER_ENCODING)
}

fn head_bytes(request: &ServiceRequest) -> usize {
    let fields = request.headers().iter();
    fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_SYNTAX_BYTES).sum()
}

fn target_length(request: &ServiceRequest) -> usize {
    let uri = request.uri();
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    authority + uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// Whether `Host` is one (RFC 9112, section 3.2). A client that sends an absolute target repeats its host there; one
/// that does not lets a proxy and us disagree on who was meant.
fn is_host(request: &ServiceRequest) -> bool {
    let Some(host) = request.headers().get(header::HOST) else {
        // Only HTTP/1.0 has come here without.
        return request.uri().authority().is_none();
    };
    let is_well_formed = std::str::from_utf8(host.as_bytes()).is_ok_and(is_host_and_port);
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    is_well_formed && authority.is_none_or(|authority| authority.eq_ignore_ascii_case(host.as_bytes()))
}

fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, port),
        _ => (text, "0"),
    };
    let host_is_good = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            (1..=255).contains(&host.len())
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    host_is_good && (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for text in ["gateway", "gateway.example.internal", "gateway:8080", "127.0.0.1:80", "[::1]", "[::1]:8080"] {
            assert!(is_host_and_port(text), "{text}");
        }
        for text in [
            "", ":", ":80", "a:", "a:b", "a:123456", "a b", "a/b", "a@b", "a,b", "[::1", "::1", "[x]", "a\tb", "ä",
            "a:80:80",
        ] {
            assert!(!is_host_and_port(text), "{text:?}");
        }
        assert!(!is_host_and_port(&"a".repeat(256)));
    }
}
