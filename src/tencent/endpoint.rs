//! Which host answers for which region.
//!
//! A pure rule: nothing here resolves a name or opens a connection.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use awc::http::Uri;

use crate::domain::Region;

/// The metadata service of the vendor's servers. Its answers stay between a server and the machine that it runs on.
pub const METADATA: &str = "http://metadata.tencentyun.com";

/// An endpoint: `https://host[:port]`, or `http://` on a loopback address.
///
/// It is kept in one form (lower-case host, no default port), so that two spellings of an endpoint are one key of the
/// quota.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint(Arc<str>);

/// Why a text is not an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// It is not `https://host[:port]`.
    #[error("must be https://host[:port], without a path, a query or a user")]
    Form,
    /// Plain `http` to somewhere else than this machine.
    #[error("plain http is accepted for loopback addresses only")]
    PlainHttp,
    /// Something that hands out keys, and is not the vendor's metadata service.
    #[error("must be http://metadata.tencentyun.com, or http on a loopback address")]
    NotMetadata,
    /// TLS to an IPv6 address: the client cannot check a certificate against one.
    #[error("https needs a host name or an IPv4 address")]
    TlsToIpv6,
}

/// The endpoint of every region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// For every region without a rule of its own (`tencent.endpoint`).
    pub default: Endpoint,
    /// `[tencent.endpoints]`: region by region.
    pub by_region: BTreeMap<Region, Endpoint>,
}

impl Endpoints {
    /// The endpoint that is called for `region`: the operator's own rule; else for a financial zone its own host, for
    /// the vendor isolates those; else the default.
    pub fn of(&self, region: &Region) -> Endpoint {
        if let Some(endpoint) = self.by_region.get(region) {
            return endpoint.clone();
        }
        if region.is_financial() {
            return Endpoint(format!("https://redis.{region}.tencentcloudapi.com").into());
        }
        self.default.clone()
    }
}

impl Endpoint {
    /// The vendor's token service, for an account of the Chinese site.
    pub fn sts() -> Self {
        Self("https://sts.tencentcloudapi.com".into())
    }

    /// The vendor's metadata service, the one plain http address off this machine that is called.
    pub fn metadata() -> Self {
        Self(METADATA.into())
    }

    /// A metadata service: the vendor's, or a stand-in for it on a loopback address.
    ///
    /// # Errors
    ///
    /// For anything else: whoever answers there decides with which key the gateway signs.
    pub fn try_metadata(text: &str) -> Result<Self, InvalidEndpoint> {
        if text == METADATA {
            return Ok(Self::metadata());
        }
        let endpoint = Self::try_from(text).map_err(|_| InvalidEndpoint::NotMetadata)?;
        if endpoint.0.starts_with("http://") { Ok(endpoint) } else { Err(InvalidEndpoint::NotMetadata) }
    }

    /// `scheme://host[:port]`, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of `Host`, which is signed: the host, and the port where it is not the scheme's own.
    pub fn host_header(&self) -> &str {
        self.0.split_once("://").map_or(&self.0, |(_, host)| host)
    }

