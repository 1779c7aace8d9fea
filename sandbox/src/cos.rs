//! Pre-signed URLs of the object storage: makes them, and checks them when somebody comes to download.
//!
//! Pure. HMAC-SHA1 as in the official COS SDK for Python 1.9.44 (`cos_auth.py`); the vectors come from it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY};

use crate::settings::UrlForm;
use crate::text::{hex, percent_decode, percent_encode};

/// The key of the bucket's owner. It is the provider's, never one of the API's; fake like all here.
const OWNER_ID: &str = "AKIDSANDBOXcosOWNER00000000000000001";
const OWNER_KEY: &str = "SANDBOXcosSecretKey0000000000001";
/// What `x-cos-security-token` says where one comes along.
pub(crate) const SECURITY_TOKEN: &str = "SANDBOXcosToken/with+chars==";

/// What a URL allows: `GET` of one object, for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant<'a> {
    /// The path of the object, decoded, with its leading slash.
    pub(crate) path: &'a str,
    /// `q-sign-time`, seconds since 1970.
    pub(crate) sign_time: (i64, i64),
    /// `q-key-time`, seconds since 1970.
    pub(crate) key_time: (i64, i64),
    /// The host, where it is signed.
    pub(crate) host: Option<&'a str>,
    /// Whether the security token comes along.
    pub(crate) with_token: bool,
}

/// The query of a pre-signed URL, without `?`; empty for an unsigned one.
pub(crate) fn query(grant: &Grant<'_>, form: UrlForm) -> String {
    let span = |(start, end): (i64, i64)| format!("{start};{end}");
    let (sign_time, key_time) = (span(grant.sign_time), span(grant.key_time));
    let (header_list, headers) = match grant.host {
        Some(host) => ("host", format!("host={}", percent_encode(host))),
        None => ("", String::new()),
    };
    let signature = signature(OWNER_KEY, &key_time, &sign_time, &http_string("get", grant.path, "", &headers));
    let join = |separator: &str| {
        let (sign_time, key_time) = (sign_time.replace(';', separator), key_time.replace(';', separator));
        format!(
            "q-sign-algorithm=sha1&q-ak={OWNER_ID}&q-sign-time={sign_time}&q-key-time={key_time}\
             &q-header-list={header_list}&q-url-param-list=&q-signature={signature}"
        )
    };
    let mut query = match form {
        UrlForm::Sign => format!("sign={}", percent_encode(&join(";"))),
        UrlForm::Parameters => join("%3B"),
        UrlForm::BareSemicolon => join(";"),
        UrlForm::Unsigned => return String::new(),
    };
    if grant.with_token {
        query.push_str(&format!("&x-cos-security-token={}", percent_encode(SECURITY_TOKEN)));
    }
    query
}

/// Why a download is refused: always a 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// No signature, or one that cannot be read.
    NotSigned,
    /// Its time is over, or has not come.
    Expired,
    /// It was made with a key that nobody knows.
    UnknownKey,
    /// It was made for something else.
    Mismatch,
}

/// A request to the object storage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Download<'a> {
    /// The path, decoded.
    pub(crate) path: &'a str,
    /// The query as it stands on the wire.
    pub(crate) query: &'a str,
    /// The `Host` field.
    pub(crate) host: &'a str,
}

/// Checks whether a request carries a good signature at `now`, in either form. `HEAD` is allowed with a `GET`'s.
pub(crate) fn check(download: &Download<'_>, now: i64) -> Result<(), Denial> {
    let outer = parameters(download.query).ok_or(Denial::NotSigned)?;
    let inner = match find(&outer, "sign") {
        Some(sign) => parameters(sign).ok_or(Denial::NotSigned)?,
        None => outer.clone(),
    };
    let part = |name| find(&inner, name).ok_or(Denial::NotSigned);
    let (sign_time, key_time) = (part("q-sign-time")?, part("q-key-time")?);
    for span in [sign_time, key_time] {
        let (start, end) = parse_span(span).ok_or(Denial::NotSigned)?;
        if now < start || end <= now {
            return Err(Denial::Expired);
        }
    }
    if part("q-ak")? != OWNER_ID {
        return Err(Denial::UnknownKey);
    }
    if find(&outer, "x-cos-security-token").is_some_and(|token| token != SECURITY_TOKEN) {
        return Err(Denial::UnknownKey);
    }
    let headers = match part("q-header-list")? {
        "" => String::new(),
        "host" => format!("host={}", percent_encode(download.host)),
        _ => return Err(Denial::Mismatch),
    };
    if part("q-sign-algorithm")? != "sha1" || !part("q-url-param-list")?.is_empty() {
        return Err(Denial::Mismatch);
    }
    let expected = signature(OWNER_KEY, key_time, sign_time, &http_string("get", download.path, "", &headers));
    if part("q-signature")? == expected { Ok(()) } else { Err(Denial::Mismatch) }
}

fn http_string(method: &str, path: &str, parameters: &str, headers: &str) -> String {
    format!("{method}\n{path}\n{parameters}\n{headers}\n")
}

