//! Why a token was refused: a closed set, in three texts for three readers.

/// Why a token, or the header that should carry it, was refused.
///
/// [`as_str`](Self::as_str) is for operators (metric labels, log fields) and exact; [`description`](Self::description)
/// is for whoever sent the token and says nothing that the token did not already say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.description())]
pub enum Reason {
    /// More than one `Authorization` header field.
    AuthorizationRepeated,
    /// `Bearer` without a token, or one with characters that RFC 6750 does not allow.
    AuthorizationMalformed,
    /// More than 8 KiB.
    TooLarge,
    /// Not three parts of canonical base64url without padding.
    Encoding,
    /// A part that should be a JSON object is not.
    Json,
    /// A member name that stands twice.
    DuplicateMember,
    /// A header member of the wrong type, or no `alg`.
    Header,
    /// A `typ` that is not a JWT's.
    Type,
    /// `crit`, `b64`, `zip` or `cty`: an extension, compression or nesting that is not understood here.
    Extension,
    /// An algorithm that is not in the issuer's list.
    Algorithm,
    /// `iss` is missing or not a string.
    IssuerMissing,
    /// No issuer with this `iss` is configured.
    IssuerUnknown,
    /// `kid` names no key of the issuer.
    KeyUnknown,
    /// `kid` names several keys, or there is no `kid` and several keys fit.
    KeyAmbiguous,
    /// The key does not fit the algorithm, or is not for signatures.
    KeyUnsuitable,
    /// The signature is not the key's.
    Signature,
    /// `exp`, `nbf` or `iat` is not a number of seconds before the year 10000, or `exp` is missing.
    Times,
    /// `exp` is past.
    Expired,
    /// `exp` is further away than tokens may live.
    LifeTooLong,
    /// `nbf` is in the future.
    NotYetValid,
    /// `iat` is in the future.
    IssuedInFuture,
    /// `aud` is missing, of the wrong type, or names somebody else.
    Audience,
    /// `sub` is missing, empty, too long, not a string, or holds control characters.
    Subject,
    /// The groups claim is not a list of plain names, or too long.
    Groups,
    /// The groups stand elsewhere: the token carries an overage marker in their place.
    GroupsElsewhere,
    /// `email`, `scope`, `scp`, `client_id`, `azp` or `jti` is not plain text, or too long.
    Claim,
    /// `sub` or a group begins with the prefix of another issuer.
    ForeignPrefix,
    /// The token, its subject or its key is revoked.
    Revoked,
}

impl Reason {
    /// All of them, in the order of the checks.
    pub const ALL: [Self; 28] = [
        Self::AuthorizationRepeated,
        Self::AuthorizationMalformed,
        Self::TooLarge,
        Self::Encoding,
        Self::Json,
        Self::DuplicateMember,
        Self::Header,
        Self::Type,
        Self::Extension,
        Self::Algorithm,
        Self::IssuerMissing,
        Self::IssuerUnknown,
        Self::KeyUnknown,
        Self::KeyAmbiguous,
        Self::KeyUnsuitable,
        Self::Signature,
        Self::Times,
        Self::Expired,
        Self::LifeTooLong,
        Self::NotYetValid,
        Self::IssuedInFuture,
        Self::Audience,
        Self::Subject,
        Self::Groups,
        Self::GroupsElsewhere,
        Self::Claim,
        Self::ForeignPrefix,
        Self::Revoked,
    ];

    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationRepeated => "authorization_repeated",
            Self::AuthorizationMalformed => "authorization_malformed",
            Self::TooLarge => "too_large",
            Self::Encoding => "encoding",
            Self::Json => "json",
            Self::DuplicateMember => "duplicate_member",
            Self::Header => "header",
            Self::Type => "type",
            Self::Extension => "extension",
            Self::Algorithm => "algorithm",
            Self::IssuerMissing => "issuer_missing",
            Self::IssuerUnknown => "issuer_unknown",
            Self::KeyUnknown => "key_unknown",
            Self::KeyAmbiguous => "key_ambiguous",
            Self::KeyUnsuitable => "key_unsuitable",
            Self::Signature => "signature",
            Self::Times => "times",
            Self::Expired => "expired",
            Self::LifeTooLong => "life_too_long",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::Groups => "groups",
            Self::GroupsElsewhere => "groups_elsewhere",
            Self::Claim => "claim",
            Self::ForeignPrefix => "foreign_prefix",
            Self::Revoked => "revoked",
        }
    }

    /// One sentence for whoever sent the token, in the characters that RFC 6750 allows in `error_description`.
    ///
    /// Everything that is decided by comparing the token with our own configuration before its signature has held
    /// shares one sentence: a stranger who forges tokens must not learn which issuers, keys and algorithms are
    /// trusted here. Whoever holds a genuine token learns which claim is at fault.
    pub fn description(self) -> &'static str {
        match self {
            Self::AuthorizationRepeated => "there is more than one Authorization header field",
            Self::AuthorizationMalformed => "the Authorization header field does not hold a bearer token",
            Self::TooLarge => "the token is larger than 8 KiB",
            Self::Encoding => "the token is not three parts of base64url without padding",
            Self::Json => "a part of the token is not a JSON object",
            Self::DuplicateMember => "the token names a member twice",
            Self::Header => "a header member of the token is missing or of the wrong type",
            Self::Type => "the type of the token is not a JWT's",
            Self::Extension => "the token uses an extension that is not supported: crit, b64, zip or cty",
            Self::Algorithm
            | Self::IssuerUnknown
            | Self::KeyUnknown
            | Self::KeyAmbiguous
            | Self::KeyUnsuitable
            | Self::Signature => "the token is not signed by an issuer and a key that are trusted here",
            Self::IssuerMissing => "the token has no iss, or not a string",
            Self::Times => "exp is missing, or exp, nbf or iat is not a number of seconds in a sane range",
            Self::Expired => "the token has expired",
            Self::LifeTooLong => "the token lives longer than is accepted here",
            Self::NotYetValid => "the token is not valid yet",
            Self::IssuedInFuture => "the token was issued in the future",
            Self::Audience => "the token is meant for another audience",
            Self::Subject => "sub is missing, empty, too long or not plain text",
            Self::Groups => "the groups of the token are not a list of plain names, or too many",
            Self::GroupsElsewhere => "the token does not carry its groups but refers to another place for them",
            Self::ForeignPrefix => "sub or a group begins with a prefix that is reserved for another issuer",
            Self::Revoked => "the token has been revoked",
            Self::Claim => "email, scope, scp, client_id, azp or jti is too long or not plain text",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_is_listed_once_under_a_name_of_its_own() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();

        assert_eq!(names.len(), Reason::ALL.len());
        for name in names {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
    }

    #[test]
    fn a_description_needs_no_quoting_in_a_header_field() {
        for reason in Reason::ALL {
            let text = reason.description();

            assert!(text.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && !b"\"\\".contains(&byte)), "{text}");
        }
    }
}
