//! `[auth]` and its issuers.

use std::{num::NonZeroU32, path::PathBuf, sync::Arc};

use crate::{
    config::field::{Field, Refused, all, refuse_repeats},
    identity::{Algorithm, FailureLimits, IssuerSettings, KeySetUrl, KeySource, Settings},
};

/// `failed_auth` is `[rate_limit.failed_auth]`, which stands beside the other limits but is about tokens.
pub(super) fn read(auth: &Field<'_>, failed_auth: &Field<'_>) -> Result<Settings, Refused> {
    let leeway = auth.at("leeway").duration();
    let max_token_life = auth.at("max_token_life").duration();
    let jwks_refresh = auth.at("jwks_refresh").duration();
    let jwks_cooldown = auth.at("jwks_cooldown").duration();
    let jwks_max_stale = auth.at("jwks_max_stale").duration();
    let revoked_file = auth.at("revoked_file").given().map(|file| file.path_to_file()).transpose();
    let issuers = auth.at("issuers").some_items().and_then(|items| {
        let issuers = all(items.iter().map(issuer));
        keep_apart(&items);
        issuers
    });
    let failed_auth = failure_limits(failed_auth);
    Ok(Settings {
        leeway: leeway?,
        max_token_life: max_token_life?,
        jwks_refresh: jwks_refresh?,
        jwks_cooldown: jwks_cooldown?,
        jwks_max_stale: jwks_max_stale?,
        revoked_file: revoked_file?,
        failed_auth: failed_auth?,
        issuers: issuers?,
    })
}

fn failure_limits(section: &Field<'_>) -> Result<FailureLimits, Refused> {
    let requests_per_second = section.at("requests_per_second").number();
    let burst = section.at("burst").number();
    // The table's bounds begin at one.
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Ok(FailureLimits { requests_per_second: at_least_one(requests_per_second?), burst: at_least_one(burst?) })
}

fn issuer(issuer: &Field<'_>) -> Result<IssuerSettings, Refused> {
    issuer.must_be_table()?;
    let name = issuer.at("name").parse(|text| is_name(text).then(|| Arc::from(text)));
    let prefix = issuer.at("prefix").parse(|text| is_printable(text, 0, 64).then(|| Arc::from(text)));
    let claim = issuer.at("issuer").parse(|text| is_printable(text, 1, 1024).then(|| text.to_owned()));
    let audiences = issuer.at("audiences").some_items().and_then(|items| {
        all(items.iter().map(|item| item.parse(|text| is_printable(text, 1, 1024).then(|| text.to_owned()))))
    });
    let keys = keys(issuer);
    let has_secret = matches!(keys, Ok(KeySource::Secret(_)));
    let algorithms = algorithms(&issuer.at("algorithms"), has_secret);
    let ca_file = of_fetches(issuer, "ca_file", &keys);
    let bearer_token_file = of_fetches(issuer, "bearer_token_file", &keys);
    let groups_claim = issuer.at("groups_claim").parse(claim_path);
    Ok(IssuerSettings {
        name: name?,
        prefix: prefix?,
        issuer: claim?,
        audiences: audiences?,
        algorithms: algorithms?,
        keys: keys?,
        ca_file: ca_file?,
        bearer_token_file: bearer_token_file?,
        groups_claim: groups_claim?,
    })
}

/// Keys come from one place: a URL, a file, a secret, or where discovery says.
fn keys(issuer: &Field<'_>) -> Result<KeySource, Refused> {
    let given: Vec<_> =
        ["jwks_url", "jwks_file", "hs256_secret_file"].into_iter().filter_map(|name| issuer.at(name).given()).collect();
    let Some((first, others)) = given.split_first() else { return discovery(issuer) };
    if let Some(other) = others.first() {
        let first = first.path().rsplit('.').next().unwrap_or_default();
        return Err(other.refuse(format!("must not stand beside {first}: keys come from one place")));
    }
    match first.path().rsplit('.').next() {
        Some("jwks_url") => first.parse(|text| KeySetUrl::try_from(text).ok()).map(KeySource::Url),
        Some("jwks_file") => first.path_to_file().map(KeySource::File),
        _ => first.path_to_file().map(KeySource::Secret),
    }
}

fn discovery(issuer: &Field<'_>) -> Result<KeySource, Refused> {
    let claim = issuer.at("issuer").written_text().unwrap_or_default();
    KeySetUrl::of_discovery(claim).map(KeySource::Discovery).map_err(|_| {
        issuer.refuse(
            "must say where its keys are, with jwks_url, jwks_file or hs256_secret_file: discovery needs an issuer that \
             is an https URL, or http on this machine",
        )
    })
}

/// A file that matters only where keys are fetched.
fn of_fetches(issuer: &Field<'_>, name: &str, keys: &Result<KeySource, Refused>) -> Result<Option<PathBuf>, Refused> {
    let Some(field) = issuer.at(name).given() else { return Ok(None) };
    if matches!(keys, Ok(KeySource::File(_) | KeySource::Secret(_))) {
        return Err(field.refuse("must stand beside jwks_url or discovery only: keys in a file are not fetched"));
    }
    field.path_to_file().map(Some)
}

/// An issuer with a secret signs with HS256 and nothing else, and no other issuer does: with both kinds beside each
/// other, a public key could be taken for a secret.
fn algorithms(field: &Field<'_>, has_secret: bool) -> Result<Vec<Algorithm>, Refused> {
    if has_secret && field.is_default() {
        return Ok(vec![Algorithm::Hs256]);
    }
    let items = field.some_items()?;
    all(items.iter().map(|item| algorithm(item, has_secret)))
}

fn algorithm(item: &Field<'_>, has_secret: bool) -> Result<Algorithm, Refused> {
    let name = item.text()?;
    let known = Algorithm::from_name(name);
    if has_secret {
        return known.filter(|algorithm| algorithm.is_symmetric()).ok_or_else(|| {
            item.refuse("must be HS256 and nothing beside it: the issuer's key is the secret of hs256_secret_file")
        });
    }
    if let Some(known) = known.filter(|algorithm| !algorithm.is_symmetric()) {
        return Ok(known);
    }
    if name.starts_with("HS") {
        let why = "whoever can check its signatures can make them; HS256 alone is possible, with hs256_secret_file";
        return Err(item.refuse(format!("must be asymmetric, not {name:?}: {why}")));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_path_is_split_at_its_dots() {
        assert_eq!(claim_path("realm_access.roles"), Some(vec!["realm_access".to_owned(), "roles".to_owned()]));
        assert_eq!(claim_path(""), Some(Vec::new()));
        assert_eq!(claim_path("a..b"), None);
        assert_eq!(claim_path(".a"), None);
    }
}
