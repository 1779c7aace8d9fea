//! Who may call the sandbox's API. All keys are fake and public: they open nothing but a sandbox on loopback.

use std::fmt;

use crate::text::random_hex;

/// The id of the first key.
pub const SECRET_ID: &str = "AKIDSANDBOXfakeKEY000000000000000001";
/// The first key.
pub const SECRET_KEY: &str = "SANDBOXfakeSecretKey000000000001";
/// The id of a second key of the same sub-account, to rotate to.
pub const SECOND_SECRET_ID: &str = "AKIDSANDBOXfakeKEY000000000000000002";
/// The second key.
pub const SECOND_SECRET_KEY: &str = "SANDBOXfakeSecretKey000000000002";
/// The id of a temporary key of the same sub-account.
pub const TEMPORARY_SECRET_ID: &str = "AKIDSANDBOXfakeTMP000000000000000003";
/// The temporary key.
pub const TEMPORARY_SECRET_KEY: &str = "SANDBOXfakeSecretKey000000000003";
/// The session token that a temporary key needs.
pub const TEMPORARY_TOKEN: &str = "SANDBOXfakeSessionToken/with+chars==";
/// The id of a key of another sub-account, which has a limit of its own.
pub const OTHER_SECRET_ID: &str = "AKIDSANDBOXfakeKEY000000000000000004";
/// The key of the other sub-account.
pub const OTHER_SECRET_KEY: &str = "SANDBOXfakeSecretKey000000000004";

/// What every issued temporary key begins with.
pub const ISSUED_SECRET_KEY: &str = "SANDBOXissuedSecretKey";
/// What every issued session token begins with.
pub const ISSUED_TOKEN: &str = "SANDBOXissuedSessionToken";

/// One key that the sandbox knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The id, as in the credential scope.
    pub secret_id: String,
    /// The key.
    pub secret_key: String,
    /// The session token of a temporary key.
    pub token: Option<String>,
    /// When a temporary key ends, in seconds since 1970 by the cloud's clock; never unless given.
    pub expires_at: Option<i64>,
    /// The sub-account whose limit the calls count against.
    pub account: String,
}

impl Credential {
    /// A permanent key of a sub-account.
    #[must_use]
    pub fn new(secret_id: &str, secret_key: &str, account: &str) -> Self {
        Self {
            secret_id: secret_id.into(),
            secret_key: secret_key.into(),
            token: None,
            expires_at: None,
            account: account.into(),
        }
    }

    /// The same as a temporary key with its session token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.into());
        self
    }

    /// A new temporary key, as the token service and a server's role hand them out.
    pub(crate) fn issued(account: &str, expires_at: i64) -> Self {
        let id = format!("AKIDSANDBOXissued{}", random_hex::<10>());
        let key = format!("{ISSUED_SECRET_KEY}{}", random_hex::<8>());
        let token = format!("{ISSUED_TOKEN}/{}+==", random_hex::<40>());
        Self { expires_at: Some(expires_at), ..Self::new(&id, &key, account).with_token(&token) }
    }

    /// The four keys that a sandbox knows by default.
    #[must_use]
    pub fn all_fake() -> Vec<Self> {
        vec![
            Self::new(SECRET_ID, SECRET_KEY, "backup-reader"),
            Self::new(SECOND_SECRET_ID, SECOND_SECRET_KEY, "backup-reader"),
            Self::new(TEMPORARY_SECRET_ID, TEMPORARY_SECRET_KEY, "backup-reader").with_token(TEMPORARY_TOKEN),
            Self::new(OTHER_SECRET_ID, OTHER_SECRET_KEY, "other-tool"),
        ]
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("secret_id", &self.secret_id)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_key_and_no_token() {
        let shown = format!("{:?}", Credential::all_fake());

        assert!(!shown.contains("SANDBOXfakeSecretKey"));
        assert!(!shown.contains("SANDBOXfakeSessionToken"));
        assert!(shown.contains(SECRET_ID));
    }
}
