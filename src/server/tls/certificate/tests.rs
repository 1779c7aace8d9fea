use ::time::Duration;
use proptest::prelude::*;

use super::*;
use crate::{
    domain::clock::{from_unix_seconds, rfc3339},
    server::tls::testing::{Authority, Leaf},
};

fn facts(certificates: &[&[u8]]) -> Vec<String> {
    certificates.iter().map(|der| format!("{:?}", read(der).unwrap())).collect()
}

fn judged(chain: &[&[u8]], now: SystemTime) -> Result<Validity, Mistake> {
    let facts: Vec<_> = chain.iter().map(|der| read(der).unwrap()).collect();
    judge(&facts, now)
}

fn der(leaf: &Leaf) -> &[u8] {
    leaf.certificate.der()
}

/// A moment at which the certificates of this test are valid.
fn now() -> SystemTime {
    let probe = Authority::new("clock");
    read(probe.der()).unwrap().validity.not_before + std::time::Duration::from_secs(3_600)
}

#[test]
fn a_certificate_says_who_issued_it_and_how_long_it_is_valid() {
    let root = Authority::new("root");
    let server = root.server_valid(Duration::ZERO, Duration::days(90));

    let (issuer, subject) = (read(root.der()).unwrap(), read(der(&server)).unwrap());

    assert_eq!(subject.issuer, issuer.subject);
    assert_ne!(subject.subject, issuer.subject);
    assert_eq!(issuer.issuer, issuer.subject);
    assert_eq!(subject.validity.life(), std::time::Duration::from_secs(90 * 24 * 60 * 60));
}

#[test]
fn moments_are_read_in_both_forms() {
    for (tag, text, expected) in [
        (UTC_TIME, "700101000000Z", "1970-01-01T00:00:00Z"),
        (UTC_TIME, "991231235959Z", "1999-12-31T23:59:59Z"),
        (UTC_TIME, "000101000000Z", "2000-01-01T00:00:00Z"),
        (UTC_TIME, "491231235959Z", "2049-12-31T23:59:59Z"),
        (GENERALIZED_TIME, "20500101000000Z", "2050-01-01T00:00:00Z"),
        // "No end" (RFC 5280, section 4.1.2.5).
        (GENERALIZED_TIME, "99991231235959Z", "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(moment(tag, text.as_bytes()).map(rfc3339).as_deref(), Some(expected), "{text}");
    }
    for (tag, text) in [
        (UTC_TIME, "20500101000000Z"),
        (UTC_TIME, "491231235959+0000"),
        (UTC_TIME, "4912312359Z"),
        (UTC_TIME, "491331235959Z"),
        (GENERALIZED_TIME, "700101000000Z"),
        (GENERALIZED_TIME, "20500101000000.5Z"),
        (SEQUENCE, "700101000000Z"),
        (UTC_TIME, ""),
    ] {
        assert_eq!(moment(tag, text.as_bytes()), None, "{text}");
    }
}

#[test]
fn the_shortest_life_of_a_chain_is_its_own() {
    let root = Authority::new("root");
    let issuer = root.under("issuer");
    let server = issuer.server_valid(-Duration::HOUR, Duration::days(5_000));

    let validity = judged(&[der(&server), issuer.der()], now()).unwrap();

    assert_eq!(validity, read(issuer.der()).unwrap().validity);
}

#[test]
fn a_chain_goes_from_the_server_to_its_issuers_and_may_take_several_ways() {
    let (root, other_root) = (Authority::new("root"), Authority::new("other root"));
    let issuer = root.under("issuer");
    let server = issuer.server();
    let cross = other_root.under("root");

    let good: [&[&[u8]]; 4] = [
        &[der(&server)],
        &[der(&server), issuer.der()],
        &[der(&server), issuer.der(), root.der()],
        &[der(&server), issuer.der(), root.der(), cross.der()],
    ];
    for chain in good {
        assert!(judged(chain, now()).is_ok(), "{:?}", facts(chain));
    }
    let bad: [(&[&[u8]], usize); 4] = [
        (&[der(&server), root.der(), issuer.der()], 2),
        (&[der(&server), issuer.der(), other_root.der()], 3),
        (&[der(&server), der(&server)], 2),
        (&[issuer.der(), der(&server)], 2),
    ];
    for (chain, number) in bad {
        assert_eq!(judged(chain, now()), Err(Mistake::OutOfOrder { number }), "{:?}", facts(chain));
    }
}

#[test]
fn a_chain_is_refused_with_the_certificate_that_is_not_valid() {
    let root = Authority::new("root");
    let issuer = root.under("issuer");
    let server = issuer.server();
    let of_server = read(der(&server)).unwrap().validity;
    let ended = of_server.not_after + std::time::Duration::from_secs(1);
    let early = of_server.not_before - std::time::Duration::from_secs(1);
    let chain = [der(&server), issuer.der()];

    assert!(judged(&chain, of_server.not_after).is_ok());
    assert_eq!(judged(&chain, ended), Err(Mistake::Expired { number: 1, at: of_server.not_after }));
    assert!(judged(&chain, of_server.not_before).is_ok());
    assert_eq!(judged(&chain, early), Err(Mistake::NotYetValid { number: 1, at: of_server.not_before }));
}

#[test]
fn an_end_that_comes_before_the_beginning_is_no_life() {
    let validity = Validity { not_before: from_unix_seconds(2), not_after: from_unix_seconds(1) };

    assert_eq!(validity.life(), std::time::Duration::ZERO);
}

proptest! {
    #[test]
    fn no_bytes_are_a_reason_to_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_certificate_with_a_changed_head_is_read_or_refused(at in 0_usize..80, byte in any::<u8>()) {
        let mut bytes = Authority::new("root").der().to_vec();
        bytes[at] = byte;

        let _ = read(&bytes);
    }

    #[test]
    fn a_part_of_a_certificate_is_none(part in any::<usize>()) {
        let root = Authority::new("root");
        let cut = part % root.der().len();

        prop_assert_eq!(read(&root.der()[..cut]), None);
        let longer = [root.der(), &[0]].concat();
        prop_assert_eq!(read(&longer), None);
    }
}