fn signature(key: &str, key_time: &str, sign_time: &str, http_string: &str) -> String {
    let sign_key = hmac_sha1(key, key_time);
    let digest = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, http_string.as_bytes()).as_ref());
    hmac_sha1(&sign_key, &format!("sha1\n{sign_time}\n{digest}\n"))
}

fn hmac_sha1(key: &str, message: &str) -> String {
    let key = hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    hex(hmac::sign(&key, message.as_bytes()).as_ref())
}

/// Splits on `&` only: a bare `;` belongs to the time spans. Values are decoded once.
fn parameters(query: &str) -> Option<Vec<(&str, String)>> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((name, percent_decode(value)?))
        })
        .collect()
}

fn find<'a>(parameters: &'a [(&str, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

fn parse_span(text: &str) -> Option<(i64, i64)> {
    let (start, end) = text.split_once(';')?;
    Some((start.parse().ok()?, end.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/bucket/251005863/redis/a b/1.rdb";
    const FORMS: [UrlForm; 3] = [UrlForm::Sign, UrlForm::Parameters, UrlForm::BareSemicolon];

    fn grant() -> Grant<'static> {
        Grant { path: PATH, sign_time: (1000, 2000), key_time: (1000, 2000), host: None, with_token: false }
    }

    fn download(query: &str) -> Download<'_> {
        Download { path: PATH, query, host: "127.0.0.1:18082" }
    }

    #[test]
    fn the_signatures_are_those_of_the_official_sdk() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../tests/signing-vectors.json")).expect("the vectors are JSON");
        for vector in vectors["cos_presigned"].as_array().expect("a list") {
            let url = vector["url"].as_str().expect("a URL");
            let (address, query) = url.split_once('?').expect("a query");
            let (host, path) = address.trim_start_matches("https://").split_once('/').expect("a path");
            let parts = parameters(query).expect("a query");
            let headers = match find(&parts, "q-header-list") {
                Some("host") => format!("host={}", percent_encode(host)),
                _ => String::new(),
            };

            let made = signature(
                vector["secret_key"].as_str().expect("a key"),
                find(&parts, "q-key-time").expect("a key time"),
                find(&parts, "q-sign-time").expect("a sign time"),
                &http_string("get", &format!("/{path}"), "", &headers),
            );

            assert_eq!(find(&parts, "q-signature"), Some(made.as_str()), "{}", vector["name"]);
        }
    }

    #[test]
    fn every_form_is_good_until_its_end_and_not_longer() {
        for form in FORMS {
            let query = query(&grant(), form);

            assert_eq!(check(&download(&query), 1999), Ok(()), "{form:?}");
            assert_eq!(check(&download(&query), 2000), Err(Denial::Expired), "{form:?}");
            assert_eq!(check(&download(&query), 999), Err(Denial::Expired), "{form:?}");
        }
    }

    #[test]
    fn the_earlier_end_of_the_two_spans_holds() {
        let query = query(&Grant { key_time: (1000, 1500), ..grant() }, UrlForm::Parameters);

        assert_eq!(check(&download(&query), 1499), Ok(()));
        assert_eq!(check(&download(&query), 1500), Err(Denial::Expired));
    }

    #[test]
    fn a_changed_url_is_refused() {
        for form in FORMS {
            let query = query(&grant(), form);
            let other_path = Download { path: "/bucket/other.rdb", ..download(&query) };
            let longer = query.replace("2000", "9000");

            assert_eq!(check(&other_path, 1500), Err(Denial::Mismatch), "{form:?}");
            assert_eq!(check(&download(&longer), 1500), Err(Denial::Mismatch), "{form:?}");
            assert_eq!(check(&download(&query.replace("AKID", "AKIE")), 1500), Err(Denial::UnknownKey), "{form:?}");
        }
    }

    #[test]
    fn a_signed_host_binds_the_url_to_it() {
        let query = query(&Grant { host: Some("127.0.0.1:18082"), ..grant() }, UrlForm::Sign);

        assert_eq!(check(&download(&query), 1500), Ok(()));
        assert_eq!(check(&Download { host: "localhost:18082", ..download(&query) }, 1500), Err(Denial::Mismatch));
    }

    #[test]
    fn what_is_not_signed_is_refused() {
        assert_eq!(query(&grant(), UrlForm::Unsigned), "");
        for query in ["", "sign=", "sign=%ff", "q-sign-time=1000", "q-sign-time=x%3By&q-key-time=1%3B2"] {
            assert_eq!(check(&download(query), 1500), Err(Denial::NotSigned), "{query}");
        }
    }

    #[test]
    fn a_security_token_comes_along_and_must_be_the_right_one() {
        let query = query(&Grant { with_token: true, ..grant() }, UrlForm::Sign);

        assert!(query.ends_with("&x-cos-security-token=SANDBOXcosToken%2Fwith%2Bchars%3D%3D"));
        assert_eq!(check(&download(&query), 1500), Ok(()));
        assert_eq!(check(&download(&query.replace("cosToken", "cosTaken")), 1500), Err(Denial::UnknownKey));
    }
}
