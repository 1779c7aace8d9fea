//! The `Authorization` header field in, the `WWW-Authenticate` field out (RFC 6750).
//!
//! The header is the only place that is looked at: no query parameter, no cookie, no body.

use super::{Denial, reason::Reason, token::MAX_TOKEN_BYTES};

const REALM: &str = "redis-backup-gateway";

/// What stands where the bearer token stands, among the values of all `Authorization` header fields of a request. Whether
/// it is a token at all is [`b64token`]'s question, which need not be asked of one that was accepted before.
///
/// Another scheme is as good as no token: the caller did not know what to send (RFC 6750 section 3.1). Two fields are
/// refused even if they agree, because something in front of us may have believed the other one.
pub fn bearer<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a [u8], Denial> {
    let mut values = values.into_iter();
    let value = values.next().ok_or(Denial::NoToken)?;
    if values.next().is_some() {
        return Err(Denial::Refused(Reason::AuthorizationRepeated));
    }
    let scheme_length = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(scheme_length);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(Denial::NoToken);
    }
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    let credentials = &rest[blanks..];
    if credentials.len() > MAX_TOKEN_BYTES {
        return Err(Denial::Refused(Reason::TooLarge));
    }
    Ok(credentials)
}

/// The token, if it is of the form of one.
pub fn b64token(credentials: &[u8]) -> Result<&str, Denial> {
    match std::str::from_utf8(credentials) {
        Ok(token) if is_b64token(token) => Ok(token),
        _ => Err(Denial::Refused(Reason::AuthorizationMalformed)),
    }
}

/// The value of `WWW-Authenticate` for a denial that is answered with 401. It is made of constants alone.
pub fn challenge(denial: Denial) -> String {
    match denial {
        Denial::Refused(reason) => {
            let description = reason.description();
            format!(r#"Bearer realm="{REALM}", error="invalid_token", error_description="{description}""#)
        }
        Denial::NoToken | Denial::KeysUnavailable | Denial::TooManyFailures { .. } => {
            format!(r#"Bearer realm="{REALM}""#)
        }
    }
}

/// RFC 6750 section 2.1: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn is_b64token(text: &str) -> bool {
    let stem = text.trim_end_matches('=');
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    // To the end even if one is not fit: so the compiler takes many bytes at a time, and a token has hundreds.
    !stem.is_empty() && stem.bytes().fold(true, |are_fit, byte| are_fit & is_fit(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, Denial> {
        bearer(values).and_then(b64token)
    }

    fn refused(reason: Reason) -> Result<&'static str, Denial> {
        Err(Denial::Refused(reason))
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "Bearer  a.b.c"] {
            assert_eq!(read([value.as_bytes()]), Ok("a.b.c"), "{value}");
        }
        assert_eq!(read([b"Bearer AZaz09-._~+/==".as_slice()]), Ok("AZaz09-._~+/=="));
    }

    #[test]
    fn another_scheme_is_no_token() {
        assert_eq!(read([]), Err(Denial::NoToken));
        for value in ["", "Basic YTpi", "Bearera.b.c", "Bearer\ta.b.c", "a.b.c", " Bearer a.b.c", "DPoP a.b.c"] {
            assert_eq!(read([value.as_bytes()]), Err(Denial::NoToken), "{value}");
        }
    }

    #[test]
    fn more_than_one_field_is_refused_even_if_they_agree() {
        let value = b"Bearer a.b.c".as_slice();

        assert_eq!(read([value, value]), refused(Reason::AuthorizationRepeated));
        assert_eq!(read([b"Basic YTpi".as_slice(), value]), refused(Reason::AuthorizationRepeated));
    }

    #[test]
    fn what_is_not_one_token_is_refused() {
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer ==",
            "Bearer a b",
            "Bearer a.b.c ",
            "Bearer a.b.c,Bearer a.b.c",
            "Bearer a=b",
            "Bearer \u{e4}",
            "Bearer \"a\"",
            "Bearer a\0",
            "Bearer a\tb",
        ] {
            assert_eq!(read([value.as_bytes()]), refused(Reason::AuthorizationMalformed), "{value:?}");
        }
        assert_eq!(read([b"Bearer \xff".as_slice()]), refused(Reason::AuthorizationMalformed));
    }

    #[test]
    fn a_token_has_letters_digits_and_six_other_characters() {
        for character in '\0'..='\u{ff}' {
            let token = format!("{}{character}{}", "a".repeat(40), "b".repeat(40));
            let is_fit = character.is_ascii_alphanumeric() || "-._~+/".contains(character);

            assert_eq!(b64token(token.as_bytes()).is_ok(), is_fit, "{character:?}");
        }
    }

    #[test]
    fn a_token_beyond_8_kib_is_refused_unread() {
        let longest = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES));
        let longer = format!("Bearer {}", "\u{7f}".repeat(MAX_TOKEN_BYTES + 1));

        assert!(read([longest.as_bytes()]).is_ok());
        assert_eq!(read([longer.as_bytes()]), refused(Reason::TooLarge));
    }

    #[test]
    fn the_challenge_names_an_error_only_where_a_token_was_sent() {
        assert_eq!(challenge(Denial::NoToken), r#"Bearer realm="redis-backup-gateway""#);
        assert_eq!(
            challenge(Denial::Refused(Reason::Expired)),
            "Bearer realm=\"redis-backup-gateway\", error=\"invalid_token\", \
             error_description=\"the token has expired\""
        );
    }

    proptest! {
        #[test]
        fn a_token_is_of_the_characters_that_rfc_6750_allows(value in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(token) = read([[b"Bearer ", value.as_slice()].concat().as_slice()]) {
                prop_assert!(token.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)));
            }
        }
    }
}
