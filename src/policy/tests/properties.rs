//! What holds for every caller and every text.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn any_caller() -> impl Strategy<Value = Caller> {
    let name = || prop_oneof![".{0,20}", Just("alice".to_owned()), Just("dba".to_owned())];
    (name(), prop::collection::vec(name(), 0..8), prop::collection::vec(name(), 0..4), prop::option::of(name()))
        .prop_map(|(subject, groups, scopes, email)| Caller {
            groups: groups.iter().map(|group| group.as_str().into()).collect(),
            scopes: scopes.iter().map(|scope| scope.as_str().into()).collect(),
            email: email.map(|email| email.as_str().into()),
            ..caller(&subject, &[])
        })
}

static ONLY_FORBIDS: LazyLock<Policies> = LazyLock::new(|| {
    policies(
        r#"
        forbid (principal in Group::"dba", action, resource);
        forbid (principal, action, resource) when { context.reason like "a*" };
        "#,
    )
});

static ALICE: LazyLock<Policies> =
    LazyLock::new(|| policies(r#"permit (principal == User::"alice", action, resource);"#));

static MIXED: LazyLock<Policies> = LazyLock::new(|| {
    policies(
        r#"
        permit (principal in Group::"dba", action, resource);
        permit (principal, action, resource) when { principal.scopes.contains("dba") };
        forbid (principal in Group::"alice", action, resource);
        "#,
    )
});

proptest! {
    #[test]
    fn where_no_policy_permits_nothing_is_allowed(caller in any_caller(), reason in ".{0,20}") {
        let principal = principal_of(&caller);
        for action in Action::ALL {
            let request = Request { action, reason: &reason, ..question(&principal) };
            prop_assert!(!ONLY_FORBIDS.decide(&request).allowed);
        }
    }

    #[test]
    fn only_the_named_are_let_in(caller in any_caller()) {
        prop_assert_eq!(allows(&ALICE, &caller), &*caller.subject == "alice");
    }

    #[test]
    fn the_order_of_groups_and_scopes_decides_nothing(caller in any_caller(), turn in 0_usize..8) {
        let mut turned = caller.clone();
        turned.groups.rotate_left(turn.min(caller.groups.len()));
        turned.scopes.reverse();

        let ask = |caller: &Caller| MIXED.decide(&question(&principal_of(caller)));

        prop_assert_eq!(ask(&caller), ask(&turned));
    }
}

proptest! {
    // Each case reads the schema anew, which takes 20 ms without optimisation.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_breaks_the_loader(
        text in r#"(permit|forbid|principal|action|resource|when|@id|[(){},;"]|//|\n|\r|\PC| ){0,40}"#,
    ) {
        for mistake in mistakes(&text) {
            prop_assert!(!mistake.contains(char::is_control), "{}", mistake);
        }
    }
}
