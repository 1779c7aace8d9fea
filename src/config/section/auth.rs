//! `[auth]` and its issuers.

use std::{net::IpAddr, sync::Arc};

use awc::http::Uri;

use crate::{
    config::field::{Field, Refused, all, refuse_repeats},
    identity::{Algorithm, IssuerSettings, KeySource, Settings},
};

pub(super) fn read(auth: &Field<'_>) -> Result<Settings, Refused> {
    let leeway = auth.at("leeway").duration();
    let max_token_life = auth.at("max_token_life").duration();
    let jwks_refresh = auth.at("jwks_refresh").duration();
    let jwks_cooldown = auth.at("jwks_cooldown").duration();
    let issuers = auth.at("issuers").some_items().and_then(|items| {
        let issuers = all(items.iter().map(issuer));
        keep_apart(&items);
        issuers
    });
    Ok(Settings {
        leeway: leeway?,
        max_token_life: max_token_life?,
        jwks_refresh: jwks_refresh?,
        jwks_cooldown: jwks_cooldown?,
        issuers: issuers?,
    })
}

fn issuer(issuer: &Field<'_>) -> Result<IssuerSettings, Refused> {
    issuer.must_be_table()?;
    let name = issuer.at("name").parse(|text| is_name(text).then(|| Arc::from(text)));
    let prefix = issuer.at("prefix").parse(|text| is_printable(text, 0, 64).then(|| Arc::from(text)));
    let claim = issuer.at("issuer").parse(|text| is_printable(text, 1, 1024).then(|| text.to_owned()));
    let audiences = issuer.at("audiences").some_items().and_then(|items| {
        all(items.iter().map(|item| item.parse(|text| is_printable(text, 1, 1024).then(|| text.to_owned()))))
    });
    let algorithms =
        issuer.at("algorithms").some_items().and_then(|items| all(items.iter().map(|item| algorithm(item))));
    let keys = keys(issuer);
    let groups_claim = issuer.at("groups_claim").parse(claim_path);
    Ok(IssuerSettings {
        name: name?,
        prefix: prefix?,
        issuer: claim?,
        audiences: audiences?,
        algorithms: algorithms?,
        keys: keys?,
        groups_claim: groups_claim?,
    })
}

fn keys(issuer: &Field<'_>) -> Result<KeySource, Refused> {
    let url = issuer.at("jwks_url").given();
    let file = issuer.at("jwks_file").given();
    match (url, file) {
        (Some(url), None) => url.parse(|text| is_key_set_url(text).then(|| KeySource::Url(text.to_owned()))),
        (None, Some(file)) => file.path_to_file().map(KeySource::File),
        (Some(_), Some(file)) => Err(file.refuse("must not stand beside jwks_url: keys come from one place")),
        (None, None) => Err(issuer.refuse("must say where its keys are, with jwks_url or jwks_file")),
    }
}

fn algorithm(item: &Field<'_>) -> Result<Algorithm, Refused> {
    let name = item.text()?;
    if let Some(known) = Algorithm::ALL.into_iter().find(|known| known.as_str() == name) {
        return Ok(known);
    }
    if name.starts_with("HS") {
        return Err(
            item.refuse(format!("must be asymmetric, not {name:?}: whoever can check its signatures can make them"))
        );
    }
    item.parse(|_| None)
}

/// Two issuers must never mean the same user. Prefixes that only differ would not do: `"ci"` before `"-bob"` is what
/// `"ci-"` before `"bob"` is.
fn keep_apart(issuers: &[Field<'_>]) {
    let column = |name| -> Vec<Field<'_>> { issuers.iter().map(|issuer| issuer.at(name)).collect() };
    refuse_repeats(&column("name"));
    refuse_repeats(&column("issuer"));
    let prefixes = column("prefix");
    refuse_repeats(&prefixes);
    for field in &prefixes {
        let Some(longer) = field.written_text() else { continue };
        let shorter = prefixes.iter().find(|other| {
            other.written_text().is_some_and(|text| !text.is_empty() && text != longer && longer.starts_with(text))
        });
        if let Some(shorter) = shorter {
            field.refuse(format!(
                "must not begin with the prefix of {}, or their users could be mixed up",
                shorter.path()
            ));
        }
    }
}

fn is_name(text: &str) -> bool {
    let lower_or_digit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 32
        && text.bytes().next().is_some_and(lower_or_digit)
        && text.bytes().all(|byte| lower_or_digit(byte) || matches!(byte, b'_' | b'-'))
}

fn is_printable(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && !text.chars().any(|each| each.is_control() || each.is_whitespace())
}

/// `realm_access.roles` → its two names; an empty path has none.
fn claim_path(text: &str) -> Option<Vec<String>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split('.').map(|name| is_printable(name, 1, 128).then(|| name.to_owned())).collect()
}

/// Keys decide who is let in, so the way to them must be proof against a stranger on the network: `https`, or `http`
/// that stays on this machine. A password in it would end in logs.
fn is_key_set_url(text: &str) -> bool {
    let Ok(url) = text.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else { return false };
    if authority.as_str().contains('@') || authority.host().is_empty() || text.contains('#') {
        return false;
    }
    scheme == "https" || (scheme == "http" && is_loopback(authority.host()))
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
            assert!(is_key_set_url(url), "{url}");
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
            assert!(!is_key_set_url(url), "{url}");
        }
    }

    #[test]
    fn a_claim_path_is_split_at_its_dots() {
        assert_eq!(claim_path("realm_access.roles"), Some(vec!["realm_access".to_owned(), "roles".to_owned()]));
        assert_eq!(claim_path(""), Some(Vec::new()));
        assert_eq!(claim_path("a..b"), None);
        assert_eq!(claim_path(".a"), None);
    }
}
