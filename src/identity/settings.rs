//! What `[auth]` and `rate_limit.failed_auth` mean, valid by type.
//!
//! No value here is a secret: secrets stand in files that are named here and read where they are used.

use std::{net::IpAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use awc::http::Uri;

use super::Algorithm;

/// What `[auth]` says, and how many failures an address may have.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tolerated difference of clocks for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// The longest that a token may still be valid.
    pub max_token_life: Duration,
    /// The time between two refreshes of a key set in the background.
    pub jwks_refresh: Duration,
    /// The least time between fetches caused by unknown key ids.
    pub jwks_cooldown: Duration,
    /// How long a key set counts after it was last fetched.
    pub jwks_max_stale: Duration,
    /// The list of what is accepted no more.
    pub revoked_file: Option<PathBuf>,
    /// Failed authentications of one client address.
    pub failed_auth: FailureLimits,
    /// The issuers, in the order of the file; at least one.
    pub issuers: Vec<IssuerSettings>,
}

/// How many failed authentications of one client address are answered before its unknown tokens are turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimits {
    /// Failures a second in the long run.
    pub requests_per_second: NonZeroU32,
    /// Failures at once.
    pub burst: NonZeroU32,
}

/// One `[[auth.issuers]]`.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// Names the issuer in logs, audit and metrics; unique.
    pub name: Arc<str>,
    /// Stands before `sub` and groups in policies; unique, and no other prefix begins with it unless it is empty.
    pub prefix: Arc<str>,
    /// The exact value of `iss`.
    pub issuer: String,
    /// Accepted values of `aud`; at least one.
    pub audiences: Vec<String>,
    /// Accepted signature algorithms; at least one, and [`Algorithm::Hs256`] with [`KeySource::Secret`] alone.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys come from.
    pub keys: KeySource,
    /// Certificate authorities (PEM) trusted for this issuer beside the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// A token that is shown to the issuer when its keys are fetched, read again each time.
    pub bearer_token_file: Option<PathBuf>,
    /// The path of the claim that lists groups, split at the dots; empty where no claim is named.
    pub groups_claim: Vec<String>,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JWK set at a URL.
    Url(KeySetUrl),
    /// A JWK set wherever the discovery document at this URL says (OpenID Connect Discovery 1.0).
    Discovery(KeySetUrl),
    /// A file with a JWK set.
    File(PathBuf),
    /// A file with the one secret that the issuer shares with us, for HS256.
    Secret(PathBuf),
}

impl KeySource {
    /// Whether the keys lie on this machine's disk.
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(_) | Self::Secret(_))
    }
}

/// Where keys may be fetched: `https`, or `http` that stays on this machine, for they decide who is let in; without a
/// user and a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetUrl(String);

/// Why a text is not a URL that keys may come from. It does not repeat the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an https URL without a user; plain http only to loopback addresses")]
pub struct InvalidKeySetUrl;

/// OpenID Connect Discovery 1.0, section 4.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

impl KeySetUrl {
    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The discovery document of the issuer with this `iss`.
    ///
    /// # Errors
    ///
    /// Where `iss` is not a URL that keys may come from, or has a query.
    pub fn of_discovery(issuer: &str) -> Result<Self, InvalidKeySetUrl> {
        if issuer.contains('?') {
            return Err(InvalidKeySetUrl);
        }
        Self::try_from(format!("{}{WELL_KNOWN}", issuer.strip_suffix('/').unwrap_or(issuer)).as_str())
    }

    /// Whether both lead to the same host and port by the same scheme.
    pub fn has_same_origin(&self, other: &Self) -> bool {
        let origin = |url: &Self| {
            let url: Uri = url.0.parse().ok()?;
            let scheme = url.scheme_str()?.to_owned();
            let port = url.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
            Some((scheme, url.host()?.to_ascii_lowercase(), port))
        };
        origin(self).is_some_and(|one| Some(one) == origin(other))
    }
}

impl TryFrom<&str> for KeySetUrl {
    type Error = InvalidKeySetUrl;

    fn try_from(text: &str) -> Result<Self, InvalidKeySetUrl> {
        let url: Uri = text.parse().map_err(|_| InvalidKeySetUrl)?;
        let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(InvalidKeySetUrl);
        };
        if authority.as_str().contains('@') || authority.host().is_empty() || text.contains('#') {
            return Err(InvalidKeySetUrl);
        }
        match scheme {
            "https" => Ok(Self(text.to_owned())),
            "http" if is_loopback(authority.host()) => Ok(Self(text.to_owned())),
            _ => Err(InvalidKeySetUrl),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for url in [
            "https://sso.example.internal/jwks",
            "https://sso.example.internal:8443/jwks?v=1",
            "http://127.0.0.1:18081/jwks",
            "http://[::1]:18081/jwks",
            "http://localhost/jwks",
        ] {
            assert_eq!(KeySetUrl::try_from(url).as_ref().map(KeySetUrl::as_str), Ok(url));
        }
        for url in [
            "",
            "sso.example.internal/jwks",
            "/jwks",
            "ftp://127.0.0.1/jwks",
            "file:///etc/jwks",
            "http://sso.example.internal/jwks",
            "http://127.0.0.1.example.com/jwks",
            "http://localhost.example.com/jwks",
            "http://127.0.0.1@example.com/jwks",
            "https://user:password@sso.example.internal/jwks",
            "https:///jwks",
            "https://sso.example.internal/jwks#key",
            "https://sso.example.internal/a b",
        ] {
            assert_eq!(KeySetUrl::try_from(url), Err(InvalidKeySetUrl), "{url}");
        }
    }

    #[test]
    fn the_discovery_document_stands_below_the_issuer_with_or_without_its_last_slash() {
        let below = |issuer| KeySetUrl::of_discovery(issuer).map(|url| url.as_str().to_owned());

        let expected = "https://sso.example.internal/realms/a/.well-known/openid-configuration";
        assert_eq!(below("https://sso.example.internal/realms/a").as_deref(), Ok(expected));
        assert_eq!(below("https://sso.example.internal/realms/a/").as_deref(), Ok(expected));
        for issuer in ["sso", "http://sso.example.internal", "https://sso.example.internal?a=b", "https://a#b"] {
            assert_eq!(below(issuer), Err(InvalidKeySetUrl), "{issuer}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let url = |text| KeySetUrl::try_from(text).unwrap();
        let cluster = url("https://cluster.example.internal/.well-known/openid-configuration");

        assert!(cluster.has_same_origin(&url("https://Cluster.example.internal:443/openid/v1/jwks")));
        assert!(!cluster.has_same_origin(&url("https://cluster.example.internal:6443/openid/v1/jwks")));
        assert!(!cluster.has_same_origin(&url("https://cdn.example.internal/openid/v1/jwks")));
        assert!(!url("http://localhost/a").has_same_origin(&url("https://localhost:80/a")));
    }
}
