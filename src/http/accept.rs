//! Which representation a caller prefers: RFC 9110, section 12.5.1, over the two that exist.

use actix_web::http::header::{ACCEPT, HeaderMap};

use crate::domain::Network;

/// A representation of the URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `application/json`.
    Json,
    /// `text/plain`: one URL a line.
    Text,
}

impl Format {
    /// Which of the addresses that were asked for it has room for.
    pub(super) fn shows(self, network: Network) -> Network {
        match (self, network) {
            (Self::Text, Network::Both) => Network::Public,
            (_, network) => network,
        }
    }
}

/// Why no representation was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotChosen {
    /// The header is not a list of media ranges.
    Malformed,
    /// The header rules both out.
    NotAcceptable,
}

/// Quality in thousandths; RFC 9110 allows three decimals.
type Quality = u16;

/// How closely a range names a type; the closest range decides (section 12.5.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    Anything,
    Type,
    Exact,
}

/// The representation with the higher quality; JSON where they are equal or nothing is asked for.
pub(super) fn choose(headers: &HeaderMap) -> Result<Format, NotChosen> {
    let mut json = None;
    let mut text = None;
    let mut has_range = false;
    for value in headers.get_all(ACCEPT) {
        let value = value.to_str().map_err(|_| NotChosen::Malformed)?;
        for range in value.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            has_range = true;
            let (kind, quality) = media_range(range).ok_or(NotChosen::Malformed)?;
            consider(&mut json, closeness(&kind, "application", "json"), quality);
            consider(&mut text, closeness(&kind, "text", "plain"), quality);
        }
    }
    if !has_range {
        return Ok(Format::Json);
    }
    let json = json.map_or(0, |(_, quality)| quality);
    let text = text.map_or(0, |(_, quality)| quality);
    match (json, text) {
        (0, 0) => Err(NotChosen::NotAcceptable),
        (json, text) if text > json => Ok(Format::Text),
        _ => Ok(Format::Json),
    }
}

fn consider(best: &mut Option<(Closeness, Quality)>, closeness: Option<Closeness>, quality: Quality) {
    let Some(closeness) = closeness else { return };
    if best.is_none_or(|(known, known_quality)| (known, known_quality) < (closeness, quality)) {
        *best = Some((closeness, quality));
    }
}

fn closeness(range: &str, kind: &str, subtype: &str) -> Option<Closeness> {
    match range.split_once('/')? {
        ("*", "*") => Some(Closeness::Anything),
        (range_kind, "*") if range_kind == kind => Some(Closeness::Type),
        (range_kind, range_subtype) if range_kind == kind && range_subtype == subtype => Some(Closeness::Exact),
        _ => None,
    }
}

/// `type/subtype` in lower case with its quality. Other parameters narrow nothing that we have: `charset=utf-8` is
/// what we send, and a range that insists on anything else is served all the same, as section 12.5.1 permits.
fn media_range(text: &str) -> Option<(String, Quality)> {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next()?.to_ascii_lowercase();
    let (main, sub) = kind.split_once('/')?;
    if !is_token(main) || !is_token(sub) || (main == "*" && sub != "*") {
        return None;
    }
    let mut quality = 1000;
    for parameter in parts {
        let (name, value) = parameter.split_once('=')?;
        if name.eq_ignore_ascii_case("q") {
            quality = parse_quality(value)?;
        } else if !is_token(name) {
            return None;
        }
    }
    Some((kind, quality))
}

fn parse_quality(text: &str) -> Option<Quality> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: Quality = format!("{decimals:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    fn choice(values: &[&str]) -> Result<Format, NotChosen> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_str(value).unwrap());
        }
        choose(&headers)
    }

    #[test]
    fn preferences_are_read_as_the_rfc_says() {
        use Format::{Json, Text};
        use NotChosen::{Malformed, NotAcceptable};
        let table: &[(&[&str], Result<Format, NotChosen>)] = &[
            (&[], Ok(Json)),
            (&[""], Ok(Json)),
            (&["*/*"], Ok(Json)),
            (&["application/json"], Ok(Json)),
            (&["Application/JSON"], Ok(Json)),
            (&["application/*"], Ok(Json)),
            (&["text/plain"], Ok(Text)),
            (&["text/*"], Ok(Text)),
            (&["text/plain; charset=utf-8"], Ok(Text)),
            (&["text/html", "text/plain"], Ok(Text)),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Ok(Json)),
            (&["application/json;q=0.5, text/plain"], Ok(Text)),
            (&["application/json;q=0.5, text/plain;q=0.4"], Ok(Json)),
            (&["*/*, application/json;q=0"], Ok(Text)),
            (&["text/plain;q=0.1, */*"], Ok(Json)),
            (&["application/json;q=0, text/plain;q=0.0"], Err(NotAcceptable)),
            (&["application/xml"], Err(NotAcceptable)),
            (&["image/*"], Err(NotAcceptable)),
            (&["*/*;q=0"], Err(NotAcceptable)),
            (&["json"], Err(Malformed)),
            (&["*/json"], Err(Malformed)),
            (&["text/plain;q=2"], Err(Malformed)),
            (&["text/plain;q=0.1234"], Err(Malformed)),
            (&["text/plain;q"], Err(Malformed)),
            (&["text /plain"], Err(Malformed)),
        ];

        for (values, expected) in table {
            assert_eq!(choice(values), *expected, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(value in "[ -~]{0,80}") {
            let _ = choice(&[&value]);
        }
    }
}
