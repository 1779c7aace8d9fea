//! Public keys as the library verifies with them: taken in once, when the set is read. Taking one in for every token would
//! cost a third of an RSA verification on top.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};

use crate::identity::Algorithm;

/// A key, once for each algorithm that keys of its kind are for.
pub(super) struct Verifier(Vec<(Algorithm, ParsedPublicKey)>);

/// What an RSA key can verify.
const OF_RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::Ps384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::Ps512, &RSA_PSS_2048_8192_SHA512),
];

impl Verifier {
    /// An RSA key of this modulus and exponent, big-endian, without leading zeros.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Self {
        let components = RsaPublicKeyComponents { n, e };
        let parsed = |(algorithm, parameters)| Some((algorithm, components.to_parsed_public_key(parameters).ok()?));
        Self(OF_RSA.into_iter().filter_map(parsed).collect())
    }

    /// A key on P-256: an uncompressed point. One that does not lie on the curve verifies nothing; the same below.
    pub(super) fn p256(point: &[u8]) -> Self {
        Self::of(Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, point)
    }

    /// A key on P-384.
    pub(super) fn p384(point: &[u8]) -> Self {
        Self::of(Algorithm::Es384, &ECDSA_P384_SHA384_FIXED, point)
    }

    /// A key on Curve25519.
    pub(super) fn ed25519(point: &[u8; 32]) -> Self {
        Self::of(Algorithm::EdDsa, &ED25519, point)
    }

    fn of(algorithm: Algorithm, library: &'static dyn VerificationAlgorithm, point: &[u8]) -> Self {
        Self(ParsedPublicKey::new(library, point).ok().map(|key| (algorithm, key)).into_iter().collect())
    }

    /// Whether this is the key's signature over the message.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let key = self.0.iter().find(|(of, _)| *of == algorithm);
        key.is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok())
    }
}
