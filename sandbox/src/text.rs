//! Small encodings that several rooms share: hex, percent-encoding, random names, dates.

use aws_lc_rs::rand;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

/// What RFC 3986 calls unreserved stays; COS and the Python SDK encode everything else.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const HTTP_DATE: StaticFormatDescription =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
const UTC_TIME: StaticFormatDescription = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
const VENDOR_TIME: StaticFormatDescription = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Percent-encodes everything but letters, digits and `-_.~`.
pub(crate) fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Percent-decodes once; bytes that are not UTF-8 make it `None`.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(|decoded| decoded.into_owned())
}

/// So many random bytes in hexadecimal.
pub(crate) fn random_hex<const COUNT: usize>() -> String {
    let mut bytes = [0u8; COUNT];
    // The random source of aws-lc does not fail once the process runs.
    let _ = rand::fill(&mut bytes);
    hex(&bytes)
}

/// A random name in the form of a version 4 UUID, as the vendor's request ids are.
pub(crate) fn random_uuid() -> String {
    let mut bytes = [0u8; 16];
    // The random source of aws-lc does not fail once the process runs; an all-zero name would still be a name.
    let _ = rand::fill(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex(&bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// `Thu, 07 Mar 2019 10:01:03 GMT` (RFC 9110 section 5.6.7).
pub(crate) fn http_date(unix: i64) -> String {
    instant(unix).format(HTTP_DATE).unwrap_or_default()
}

/// `2019-03-07`, the UTC date that a TC3 scope carries.
pub(crate) fn utc_date(unix: i64) -> String {
    instant(unix).date().to_string()
}

/// `2019-03-07 10:01:03`, as the vendor writes times.
pub(crate) fn vendor_time(unix: i64) -> String {
    instant(unix).format(VENDOR_TIME).unwrap_or_default()
}

/// `2019-03-07T10:01:03Z`
pub(crate) fn rfc3339(unix: i64) -> String {
    instant(unix).format(UTC_TIME).unwrap_or_default()
}

/// Seconds since 1970 of a vendor time read as UTC; `None` when it has another form.
pub(crate) fn parse_vendor_time(text: &str) -> Option<i64> {
    time::PrimitiveDateTime::parse(text, VENDOR_TIME).ok().map(|at| at.assume_utc().unix_timestamp())
}

fn instant(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_and_the_vendor_do() {
        assert_eq!(http_date(1_551_952_863), "Thu, 07 Mar 2019 10:01:03 GMT");
        assert_eq!(utc_date(1_735_689_599), "2024-12-31");
        assert_eq!(vendor_time(1_551_952_863), "2019-03-07 10:01:03");
        assert_eq!(rfc3339(1_551_952_863), "2019-03-07T10:01:03Z");
        assert_eq!(parse_vendor_time("2019-03-07 10:01:03"), Some(1_551_952_863));
        assert_eq!(parse_vendor_time("2019-03-07T10:01:03"), None);
    }

    #[test]
    fn a_random_name_has_the_form_of_a_version_4_uuid() {
        let name = random_uuid();

        assert_eq!(name.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(&name[14..15], "4");
    }
}
