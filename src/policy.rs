//! Permission: may this caller do this to that instance? Deny unless a policy allows, and never allow on an error.
//!
//! The policies are Cedar's; `docs/policies.md` tells how to write them, `docs/adr/0003-cedar.md` why Cedar. A set of
//! them is an immutable value: a reload makes another and swaps the pointer, so no decision sees half of two sets.
//! Which regions are asked about, and what is remembered of the answers, is the broker's business.

mod bounds;
mod compile;
mod entities;
mod folder;
mod problem;
mod reach;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use cedar_policy::{AuthorizationError, Authorizer, Decision as Verdict, PolicyId, PolicySet};

use crate::domain::{Action, InstanceId, Network, Region};

pub use entities::Principal;
pub use problem::{PolicyError, PolicyErrors, Position};

use compile::SourceFile;

/// What `[policy]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder whose `*.cedar` files are the policies.
    pub dir: PathBuf,
}

/// What a folder of policies said at one look: equal where it says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// A set of policies in which no mistake was found.
#[derive(Debug)]
pub struct Policies {
    authorizer: Authorizer,
    set: PolicySet,
}

/// One question: may this principal do that to this instance, from there, for this reason?
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// What for.
    pub action: Action,
    /// Of which instance.
    pub instance: &'a InstanceId,
    /// The region that the instance is taken to be in. Who names a region has proved nothing: whether it is the
    /// instance's own is decided elsewhere.
    pub region: &'a Region,
    /// The addresses that are asked for; policies see it for [`Action::ReadBackupUrls`] alone.
    pub network: Network,
    /// The caller's address. An IPv4 address in IPv6 clothes (`::ffff:10.0.0.1`) counts as the IPv4 address.
    pub client_ip: IpAddr,
    /// What the caller says it is for, empty if nothing.
    pub reason: &'a str,
}

/// The answer, with what an audit record and an explanation need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether a policy permits it, none forbids it and none failed.
    pub allowed: bool,
    /// The ids of the policies that decided, sorted: the permits of a yes; the forbids of a no, and those that failed.
    /// Empty when no policy had anything to say, which is a no.
    pub policies: Vec<Arc<str>>,
    /// Those of `policies` that failed to evaluate, sorted. Each is to be counted (`gateway_policy_errors_total`).
    pub failed: Vec<Arc<str>>,
}

impl Fingerprint {
    /// Looks at the files that [`Policies::load`] would read, or at why they cannot be read. Blocks on the disk.
    pub fn of(dir: &Path) -> Self {
        Self(folder::fingerprint(dir))
    }
}

impl Policies {
    /// Reads every `*.cedar` file of a folder, in the order of their names, and validates what they say against the
    /// schema that is built into the program. Blocks on the disk.
    ///
    /// Hidden files, other names and subfolders are passed over; symbolic links are followed.
    ///
    /// # Errors
    ///
    /// All problems of all files at once: what cannot be read, parsed or validated, Cedar's warnings included (a policy
    /// that can never apply is a mistake), templates, an id that is used twice. A folder without a single policy is an
    /// error as well: it would refuse everybody, which is more likely a wrong path than a wish.
    pub fn load(dir: &Path) -> Result<Self, PolicyErrors> {
        let mut errors = Vec::new();
        let files = folder::read(dir, &mut errors);
        Self::from_files(dir, &files, errors)
    }

    fn from_files(dir: &Path, files: &[SourceFile], mut errors: Vec<PolicyError>) -> Result<Self, PolicyErrors> {
        let set = compile::compile(dir, files, &mut errors);
        if set.is_empty() && errors.is_empty() {
            errors.push(PolicyError::new(
                dir,
                "there is no policy in a *.cedar file here, so nobody could do anything; to refuse everybody on \
                 purpose write `forbid (principal, action, resource);`",
            ));
        }
        match PolicyErrors::from_list(errors) {
            Some(errors) => Err(errors),
            None => Ok(Self { authorizer: Authorizer::new(), set }),
        }
    }

    /// The ids of all policies, sorted.
    pub fn ids(&self) -> Vec<Arc<str>> {
        sorted(self.set.policies().map(|policy| policy.id()))
    }

    /// Decides. Takes some tens of microseconds, in proportion to the number of policies, and never waits.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let response = self.authorizer.is_authorized(&entities::request(request), &self.set, &entities::store(request));
        let failed = sorted(response.diagnostics().errors().map(|error| {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            error.policy_id()
        }));
        let reason = sorted(response.diagnostics().reason());
        // Cedar skips a policy that fails. For us it may have been the one that forbids, so the answer is no.
        if failed.is_empty() {
            return Decision { allowed: response.decision() == Verdict::Allow, policies: reason, failed };
        }
        let mut policies = failed.clone();
        if response.decision() == Verdict::Deny {
            policies.extend(reason);
            policies.sort_unstable();
        }
        Decision { allowed: false, policies, failed }
    }
}

fn sorted<'a>(ids: impl Iterator<Item = &'a PolicyId>) -> Vec<Arc<str>> {
    let mut ids: Vec<Arc<str>> = ids.map(|id| Arc::from(AsRef::<str>::as_ref(id))).collect();
    ids.sort_unstable();
    ids
}