    /// The address of the API: the endpoint and the path `/`.
    pub fn uri(&self) -> Uri {
        Uri::try_from(&*self.0).expect("an endpoint consists of a scheme, a host and a port")
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = InvalidEndpoint;

    fn try_from(text: &str) -> Result<Self, InvalidEndpoint> {
        let (scheme, authority) = text.split_once("://").ok_or(InvalidEndpoint::Form)?;
        let default_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(InvalidEndpoint::Form),
        };
        let (host, port) = split_port(authority).ok_or(InvalidEndpoint::Form)?;
        let host = Host::parse(host).ok_or(InvalidEndpoint::Form)?;
        match (scheme, &host) {
            ("http", host) if !host.is_loopback() => return Err(InvalidEndpoint::PlainHttp),
            ("https", Host::V6(_)) => return Err(InvalidEndpoint::TlsToIpv6),
            _ => {}
        }
        let endpoint = match port.filter(|port| *port != default_port) {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        };
        Ok(Self(endpoint.into()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.0)
    }
}

enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return inside.parse().ok().map(Self::V6);
        }
        if let Ok(address) = text.parse() {
            return Some(Self::V4(address));
        }
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        (text.len() <= 253 && text.split('.').all(is_label)).then(|| Self::Name(text.to_ascii_lowercase()))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::V4(address) => address.is_loopback(),
            Self::V6(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Splits `host[:port]`; `None` where there is a colon and no port from 1 to 65535 behind it.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_host = authority.find(']').map_or(0, |end| end + 1);
    let Some(colon) = authority[after_host..].find(':') else {
        return Some((authority, None));
    };
    let (host, port) = authority.split_at(after_host + colon);
    let digits = &port[1..];
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match digits.parse() {
        Ok(0) | Err(_) => None,
        Ok(port) => Some((host, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::try_from(text).unwrap()
    }

    fn region(text: &str) -> Region {
        Region::try_from(text).unwrap()
    }

    #[test]
    fn an_endpoint_is_kept_in_one_form() {
        for (written, kept, host) in [
            ("https://redis.tencentcloudapi.com", "https://redis.tencentcloudapi.com", "redis.tencentcloudapi.com"),
            ("https://Redis.TencentCloudApi.com:443", "https://redis.tencentcloudapi.com", "redis.tencentcloudapi.com"),
            ("https://gate.example:8443", "https://gate.example:8443", "gate.example:8443"),
            ("https://10.0.0.1", "https://10.0.0.1", "10.0.0.1"),
            ("https://h.example:80", "https://h.example:80", "h.example:80"),
            ("http://127.0.0.1:18080", "http://127.0.0.1:18080", "127.0.0.1:18080"),
            ("http://127.9.9.9:80", "http://127.9.9.9", "127.9.9.9"),
            ("http://[::1]:8080", "http://[::1]:8080", "[::1]:8080"),
            ("http://[0:0::1]", "http://[::1]", "[::1]"),
            ("http://localhost:8080", "http://localhost:8080", "localhost:8080"),
        ] {
            let endpoint = endpoint(written);

            assert_eq!(endpoint.as_str(), kept);
            assert_eq!(endpoint.host_header(), host, "{written}");
            assert_eq!(endpoint.uri().to_string(), format!("{kept}/"));
        }
    }

    #[test]
    fn what_is_not_a_bare_origin_is_refused() {
        for text in [
            "",
            "redis.tencentcloudapi.com",
            "https://",
            "https:///",
            "ftp://h.example",
            "HTTPS://h.example",
            "https://h.example/",
            "https://h.example/path",
            "https://h.example?query",
            "https://h.example#part",
            "https://user@h.example",
            "https://user:word@h.example",
            "https://h.example:",
            "https://h.example:0",
            "https://h.example:65536",
            "https://h.example:+80",
            "https://h.example:80:80",
            "https://h..example",
            "https://h.example.",
            "https://-h.example",
            "https://h_x.example",
            "https://h .example",
            "https://h.example\r\nx",
            "https://bücher.example",
            "https://[::1",
            "https://[::1]x",
            "http://[::1%25lo]",
        ] {
            assert_eq!(Endpoint::try_from(text), Err(InvalidEndpoint::Form), "{text:?}");
        }
    }

    #[test]
    fn plain_http_goes_no_further_than_this_machine() {
        for text in [
            "http://redis.tencentcloudapi.com",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "http://127.1",
            "http://[::2]",
            "http://localhost.example",
            "http://169.254.0.23",
        ] {
            assert_eq!(Endpoint::try_from(text), Err(InvalidEndpoint::PlainHttp), "{text:?}");
        }
    }

    #[test]
    fn keys_come_from_the_vendors_metadata_service_or_from_this_machine() {
        for text in ["http://metadata.tencentyun.com", "http://127.0.0.1:18085", "http://[::1]"] {
            assert_eq!(Endpoint::try_metadata(text).unwrap().as_str(), text);
        }
        for text in [
            "",
            "http://metadata.tencentyun.com:80",
            "http://metadata.tencentyun.com/",
            "https://metadata.tencentyun.com",
            "http://metadata.tencentyun.com.example",
            "http://169.254.169.254",
            "https://keys.example",
        ] {
            assert_eq!(Endpoint::try_metadata(text), Err(InvalidEndpoint::NotMetadata), "{text:?}");
        }
    }

    #[test]
    fn a_certificate_cannot_be_checked_against_an_ipv6_address() {
        assert_eq!(Endpoint::try_from("https://[::1]:8443"), Err(InvalidEndpoint::TlsToIpv6));
    }

    #[test]
    fn the_operators_rule_comes_first_then_the_financial_zones_host_then_the_default() {
        let default = endpoint("https://redis.intl.tencentcloudapi.com");
        let endpoints = Endpoints {
            default: default.clone(),
            by_region: BTreeMap::from([
                (region("ap-chengdu"), endpoint("https://redis.ap-chengdu.tencentcloudapi.com")),
                (region("ap-shenzhen-fsi"), endpoint("https://proxy.example:8443")),
            ]),
        };

        assert_eq!(endpoints.of(&region("ap-guangzhou")), default);
        assert_eq!(endpoints.of(&region("ap-chengdu")).host_header(), "redis.ap-chengdu.tencentcloudapi.com");
        assert_eq!(endpoints.of(&region("ap-shenzhen-fsi")).host_header(), "proxy.example:8443");
        assert_eq!(
            endpoints.of(&region("ap-shanghai-fsi")),
            endpoint("https://redis.ap-shanghai-fsi.tencentcloudapi.com")
        );
    }

    proptest! {
        #[test]
        fn every_accepted_text_makes_an_address_and_is_stable(text in "https?://[\\[\\]a-z0-9.:@/%-]{0,30}|\\PC{0,30}") {
            if let Ok(endpoint) = Endpoint::try_from(text.as_str()) {
                prop_assert!(endpoint.uri().path() == "/");
                prop_assert_eq!(Endpoint::try_from(endpoint.as_str()), Ok(endpoint));
            }
        }

        #[test]
        fn the_host_of_any_financial_zone_makes_an_address(place in "[a-z]{1,56}") {
            let region = region(&format!("ap-{place}-fsi"));
            let endpoints = Endpoints { default: endpoint("https://h.example"), by_region: BTreeMap::new() };
            prop_assert!(endpoints.of(&region).uri().path() == "/");
        }
    }
}
