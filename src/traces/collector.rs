//! Where spans are sent (`log.otlp_endpoint`).
//!
//! A pure rule: nothing here resolves a name or opens a connection.

use std::{fmt, net::Ipv6Addr};

use awc::http::{Uri, uri::Scheme};

/// The address that batches of spans are posted to.
///
/// It is made of the collector's base URL by the rule of the OTLP exporter's specification: the path of the signal,
/// `/v1/traces`, is put behind it.
#[derive(Clone, PartialEq, Eq)]
pub struct CollectorUrl(Uri);

/// Why a text is not the base URL of a collector. It does not repeat the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCollectorUrl {
    /// It is not `http(s)://host[:port][/path]`.
    #[error("must be http://host[:port] or https://host[:port], without a user, a query or a fragment")]
    Form,
    /// TLS to an IPv6 address: the client cannot check a certificate against one.
    #[error("https needs a host name or an IPv4 address")]
    TlsToIpv6,
}

/// Where a collector takes spans.
const PATH: &str = "/v1/traces";

impl CollectorUrl {
    /// The address.
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl TryFrom<&str> for CollectorUrl {
    type Error = InvalidCollectorUrl;

    /// Plain `http` is taken to anywhere: collectors stand beside their senders, mostly without TLS, and what is sent
    /// there opens nothing.
    fn try_from(text: &str) -> Result<Self, InvalidCollectorUrl> {
        let base: Uri = text.parse().map_err(|_| InvalidCollectorUrl::Form)?;
        let (Some(scheme), Some(authority)) = (base.scheme(), base.authority()) else {
            return Err(InvalidCollectorUrl::Form);
        };
        let is_web = *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
        let is_bare = !authority.as_str().contains('@') && base.query().is_none() && !text.contains('#');
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let has_port = port.is_empty() || matches!(authority.port_u16(), Some(1..));
        if !is_web || !is_bare || !has_port || authority.host().is_empty() {
            return Err(InvalidCollectorUrl::Form);
        }
        let bare_host = authority.host().trim_matches(['[', ']']);
        if *scheme == Scheme::HTTPS && bare_host.parse::<Ipv6Addr>().is_ok() {
            return Err(InvalidCollectorUrl::TlsToIpv6);
        }
        let path = base.path().trim_end_matches('/');
        let path = path.strip_suffix(PATH).unwrap_or(path);
        let whole = format!("{scheme}://{authority}{path}{PATH}");
        whole.parse().map(Self).map_err(|_| InvalidCollectorUrl::Form)
    }
}

impl fmt::Display for CollectorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CollectorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CollectorUrl({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_signal_stands_behind_the_base() {
        for (base, whole) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://otel-collector.observability.svc:4318/", "http://otel-collector.observability.svc:4318/v1/traces"),
            ("https://collector.example/tenant-7/", "https://collector.example/tenant-7/v1/traces"),
            ("https://collector.example/v1/traces", "https://collector.example/v1/traces"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ] {
            assert_eq!(CollectorUrl::try_from(base).map(|url| url.to_string()).as_deref(), Ok(whole));
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for text in [
            "",
            "127.0.0.1:4318",
            "grpc://127.0.0.1:4317",
            "http://",
            "http:///v1/traces",
            "http://user:password@collector.example:4318",
            "http://collector.example:4318?key=1",
            "http://collector.example:4318/#a",
            "http://collector.example:0",
            "http://collector.example:",
            "http://collector.example:65536",
            "http://collector example",
        ] {
            assert_eq!(CollectorUrl::try_from(text), Err(InvalidCollectorUrl::Form), "{text}");
        }
        assert_eq!(CollectorUrl::try_from("https://[::1]:4318"), Err(InvalidCollectorUrl::TlsToIpv6));
    }
}
