//! What the policies in force have said, so that they are not asked the same again.
//!
//! An answer depends on what was verified of the caller, the action, the instance, the region, the network, the address
//! and the reason, and on nothing else: no clock, no counter. It is kept with the policies that gave it, so that a reload
//! forgets all of it.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use quick_cache::{
    Equivalent, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::{
    domain::{Action, Caller, FastHashing, InstanceId, Network, Region},
    policy::{self, Decision, Policies},
};

/// What all answers together may weigh.
const MOST_BYTES: u64 = 16 << 20;

/// How many that is of the usual size.
const MOST_ANSWERS: usize = 32_768;

/// Policies, and what they have said.
pub(super) struct InForce {
    policies: Policies,
    said: Cache<Question, Arc<Decision>, ByBytes, FastHashing>,
}

/// What an answer depends on, as it is kept.
struct Question {
    caller: Arc<Caller>,
    action: Action,
    instance: InstanceId,
    region: Region,
    network: Network,
    client_ip: IpAddr,
    reason: Option<Arc<str>>,
}

/// The same as it is asked: nothing is copied to look an answer up.
#[derive(PartialEq, Eq, Hash)]
struct Words<'a> {
    caller: SameCaller<'a>,
    action: Action,
    instance: &'a InstanceId,
    region: &'a Region,
    network: Network,
    client_ip: IpAddr,
    reason: Option<&'a str>,
}

/// A caller by all that was verified of it, so that a token that was renewed finds what was said of the one before.
#[derive(Eq)]
struct SameCaller<'a>(&'a Caller);

/// What is asked of the policies.
pub(super) struct Asked<'a> {
    pub(super) caller: &'a Arc<Caller>,
    pub(super) request: policy::Request<'a>,
    pub(super) reason: Option<&'a Arc<str>>,
}

impl InForce {
    /// Policies that have not been asked yet.
    pub(super) fn new(policies: Policies) -> Self {
        let (hashing, lifecycle) = (FastHashing::default(), DefaultLifecycle::default());
        let said = Cache::with(MOST_ANSWERS, MOST_BYTES, ByBytes, hashing, lifecycle);
        Self { policies, said }
    }

    /// The policies themselves.
    pub(super) fn policies(&self) -> &Policies {
        &self.policies
    }

    /// What the policies say.
    ///
    /// An answer in which a policy failed is not kept: it is an operator's mistake, and each occasion counts.
    pub(super) fn decide(&self, asked: &Asked<'_>) -> Arc<Decision> {
        if let Some(decision) = self.said.get(&Words::from(asked)) {
            return decision;
        }
        let decision = Arc::new(self.policies.decide(&asked.request));
        if decision.failed.is_empty() {
            self.said.insert(Question::from(asked), Arc::clone(&decision));
        }
        decision
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Question, Arc<Decision>> for ByBytes {
    /// About what an answer takes with its question. The texts of instance and region are shared with much else; those of
    /// the caller may be kept by this alone.
    fn weight(&self, question: &Question, decision: &Arc<Decision>) -> u64 {
        const STRUCTURES: usize = 448;
        let reason = question.reason.as_ref().map_or(0, |reason| reason.len());
        let ids = 16 * decision.policies.len();
        (STRUCTURES + question.caller.weight_bytes() + reason + ids) as u64
    }
}

impl From<&Asked<'_>> for Question {
    fn from(asked: &Asked<'_>) -> Self {
        let Asked { caller, request, reason } = asked;
        Self {
            caller: Arc::clone(caller),
            action: request.action,
            instance: request.instance.clone(),
            region: request.region.clone(),
            network: request.network,
            client_ip: request.client_ip,
            reason: reason.cloned(),
        }
    }
}

impl<'a> From<&Asked<'a>> for Words<'a> {
    fn from(asked: &Asked<'a>) -> Self {
        let Asked { caller, request, reason } = asked;
        Self {
            caller: SameCaller(caller),
            action: request.action,
            instance: request.instance,
            region: request.region,
            network: request.network,
            client_ip: request.client_ip,
            reason: reason.map(|reason| &**reason),
        }
    }
}

impl Question {
    fn words(&self) -> Words<'_> {
        Words {
            caller: SameCaller(&self.caller),
            action: self.action,
            instance: &self.instance,
            region: &self.region,
            network: self.network,
            client_ip: self.client_ip,
            reason: self.reason.as_deref(),
        }
    }
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.words() == other.words()
    }
}

impl Eq for Question {}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.words().hash(state);
    }
}

