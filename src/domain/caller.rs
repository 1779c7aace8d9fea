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
    /// About the bytes that a caller takes with its texts and the lists around them. The names of its issuer are shared
    /// with the configuration.
    pub fn weight_bytes(&self) -> usize {
        // What stands before a text: its two counts, and what the allocator keeps and rounds up.
        const TEXT: usize = 32;
        let lists = [&self.groups, &self.scopes];
        let places = lists.iter().map(|list| list.capacity()).sum::<usize>() * size_of::<Arc<str>>();
        let listed = lists.into_iter().flatten();
        let texts = listed.chain([&self.subject]).chain(&self.email).chain(&self.client);
        size_of::<Self>() + places + texts.map(|text| TEXT + text.len()).sum::<usize>()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_a_caller_has_its_weight() {
        let plain = Caller::plain("sso", "alice");
        let text: Arc<str> = "a text of twenty-four by".into();
        let changes: [fn(&mut Caller, Arc<str>); 5] = [
            |caller, text| caller.subject = text,
            |caller, text| caller.groups = vec![text],
            |caller, text| caller.scopes = vec![text],
            |caller, text| caller.email = Some(text),
            |caller, text| caller.client = Some(text),
        ];

        for (number, change) in changes.into_iter().enumerate() {
            let mut heavier = plain.clone();
            change(&mut heavier, Arc::clone(&text));

            let more = heavier.weight_bytes() - plain.weight_bytes();
            assert!(more >= text.len() - plain.subject.len(), "{number}: {more}");
        }
    }

    #[test]
    fn many_short_texts_weigh_what_the_allocator_gives_for_them() {
        let mut caller = Caller::plain("sso", "alice");
        caller.scopes = vec!["s".into(); 2800];

        // 16 bytes of each are its place in the list; the smallest allocation that holds its counts is 32.
        assert!(caller.weight_bytes() >= 2800 * 48, "{}", caller.weight_bytes());
    }
}
