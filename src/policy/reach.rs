//! Which regions a caller's permissions could reach, read from the heads of the policies alone.
//!
//! It errs on one side only: where it says no, no instance of the region can be permitted. It never permits anything.

use cedar_policy::{ActionConstraint, Effect, Policy, PrincipalConstraint, ResourceConstraint};

use super::{
    Policies, Principal,
    entities::{action_uid, instance_type, region_type, region_uid},
};
use crate::domain::{Action, Region};

impl Policies {
    /// Whether some policy might permit `action` on some instance in `region`.
    ///
    /// Conditions and `forbid`s are not looked at. A region that is out of reach need not be asked for its instances.
    pub fn could_allow(&self, principal: &Principal, action: Action, region: &Region) -> bool {
        self.set.policies().any(|policy| {
            policy.effect() == Effect::Permit
                && reaches_principal(policy, principal)
                && reaches_action(policy, action)
                && reaches_region(policy, region)
        })
    }
}

fn reaches_principal(policy: &Policy, principal: &Principal) -> bool {
    match policy.principal_constraint() {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Eq(uid) => *principal.uid() == uid,
        PrincipalConstraint::In(uid) => principal.is_in(&uid),
        PrincipalConstraint::Is(kind) => principal.uid().type_name() == &kind,
        PrincipalConstraint::IsIn(kind, uid) => principal.uid().type_name() == &kind && principal.is_in(&uid),
    }
}

/// The schema has no groups of actions, so an action is in nothing but itself.
fn reaches_action(policy: &Policy, action: Action) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid == *action_uid(action),
        ActionConstraint::In(uids) => uids.contains(action_uid(action)),
    }
}

/// A policy that names an instance reaches it in whichever region it is.
fn reaches_region(policy: &Policy, region: &Region) -> bool {
    let inside = |uid: &cedar_policy::EntityUid| uid.type_name() != region_type() || *uid == region_uid(region);
    match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Eq(_) => true,
        ResourceConstraint::In(uid) => inside(&uid),
        ResourceConstraint::Is(kind) => kind == *instance_type(),
        ResourceConstraint::IsIn(kind, uid) => kind == *instance_type() && inside(&uid),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fixtures::*;
    use super::*;

    #[test]
    fn a_region_is_out_of_reach_only_where_no_head_fits() {
        let table = [
            (r#"permit (principal, action, resource);"#, true),
            (r#"permit (principal == User::"alice", action, resource);"#, true),
            (r#"permit (principal == User::"bob", action, resource);"#, false),
            (r#"permit (principal in Group::"dba", action, resource);"#, true),
            (r#"permit (principal in Group::"ops", action, resource);"#, false),
            (r#"permit (principal is User in Group::"dba", action, resource);"#, true),
            (r#"permit (principal is User in Group::"ops", action, resource);"#, false),
            (r#"permit (principal is User, action, resource is Instance);"#, true),
            (r#"permit (principal, action == Action::"ListInstances", resource);"#, true),
            (r#"permit (principal, action == Action::"ListBackups", resource);"#, false),
            (r#"permit (principal, action in [Action::"ListBackups", Action::"ListInstances"], resource);"#, true),
            (r#"permit (principal, action in [Action::"ListBackups"], resource);"#, false),
            (r#"permit (principal, action, resource in Region::"ap-chengdu");"#, true),
            (r#"permit (principal, action, resource in Region::"ap-guangzhou");"#, false),
            (r#"permit (principal, action, resource is Instance in Region::"ap-guangzhou");"#, false),
            (r#"permit (principal, action, resource is Instance in Region::"ap-chengdu");"#, true),
            (r#"permit (principal, action, resource == Instance::"crs-4y9t57vt");"#, true),
            (r#"permit (principal, action, resource) when { context.reason == "x" };"#, true),
            (r#"forbid (principal, action, resource);"#, false),
        ];
        let principal = Principal::new(&Arc::new(caller("alice", &["dba"])));

        for (policy, expected) in table {
            let found = policies(policy).could_allow(&principal, Action::ListInstances, &region("ap-chengdu"));

            assert_eq!(found, expected, "{policy}");
        }
    }

    #[test]
    fn what_is_permitted_is_within_reach() {
        let policies = policies(
            r#"
            permit (principal in Group::"dba", action, resource);
            permit (principal == User::"alice", action == Action::"ListBackups", resource in Region::"ap-chengdu");
            permit (principal, action, resource == Instance::"crs-4y9t57vt") when { context.reason like "INC-*" };
            "#,
        );

        for groups in [&["dba"][..], &[]] {
            for reason in ["", "INC-1"] {
                for action in Action::ALL {
                    let principal = Principal::new(&Arc::new(caller("alice", groups)));
                    let question = super::super::Request { action, reason, ..question(&principal) };

                    let reach = policies.could_allow(&principal, action, question.region);

                    assert!(reach || !policies.decide(&question).allowed, "{groups:?} {reason} {action:?}");
                }
            }
        }
    }
}
