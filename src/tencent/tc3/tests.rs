use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use clock::from_unix_seconds;

#[derive(Deserialize)]
struct Vectors {
    tc3: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    secret_id: String,
    secret_key: String,
    timestamp: u64,
    date_utc: String,
    service: String,
    method: String,
    host: String,
    headers: BTreeMap<String, String>,
    #[serde(default)]
    query: String,
    body: String,
    canonical_request: String,
    string_to_sign: String,
    signature: String,
    #[serde(default)]
    authorization: Option<String>,
    #[serde(default)]
    secret_signing: Option<String>,
}

fn vectors() -> Vec<Vector> {
    let vectors: Vectors = serde_json::from_str(include_str!("../../../tests/vectors/signing-vectors.json")).unwrap();
    vectors.tc3
}

impl Vector {
    fn request(&self) -> Request<'_> {
        let signs_action = self.canonical_request.contains("x-tc-action");
        let content_type = match self.headers["Content-Type"].as_str() {
            value if self.canonical_request.contains(&format!("content-type:{value}\n")) => value,
            value => panic!("{}: {value} is not what was signed", self.name),
        };
        Request {
            method: match self.method.as_str() {
                "GET" => Method::Get,
                "POST" => Method::Post,
                other => panic!("{other}"),
            },
            query: &self.query,
            content_type,
            host: &self.host,
            action: signs_action.then(|| self.headers["X-TC-Action"].as_str()),
            payload: match self.headers.get("X-TC-Content-SHA256") {
                Some(_) => Payload::Unsigned,
                None => Payload::Signed(self.body.as_bytes()),
            },
        }
    }

    fn scope(&self) -> Scope<'_> {
        Scope::at(from_unix_seconds(self.timestamp), &self.service)
    }

    fn key(&self) -> SecretString {
        SecretString::from(self.secret_key.as_str())
    }
}

#[test]
fn every_vector_passes_stage_by_stage() {
    let vectors = vectors();

    assert_eq!(vectors.len(), 13);
    for vector in vectors {
        let (request, scope, name) = (vector.request(), vector.scope(), &vector.name);
        assert_eq!(request.canonical_request(), vector.canonical_request, "{name}");
        assert_eq!(scope.date, vector.date_utc, "{name}");
        assert_eq!(scope.string_to_sign(&vector.canonical_request), vector.string_to_sign, "{name}");
        let key = SigningKey::derive(&vector.key(), &scope);
        if let Some(published) = &vector.secret_signing {
            assert_eq!(hex(key.0.expose_secret()), *published, "{name}");
        }
        assert_eq!(key.sign(&vector.string_to_sign), vector.signature, "{name}");
    }
}

#[test]
fn the_authorization_of_every_vector_is_the_sdks() {
    let mut compared = 0;
    for vector in vectors() {
        let authorization = vector.request().authorization(&vector.secret_id, &vector.key(), &vector.scope());
        if let Some(expected) = &vector.authorization {
            assert_eq!(authorization, *expected, "{}", vector.name);
            compared += 1;
        }
    }

    assert_eq!(compared, 12);
}

#[test]
fn the_signing_key_does_not_show() {
    let scope = Scope::at(from_unix_seconds(0), "redis");
    let key = SigningKey::derive(&SecretString::from("k"), &scope);

    assert_eq!(format!("{key:?}"), "SigningKey(SecretBox<[u8; 32]>([REDACTED]))");
}

/// Days from the Unix epoch to a date of the Gregorian calendar, by Hinnant's `days_from_civil`.
fn days_since_epoch(date: &str) -> i64 {
    let mut parts = date.split('-').map(|part| part.parse::<i64>().unwrap());
    let (year, month, day) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The last second of year 9999.
const LAST: u64 = 253_402_300_799;

proptest! {
    #[test]
    fn the_scopes_date_is_the_utc_date_of_its_timestamp(timestamp in 0..=LAST) {
        let scope = Scope::at(from_unix_seconds(timestamp), "redis");
        prop_assert_eq!(days_since_epoch(&scope.date), i64::try_from(timestamp / 86_400).unwrap());
        prop_assert_eq!(scope.timestamp_s(), timestamp);
    }

    #[test]
    fn the_date_changes_exactly_at_midnight_utc(day in 1..=LAST / 86_400) {
        let midnight = from_unix_seconds(day * 86_400);
        let before = Scope::at(midnight - Duration::from_nanos(1), "redis");
        let after = Scope::at(midnight, "redis");
        prop_assert_eq!(days_since_epoch(&before.date) + 1, days_since_epoch(&after.date));
        prop_assert_eq!(before.timestamp_s() + 1, after.timestamp_s());
    }

    #[test]
    fn no_moment_and_no_text_makes_signing_fail(
        seconds in 0..=u64::from(u32::MAX) * 1000,
        before in any::<bool>(),
        text in any::<String>(),
        payload in any::<Vec<u8>>(),
    ) {
        let offset = Duration::from_secs(seconds);
        let epoch = SystemTime::UNIX_EPOCH;
        let time = if before { epoch - offset } else { epoch + offset };
        let request = Request {
            method: Method::Post,
            query: &text,
            content_type: &text,
            host: &text,
            action: Some(&text),
            payload: Payload::Signed(&payload),
        };

        let authorization = request.authorization("id", &SecretString::from(text.as_str()), &Scope::at(time, "redis"));

        let signature = authorization.rsplit('=').next().unwrap();
        prop_assert_eq!(signature.len(), 64);
    }
}
