//! Which representation a caller prefers: RFC 9110, section 12.5.1, over the two that exist.

use actix_web::http::header::{ACCEPT, HeaderMap, HeaderValue};

use super::problem::Problem;
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
enum NotChosen {
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

impl Format {
    /// All of them, the preferred one first.
    pub(super) const ALL: [Self; 2] = [Self::Json, Self::Text];

    /// The header's value.
    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        })
    }

    /// Type and subtype, for a message and for a match.
    fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => ("application", "json"),
            Self::Text => ("text", "plain"),
        }
    }
}

/// The representation among those on offer that the caller prefers; the first where he has no preference.
///
/// # Errors
///
/// 400 where the header is not a list of media ranges, 406 where it rules out all that is on offer.
pub(super) fn choose(headers: &HeaderMap, offer: &[Format]) -> Result<Format, Problem> {
    preferred(headers, offer).map_err(|error| match error {
        NotChosen::Malformed => Problem::invalid_request("header Accept is not a list of media ranges"),
        NotChosen::NotAcceptable => {
            let types: Vec<_> = offer.iter().map(|format| format.media_type()).collect();
            let types: Vec<_> = types.iter().map(|(kind, subtype)| format!("{kind}/{subtype}")).collect();
            Problem::not_acceptable(&types.join(" and "))
        }
    })
}

fn preferred(headers: &HeaderMap, offer: &[Format]) -> Result<Format, NotChosen> {
    if !headers.contains_key(ACCEPT) {
        return offer.first().copied().ok_or(NotChosen::NotAcceptable);
    }
    let mut qualities: Vec<_> = offer.iter().map(|format| (*format, None)).collect();
    let mut has_range = false;
    for value in headers.get_all(ACCEPT) {
        let value = value.to_str().map_err(|_| NotChosen::Malformed)?;
        for range in split_unquoted(value, ',').map(str::trim).filter(|range| !range.is_empty()) {
            has_range = true;
            let (range, quality) = media_range(range).ok_or(NotChosen::Malformed)?;
            for (format, best) in &mut qualities {
                let (kind, subtype) = format.media_type();
                consider(best, closeness(&range, kind, subtype), quality);
            }
        }
    }
    if !has_range {
        return offer.first().copied().ok_or(NotChosen::NotAcceptable);
    }
    let acceptable = qualities.into_iter().filter_map(|(format, best)| Some((format, best?.1)));
    let best =
        acceptable.filter(|(_, quality)| *quality > 0).reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(format, _)| format).ok_or(NotChosen::NotAcceptable)
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
    let mut parts = split_unquoted(text, ';').map(str::trim);
    let kind = parts.next()?.to_ascii_lowercase();
    let (main, sub) = kind.split_once('/')?;
    if !is_token(main) || !is_token(sub) || (main == "*" && sub != "*") {
        return None;
    }
    let mut quality = 1000;
    // A list of parameters may have empty places (section 5.6.6).
    for parameter in parts.filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=')?;
        if name.eq_ignore_ascii_case("q") {
            quality = parse_quality(value)?;
        } else if !is_token(name) || !(is_token(value) || is_quoted(value)) {
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

/// The parts between separators that stand in no quoted string.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return character == separator && !is_quoted,
        }
        false
    })
}

fn is_quoted(text: &str) -> bool {
    text.len() >= 2 && text.starts_with('"') && text.ends_with('"')
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
        preferred(&headers, &Format::ALL)
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
            (&["text/plain;"], Ok(Text)),
            (&["application/json;; q=0.1 ;, text/plain"], Ok(Text)),
            (&["text/plain;title=\"a,b;q=2\""], Ok(Text)),
            (&["text/plain;title=\"a\\\",b\", image/png"], Ok(Text)),
            (&["text/plain;title=a b"], Err(Malformed)),
            (&["text/plain;title=\"a"], Err(Malformed)),
        ];

        for (values, expected) in table {
            assert_eq!(choice(values), *expected, "{values:?}");
        }
    }

    #[test]
    fn what_is_not_on_offer_is_not_chosen() {
        let choose = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(value));
            preferred(&headers, &[Format::Json])
        };

        assert_eq!(choose("text/plain, application/json;q=0.1"), Ok(Format::Json));
        assert_eq!(choose("text/plain"), Err(NotChosen::NotAcceptable));
        assert_eq!(choose("*/*"), Ok(Format::Json));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(value in "[ -~]{0,80}") {
            let _ = choice(&[&value]);
        }
    }
}
