//! A pre-signed URL: a secret that opens a file for whoever holds it.

use std::fmt;

/// A URL of the vendor, byte for byte as it came. It is absolute `http(s)`, has a host, and holds no blank and no
/// control character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SignedUrl<'a>(&'a str);

/// Why a text is not passed on as a URL. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an absolute http(s) URL without blanks and control characters")]
pub struct UnusableUrl;

impl<'a> SignedUrl<'a> {
    /// One that was checked before.
    pub(super) fn known(text: &'a str) -> Self {
        Self(text)
    }

    /// The URL, for whoever is entitled to it. Never for a log.
    pub fn expose(self) -> &'a str {
        self.0
    }

    /// The last segment of the path, as it is written; empty where the path ends with a slash or there is none.
    pub(super) fn file_name(self) -> &'a str {
        let end = self.0.find(['?', '#']).unwrap_or(self.0.len());
        let path =
            authority_and_rest(&self.0[..end]).and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl<'a> TryFrom<&'a str> for SignedUrl<'a> {
    type Error = UnusableUrl;

    fn try_from(text: &'a str) -> Result<Self, UnusableUrl> {
        let rest = authority_and_rest(text).ok_or(UnusableUrl)?;
        // A browser ends the authority at a backslash too.
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let clean = !text.chars().any(|char| char.is_whitespace() || char.is_control());
        if !clean || !has_host(authority) {
            return Err(UnusableUrl);
        }
        Ok(Self(text))
    }
}

impl fmt::Debug for SignedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedUrl")
    }
}

fn authority_and_rest(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")).then_some(rest)
}

/// Whether there is a host in `[user@]host[:port]`, and nothing in it that a host or a port cannot have.
fn has_host(authority: &str) -> bool {
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match host_and_port.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (host_and_port, ""),
    };
    let host_is_good = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    host_is_good && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Result<SignedUrl<'_>, UnusableUrl> {
        SignedUrl::try_from(text)
    }

    #[test]
    fn an_absolute_url_is_kept_byte_for_byte() {
        for text in [
            "https://b-1.cos.ap-chengdu.myqcloud.com/a/k.rdb?sign=q%3D1%26x",
            "http://10.0.0.1:8080/k?q-sign-time=1;2",
            "HTTPS://H.example",
            "https://h.example?x",
            "https://[::1]:8080/k",
            "https://h/päth",
        ] {
            assert_eq!(url(text).unwrap().expose(), text);
        }
    }

    #[test]
    fn what_is_not_absolute_http_or_could_be_read_as_more_than_one_line_is_refused() {
        for text in [
            "",
            "h.example/k",
            "//h.example/k",
            "/k",
            "ftp://h.example/k",
            "javascript://h.example/%0aalert(1)",
            "https:/h.example/k",
            "https:///k",
            "https://?k",
            "https://#k",
            "https://:443/k",
            "https://user@/k",
            "https://\\h.example",
            "https://h<x>/k",
            "https://[::1/k",
            "https://[]/k",
            "https://h:8a/k",
            " https://h/k",
            "https://h/k ",
            "https://h/a b",
            "https://h/a\tb",
            "https://h/a\r\nset-cookie: x",
            "https://h/a\0",
            "https://h/a\u{7f}",
            "https://h/a\u{85}b",
            "https://h/a\u{a0}b",
            "https://h/a\u{2028}b",
        ] {
            assert_eq!(url(text), Err(UnusableUrl), "{text:?}");
        }
    }

    #[test]
    fn the_file_name_is_the_last_segment_of_the_path() {
        for (text, name) in [
            ("https://h/a/b/k.rdb?sign=x/y", "k.rdb"),
            ("https://h/k%20x.rdb#/z", "k%20x.rdb"),
            ("https://h/a/", ""),
            ("https://h/", ""),
            ("https://h", ""),
            ("https://h?/k", ""),
        ] {
            assert_eq!(url(text).unwrap().file_name(), name, "{text}");
        }
    }

    #[test]
    fn a_signed_url_does_not_show() {
        assert_eq!(format!("{:?}", url("https://h/k?q-signature=abc").unwrap()), "SignedUrl");
        assert!(!UnusableUrl.to_string().contains("abc"));
    }

    proptest! {
        #[test]
        fn an_accepted_url_is_one_line_of_one_word(text in "https?://\\PC{0,20}|[ -~\t\r\n]{0,30}|\\PC{0,30}") {
            if let Ok(url) = url(&text) {
                prop_assert_eq!(url.expose(), text.as_str());
                prop_assert_eq!(text.split_whitespace().count(), 1);
                let _ = url.file_name();
            }
        }
    }
}
