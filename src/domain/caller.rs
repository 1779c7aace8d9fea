//! Who asks, and for what: the vocabulary that identity, policy, quota and audit share.

use std::sync::Arc;

/// A caller whose token was accepted. Every field comes from verified claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the issuer in our configuration (`auth.issuers.name`), not its URL.
    pub issuer: Arc<str>,
    /// The issuer's prefix for users and groups in policies; keeps two issuers apart.
    pub prefix: Arc<str>,
    /// The claim `sub`, without the prefix.
    pub subject: Arc<str>,
    /// The values of the issuer's `groups_claim`, without the prefix.
    pub groups: Vec<Arc<str>>,
    /// The claim `email`, present only where `email_verified` is not false.
    pub email: Option<Arc<str>>,
    /// The claim `scope` split at blanks, or the list `scp`.
    pub scopes: Vec<Arc<str>>,
    /// The claim `client_id`, else `azp`.
    pub client: Option<Arc<str>>,
}

impl Caller {
    /// About the bytes that its texts take, the lists around them included.
    pub fn weight_bytes(&self) -> usize {
        const TEXT: usize = 32;
        let lists = self.groups.iter().chain(&self.scopes).map(|text| text.len() + TEXT).sum::<usize>();
        self.subject.len() + lists
    }
}

#[cfg(test)]
impl Caller {
    /// A caller of whom a token says no more than it must.
    pub(crate) fn plain(issuer: &str, subject: &str) -> Self {
        Self {
            issuer: issuer.into(),
            prefix: "".into(),
            subject: subject.into(),
            groups: Vec::new(),
            email: None,
            scopes: Vec::new(),
            client: None,
        }
    }
}

/// What a caller may be permitted to do. The names stand in policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// See an instance in the list of instances.
    ListInstances,
    /// See the backups of an instance.
    ListBackups,
    /// Get the download URLs of a backup: the whole database.
    ReadBackupUrls,
}

impl Action {
    /// All of them, in the order of their reach.
    pub const ALL: [Self; 3] = [Self::ListInstances, Self::ListBackups, Self::ReadBackupUrls];

    /// The name in policies, audit records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ListInstances => "ListInstances",
            Self::ListBackups => "ListBackups",
            Self::ReadBackupUrls => "ReadBackupUrls",
        }
    }
}
