//! Where a request came from, as far as the proxies in between are trusted.
//!
//! A header that anybody can send is believed only from a peer that the operator named, and only up to the first
//! address that he did not.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR};
use ipnet::IpNet;

/// Why a client's address is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Forwarded and X-Forwarded-For must be readable up to the client's address, and agree where both are sent")]
pub(super) struct Uncertain;

/// The client's address. IPv4 in IPv6 clothes counts as IPv4, so that a policy needs one spelling.
///
/// # Errors
///
/// Where trusted proxies say two things, or nothing that can be read. Most of them write one of the two fields and pass the
/// other on as the client sent it, so that either could be a lie; the proxy's own address would be one, too.
pub(super) fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Result<IpAddr, Uncertain> {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return Ok(peer);
    }
    let forwarded = headers.contains_key(FORWARDED).then(|| elements(headers, FORWARDED).map(forwarded_for).collect());
    let x_forwarded_for =
        headers.contains_key(X_FORWARDED_FOR).then(|| elements(headers, X_FORWARDED_FOR).map(address).collect());
    let said = [forwarded, x_forwarded_for].into_iter().flatten().map(|hops: Vec<_>| walk(peer, &hops, trusted));
    let mut client = None;
    for said in said {
        let said = said.ok_or(Uncertain)?;
        if client.is_some_and(|known| known != said) {
            return Err(Uncertain);
        }
        client = Some(said);
    }
    Ok(client.unwrap_or(peer))
}

/// The first address, from the proxies' side, that is not one of theirs. Each proxy appends what it saw, so the list is
/// believed from its end.
fn walk(peer: IpAddr, hops: &[Option<IpAddr>], trusted: &[IpNet]) -> Option<IpAddr> {
    let mut client = peer;
    for hop in hops.iter().rev() {
        client = (*hop)?.to_canonical();
        if !is_trusted(client, trusted) {
            break;
        }
    }
    Some(client)
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).flat_map(|value| value.to_str().unwrap_or("").split(','))
}

/// The node of `for=` in one element of `Forwarded` (RFC 7239, section 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then(|| address(value.trim_matches('"')))?
    })
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(socket.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn seen_from(peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|text| text.parse().unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        client_ip(peer.parse().unwrap(), &map, &trusted).map_or("uncertain".to_owned(), |address| address.to_string())
    }

    #[test]
    fn a_stranger_cannot_say_who_he_is() {
        assert_eq!(seen_from("192.0.2.9", &[("x-forwarded-for", "10.1.1.1")]), "192.0.2.9");
        assert_eq!(seen_from("192.0.2.9", &[("forwarded", "for=10.1.1.1")]), "192.0.2.9");
    }

    #[test]
    fn a_trusted_proxy_is_believed_up_to_the_first_stranger() {
        let table: &[(&[(&'static str, &'static str)], &str)] = &[
            (&[], "10.0.0.1"),
            (&[("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
            (&[("x-forwarded-for", "203.0.113.7, 192.0.2.1")], "192.0.2.1"),
            (&[("x-forwarded-for", "203.0.113.7, 192.0.2.1, 10.2.2.2")], "192.0.2.1"),
            (&[("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
            (&[("x-forwarded-for", "192.0.2.1:4711")], "192.0.2.1"),
            (&[("x-forwarded-for", "::ffff:192.0.2.1")], "192.0.2.1"),
            (&[("x-forwarded-for", "192.0.2.1, nonsense")], "uncertain"),
            (&[("x-forwarded-for", "nonsense, 192.0.2.1")], "192.0.2.1"),
            (&[("forwarded", "for=\"[2001:db8::1]:4711\";proto=https, for=10.3.3.3")], "2001:db8::1"),
            (&[("forwarded", "For=192.0.2.1;by=10.0.0.1")], "192.0.2.1"),
            (&[("forwarded", "for=unknown")], "uncertain"),
            (&[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "203.0.113.7")], "uncertain"),
            (&[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
        ];

        for (headers, expected) in table {
            assert_eq!(seen_from("10.0.0.1", headers), *expected, "{headers:?}");
        }
    }
}
