use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{domain::clock::rfc3339, tencent::wire};

const FETCHED_AT: u64 = 1_551_952_863;
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Vectors {
    url_expiry: Vec<Expiry>,
    cos_presigned: Vec<Presigned>,
}

#[derive(Deserialize)]
struct Expiry {
    url: String,
    end: Option<u64>,
}

#[derive(Deserialize)]
struct Presigned {
    name: String,
    url: String,
    expires_at: u64,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/signing-vectors.json")).unwrap()
}

fn signed(text: &str) -> SignedUrl<'_> {
    SignedUrl::try_from(text).unwrap()
}

/// Seconds from the fetch to the end that a file with this URL has.
fn life_s(public: &str) -> u64 {
    let fetched_at = from_unix_seconds(FETCHED_AT);
    expires_at([signed(public)], fetched_at, MINUTE).duration_since(fetched_at).unwrap().as_secs()
}

#[test]
fn the_seven_vectors_end_when_they_say() {
    let vectors = vectors().url_expiry;

    assert_eq!(vectors.len(), 7);
    for Expiry { url, end } in vectors {
        assert_eq!(validity_end(&url), end.map(from_unix_seconds), "{url}");
    }
}

#[test]
fn the_urls_of_the_vendors_own_signer_end_when_it_says() {
    let vectors = vectors().cos_presigned;

    assert_eq!(vectors.len(), 4);
    for Presigned { name, url, expires_at } in vectors {
        assert_eq!(validity_end(&url), Some(from_unix_seconds(expires_at)), "{name}");
    }
}

#[test]
fn the_vendors_sample_ends_with_its_earliest_url() {
    let sample = include_bytes!("../../../tests/vectors/describe-backup-url-sample.json");

    let urls = wire::backup_urls(sample).unwrap();
    let end = expires_at(urls.urls(), from_unix_seconds(FETCHED_AT), MINUTE);

    assert_eq!(urls.files().len(), 5);
    assert_eq!(rfc3339(end), "2019-03-07T16:02:03Z");
    assert_eq!(urls.request_id.as_str(), "f1b5aabe-806a-4886-b839-9907baa24c85");
}

#[test]
fn the_url_that_ends_first_decides() {
    let (long, short) = ("https://h/?q-sign-time=1;1551974523", "https://h/?q-sign-time=1;1551970000");
    let end = |urls: &[&str]| expires_at(urls.iter().copied().map(signed), from_unix_seconds(FETCHED_AT), MINUTE);

    assert_eq!(end(&[long, short]), from_unix_seconds(1_551_970_000));
    assert_eq!(end(&[short, long, long]), from_unix_seconds(1_551_970_000));
    assert_eq!(end(&[long, "https://h/"]), from_unix_seconds(FETCHED_AT) + MINUTE);
    assert_eq!(end(&[]), from_unix_seconds(FETCHED_AT) + MINUTE);
}

#[test]
fn what_cannot_be_read_never_lengthens_a_life() {
    for (url, life) in [
        ("https://h/?q-sign-time=1551952863;1551974523&q-key-time=x", 60),
        ("https://h/?q-sign-time=1551952863;1551952893&q-key-time=x", 30),
        ("https://h/?q-sign-time=1551952863;1551974523&q-sign-time=1551952863;1551960000", 7137),
        ("https://h/?Q-Sign-Time=1551952863;1551960000&q-key-time=1551952863;1551974523", 7137),
        ("https://h/?q-key-time=1551952863;1551960000", 7137),
        ("https://h/?sign=q-sign-time%3D1551952863%253B1551960000", 7137),
        ("https://h/?sign=q-sign-time%3D1551952863%3B1551960000&q-sign-time=1551952863;1551974523", 7137),
        ("https://h/?q-sign-time=", 60),
        ("https://h/?q-sign-time", 60),
        ("https://h/?q-sign-time=1;123456789012", 60),
        ("https://h/?q-sign-time=1;-2", 60),
        ("https://h/?q-sign-time=1;2;1551974523", 60),
        ("https://h/?q-sign-time=%EF%BC%91;1551974523", 60),
        ("https://h/#?q-sign-time=1551952863;1551974523", 60),
        ("https://h/?a#&q-sign-time=1551952863;1551974523", 60),
        ("https://h/q-sign-time=1551952863;1551974523", 60),
    ] {
        assert_eq!(life_s(url), life, "{url}");
    }
}

#[test]
fn an_end_in_the_past_stays_in_the_past() {
    let end = expires_at([signed("https://h/?q-sign-time=1;2")], from_unix_seconds(FETCHED_AT), MINUTE);

    assert_eq!(end, from_unix_seconds(2));
}

#[test]
fn a_security_token_is_seen_in_both_forms() {
    assert!(carries_security_token("https://h/?q-ak=A&x-cos-security-token=a%2Bb"));
    assert!(carries_security_token("https://h/?sign=q-ak%3DA%26x-cos-security-token%3Dab"));
    assert!(!carries_security_token("https://h/x-cos-security-token=1?q-ak=x-cos-security-token"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        for text in [text.as_str(), &String::from_utf8_lossy(&bytes)] {
            let _ = (validity_end(text), carries_security_token(text));
        }
    }

    #[test]
    fn no_url_that_looks_like_one_makes_it_panic(
        text in "https://h/\\?((sign|q-sign-time|q-key-time)=?([0-9]{0,12}|%3B|%26|%3D|%|;|=|q-sign-time){0,5}&?){0,6}"
    ) {
        let fetched_at = from_unix_seconds(FETCHED_AT);
        let end = expires_at([signed(&text)], fetched_at, MINUTE);
        match validity_end(&text) {
            Some(stated) => prop_assert_eq!(end, stated),
            None => prop_assert!(end <= fetched_at + MINUTE),
        }
    }

    #[test]
    fn the_smallest_of_all_ends_wins_in_every_form(ends in proptest::collection::vec(2u64..99_999_999_999, 1..6), packed in any::<bool>()) {
        let times: Vec<_> = ends.iter().enumerate().map(|(index, end)| {
            let name = if index % 2 == 0 { "q-sign-time" } else { "q-key-time" };
            format!("{name}=1;{end}")
        }).collect();
        let query = times.join("&");
        let query = if packed { format!("sign={}", query.replace('=', "%3D").replace('&', "%26").replace(';', "%3b")) } else { query };

        prop_assert_eq!(validity_end(&format!("https://h/k?{query}")), ends.iter().min().copied().map(from_unix_seconds));
    }
}
