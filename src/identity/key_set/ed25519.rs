//! Which 32 bytes may be an Ed25519 public key.
//!
//! A key of small order is worse than a weak one: with it, a signature of zeros holds for every message, so whoever
//! smuggles it into a key set, or an issuer that was handed it, opens the door to all. No library below us refuses it.

/// The `y` of the points of order 1, 2, 4 and 8, little-endian, without the bit for the sign of `x`
/// (RFC 7748 section 7 and RFC 8032 section 5.1.3 for the encoding).
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        minus_one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Whether the bytes are neither a point of small order nor a second spelling of another point.
///
/// Whether they are a point at all is the library's to find out: what is none verifies nothing.
pub(super) fn is_sound(public_key: [u8; 32]) -> bool {
    let mut y = public_key;
    y[31] &= 0x7f;
    !SMALL_ORDER.contains(&y) && is_below_p(&y)
}

/// Whether the little-endian number is less than p = 2^255 - 19.
fn is_below_p(y: &[u8; 32]) -> bool {
    let is_all_ones_above = y[31] == 0x7f && y[1..31].iter().all(|byte| *byte == 0xff);
    !(is_all_ones_above && y[0] >= 0xed)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn small_order_is_refused_under_both_signs() {
        for mut y in SMALL_ORDER {
            assert!(!is_sound(y));
            y[31] |= 0x80;
            assert!(!is_sound(y));
        }
    }

    #[test]
    fn a_second_spelling_of_a_point_is_refused() {
        for least in 0xed..=0xff {
            let mut y = [0xff; 32];
            y[0] = least;
            y[31] = 0x7f;
            assert!(!is_sound(y), "{least}");
            y[31] = 0xff;
            assert!(!is_sound(y), "{least}");
        }
    }

    #[test]
    fn an_ordinary_key_is_sound() {
        // The public key of RFC 8037 appendix A.2.
        let key = [
            0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1,
            0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
        ];

        assert!(is_sound(key));
    }

    #[test]
    fn the_library_alone_would_accept_a_signature_of_nothing() {
        let mut forged = [0; 64];
        forged[0] = 1;

        let outcome = UnparsedPublicKey::new(&ED25519, SMALL_ORDER[1]).verify(b"any message", &forged);

        assert!(outcome.is_ok(), "if the library refuses it one day, this room can go");
    }
}