impl Equivalent<Question> for Words<'_> {
    fn equivalent(&self, question: &Question) -> bool {
        *self == question.words()
    }
}

impl PartialEq for SameCaller<'_> {
    fn eq(&self, other: &Self) -> bool {
        // Mostly it is the very same token.
        std::ptr::eq(self.0, other.0) || self.0 == other.0
    }
}

impl Hash for SameCaller<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Enough to tell callers apart; what else they carry is compared.
        self.0.issuer.hash(state);
        self.0.subject.hash(state);
    }
}

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InForce").field("said", &self.said.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, net::Ipv4Addr};

    use super::*;
    use crate::policy::Principal;

    fn policies(text: &str) -> InForce {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("test.cedar"), text).unwrap();
        InForce::new(Policies::load(folder.path()).unwrap())
    }

    fn caller(subject: &str, group: &str) -> Arc<Caller> {
        Arc::new(Caller {
            issuer: "sso".into(),
            prefix: "".into(),
            subject: subject.into(),
            groups: vec![group.into()],
            email: None,
            scopes: Vec::new(),
            client: None,
        })
    }

    /// Asks with everything as usual but for what `change` changes.
    fn ask(in_force: &InForce, caller: &Arc<Caller>, change: impl FnOnce(&mut Question)) -> Arc<Decision> {
        let mut question = Question {
            caller: Arc::clone(caller),
            action: Action::ReadBackupUrls,
            instance: InstanceId::try_from("crs-4y9t57vt").unwrap(),
            region: Region::try_from("ap-chengdu").unwrap(),
            network: Network::Inner,
            client_ip: Ipv4Addr::new(10, 0, 0, 1).into(),
            reason: Some("INC-1".into()),
        };
        change(&mut question);
        let principal = Principal::new(caller);
        let request = policy::Request {
            principal: &principal,
            action: question.action,
            instance: &question.instance,
            region: &question.region,
            network: question.network,
            client_ip: question.client_ip,
            reason: question.reason.as_deref().unwrap_or_default(),
        };
        in_force.decide(&Asked { caller, request, reason: question.reason.as_ref() })
    }

    const NARROW: &str = r#"
        @id("narrow")
        permit (principal in Group::"dba", action == Action::"ReadBackupUrls", resource == Instance::"crs-4y9t57vt")
        when {
            resource in Region::"ap-chengdu" && context.network == "inner" && context.reason like "INC-*" &&
            context.client_ip.isInRange(ip("10.0.0.0/8"))
        };"#;

    #[test]
    fn the_same_question_is_answered_from_memory() {
        let in_force = policies(NARROW);
        let alice = caller("alice", "dba");

        let first = ask(&in_force, &alice, |_| {});
        let second = ask(&in_force, &alice, |_| {});

        assert!(first.allowed && Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn an_answer_to_one_question_is_no_answer_to_another() {
        let in_force = policies(NARROW);
        let alice = caller("alice", "dba");
        assert!(ask(&in_force, &alice, |_| {}).allowed);

        let changes: [fn(&mut Question); 6] = [
            |question| question.action = Action::ListBackups,
            |question| question.instance = InstanceId::try_from("crs-other").unwrap(),
            |question| question.region = Region::try_from("ap-guangzhou").unwrap(),
            |question| question.network = Network::Both,
            |question| question.client_ip = Ipv4Addr::new(11, 0, 0, 1).into(),
            |question| question.reason = None,
        ];
        for change in changes {
            assert!(!ask(&in_force, &alice, change).allowed);
        }
        assert!(!ask(&in_force, &caller("alice", "staff"), |_| {}).allowed, "the same person in another group");
        assert!(ask(&in_force, &alice, |_| {}).allowed);
    }

    #[test]
    fn a_renewed_token_finds_what_was_said_of_the_one_before() {
        let in_force = policies(NARROW);

        let first = ask(&in_force, &caller("alice", "dba"), |_| {});
        let renewed = ask(&in_force, &caller("alice", "dba"), |_| {});

        assert!(Arc::ptr_eq(&first, &renewed));
    }

    #[test]
    fn what_failed_to_evaluate_is_asked_again() {
        let in_force = policies(r#"permit (principal, action, resource) when { 9223372036854775807 + 1 == 0 };"#);
        let alice = caller("alice", "dba");

        let first = ask(&in_force, &alice, |_| {});
        let second = ask(&in_force, &alice, |_| {});

        assert!(!first.failed.is_empty() && !second.failed.is_empty());
        assert!(!Arc::ptr_eq(&first, &second));
    }
}
