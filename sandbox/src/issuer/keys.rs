//! A key of each kind, made by aws-lc, and its public half as a JWK (RFC 7517, 7518, 8037).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Algorithm;

/// An RSA, an ECDSA and an Ed25519 key, made together and replaced together.
pub(super) struct KeyTrio {
    generation: u32,
    rsa: RsaKeyPair,
    ecdsa: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

impl KeyTrio {
    /// Makes three keys; their ids carry the generation.
    pub(super) fn generate(generation: u32) -> Self {
        let works = "aws-lc makes keys as long as the system has random bytes";
        Self {
            generation,
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect(works),
            ecdsa: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect(works),
            ed25519: Ed25519KeyPair::generate().expect(works),
        }
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// The id of the key for an algorithm, for example `rs256-1`.
    pub(super) fn id(&self, algorithm: Algorithm) -> String {
        format!("{}-{}", algorithm.name().to_ascii_lowercase(), self.generation)
    }

    /// Signs as RFC 7518 section 3 says.
    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let works = "a key that was made for its algorithm signs";
        let random = SystemRandom::new();
        match algorithm {
            Algorithm::Rs256 => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect(works);
                signature
            }
            Algorithm::Es256 => self.ecdsa.sign(&random, message).expect(works).as_ref().to_vec(),
            Algorithm::EdDsa => self.ed25519.sign(message).as_ref().to_vec(),
        }
    }

    /// The public halves.
    pub(super) fn public(&self) -> [Value; 3] {
        let rsa = self.rsa.public_key();
        let modulus = rsa.modulus().big_endian_without_leading_zero();
        let exponent = rsa.exponent().big_endian_without_leading_zero();
        // An uncompressed point: 4, then two coordinates of 32 bytes.
        let point = self.ecdsa.public_key().as_ref();
        let (x, y) = (&point[1..33], &point[33..65]);
        [
            json!({"kty": "RSA", "kid": self.id(Algorithm::Rs256), "alg": "RS256", "use": "sig",
                   "n": base64url(modulus), "e": base64url(exponent)}),
            json!({"kty": "EC", "crv": "P-256", "kid": self.id(Algorithm::Es256), "alg": "ES256", "use": "sig",
                   "x": base64url(x), "y": base64url(y)}),
            json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id(Algorithm::EdDsa), "alg": "EdDSA", "use": "sig",
                   "x": base64url(self.ed25519.public_key().as_ref())}),
        ]
    }
}

/// Base64 for URLs without padding, as JOSE wants it.
pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
    };

    fn decode(jwk: &Value, member: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(jwk[member].as_str().expect("a string")).expect("base64url")
    }

    #[test]
    fn the_published_halves_verify_what_the_private_ones_sign() {
        let keys = KeyTrio::generate(7);
        let [rsa, ec, ed] = keys.public();

        let (n, e) = (decode(&rsa, "n"), decode(&rsa, "e"));
        let rsa_public = RsaPublicKeyComponents { n: n.as_slice(), e: e.as_slice() };
        let point = [vec![4], decode(&ec, "x"), decode(&ec, "y")].concat();

        assert!(rsa_public.verify(&RSA_PKCS1_2048_8192_SHA256, b"m", &keys.sign(Algorithm::Rs256, b"m")).is_ok());
        assert!(
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(b"m", &keys.sign(Algorithm::Es256, b"m"))
                .is_ok()
        );
        let ed_public = UnparsedPublicKey::new(&ED25519, decode(&ed, "x"));
        assert!(ed_public.verify(b"m", &keys.sign(Algorithm::EdDsa, b"m")).is_ok());
        assert_eq!((rsa["kid"].as_str(), ed["kid"].as_str()), (Some("rs256-7"), Some("eddsa-7")));
    }
}
