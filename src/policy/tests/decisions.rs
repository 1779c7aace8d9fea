//! What is decided, by which policies.

use std::net::IpAddr;

use super::*;
use crate::domain::Network;

#[test]
fn the_policies_that_decided_are_named_in_order() {
    let policies = policies(
        r#"
        @id("z") permit (principal, action, resource);
        @id("a") permit (principal in Group::"dba", action, resource);
        @id("out") forbid (principal in Group::"suspended", action, resource);
        @id("aside") permit (principal, action, resource in Region::"ap-guangzhou");
        permit (principal, action, resource);
        "#,
    );
    let decide = |groups: &[&str]| policies.decide(&question(&principal_of(&caller("alice", groups))));

    assert_eq!(decide(&["dba"]), Decision { allowed: true, policies: ids(&["a", "test#5", "z"]), failed: Vec::new() });
    assert_eq!(decide(&["dba", "suspended"]), Decision { allowed: false, policies: ids(&["out"]), failed: Vec::new() });
    assert_eq!(policies.ids(), ids(&["a", "aside", "out", "test#5", "z"]));
}

#[test]
fn a_policy_that_fails_denies_even_where_another_permits() {
    let policies = policies(
        r#"
        @id("open") permit (principal, action, resource);
        @id("sum") permit (principal, action, resource)
        when { context.reason like "sum*" && 9223372036854775807 + 1 > 0 };
        @id("product") forbid (principal, action, resource)
        when { context.reason like "*product" && 9223372036854775807 * 2 == 0 };
        @id("shut") forbid (principal, action, resource) when { context.reason like "*shut*" };
        "#,
    );
    let principal = principal_of(&caller("alice", &[]));

    for (reason, allowed, by, failed) in [
        ("", true, &["open"][..], &[][..]),
        ("sum", false, &["sum"], &["sum"]),
        ("product", false, &["product"], &["product"]),
        ("sum of a product", false, &["product", "sum"], &["product", "sum"]),
        ("sum, shut", false, &["shut", "sum"], &["sum"]),
        ("shut", false, &["shut"], &[]),
    ] {
        let decision = policies.decide(&Request { reason, ..question(&principal) });
        assert_eq!(decision, Decision { allowed, policies: ids(by), failed: ids(failed) }, "{reason:?}");
    }
}

#[test]
fn a_failure_in_a_policy_for_others_harms_nobody() {
    let policies = policies(
        r#"
        permit (principal, action, resource);
        permit (principal == User::"bob", action, resource) when { 9223372036854775807 + 1 > 0 };
        "#,
    );

    assert!(allows(&policies, &caller("alice", &[])));
    assert!(!allows(&policies, &caller("bob", &[])));
}

#[test]
fn a_strange_name_is_only_a_name() {
    let policies = policies(
        r#"
        permit (principal == User::"alice", action, resource);
        permit (principal in Group::"dba", action, resource);
        permit (principal == User::"a\"b\\c", action, resource);
        "#,
    );

    for name in [
        r#"x" || true"#,
        r#"alice" || true || principal == User::"alice"#,
        r#"User::"alice""#,
        r#"alice"); permit (principal, action, resource); //"#,
        "alice\0",
        "alice ",
        " alice",
        "ALICE",
        "al\u{456}ce",
        "alice\u{200b}",
        "\u{202e}ecila",
        "*",
        "a*",
        "?principal",
        "principal",
        "true",
        "",
        r#"\u{61}lice"#,
        "{\"__entity\":{\"type\":\"User\",\"id\":\"alice\"}}",
    ] {
        let group = name.replace("alice", "dba");
        assert!(!allows(&policies, &caller(name, &[&group, name])), "{name:?}");
    }
    assert!(allows(&policies, &caller("alice", &[])));
    assert!(allows(&policies, &caller("a\"b\\c", &[])));
}

#[test]
fn kinds_do_not_mix() {
    let policies = policies(
        r#"
        permit (principal in Group::"dba", action, resource == Instance::"ap-guangzhou");
        permit (principal == User::"dba", action, resource in Region::"crs-4y9t57vt");
        "#,
    );

    assert!(!allows(&policies, &caller("dba", &["crs-4y9t57vt"])));
    assert!(!allows(&policies, &caller("alice", &["dba"])));
}

#[test]
fn two_issuers_share_no_names() {
    let policies = policies(
        r#"
        permit (principal == User::"alice", action, resource);
        permit (principal in Group::"dba", action, resource);
        permit (principal in Group::"k8s:admins", action, resource) when { principal.issuer == "cluster" };
        "#,
    );
    let of_cluster = |subject, groups: &[&str]| Caller {
        issuer: "cluster".into(),
        prefix: "k8s:".into(),
        ..caller(subject, groups)
    };

    assert!(allows(&policies, &caller("alice", &[])));
    assert!(!allows(&policies, &of_cluster("alice", &["dba"])));
    assert!(allows(&policies, &of_cluster("x", &["admins"])));
    assert!(!allows(&policies, &caller("x", &["k8s:admins"])));
}

#[test]
fn every_attribute_can_be_asked_for() {
    let policies = policies(
        r#"
        permit (principal, action, resource) when {
          principal.issuer == "sso" && principal.scopes.containsAll(["backups:read", "openid"]) &&
          principal has email && principal.email like "*@example.internal" &&
          principal has client && principal.client == "console"
        };
        "#,
    );
    let full = Caller {
        email: Some("alice@example.internal".into()),
        scopes: vec!["openid".into(), "backups:read".into(), "openid".into()],
        client: Some("console".into()),
        ..caller("alice", &[])
    };

    assert!(allows(&policies, &full));
    for (lack, poorer) in [
        ("issuer", Caller { issuer: "SSO".into(), ..full.clone() }),
        ("email", Caller { email: None, ..full.clone() }),
        ("scope", Caller { scopes: vec!["openid".into()], ..full.clone() }),
        ("client", Caller { client: None, ..full }),
    ] {
        assert!(!allows(&policies, &poorer), "{lack}");
    }
}

#[test]
fn the_context_says_from_where_why_and_over_which_network() {
    let policies = policies(
        r#"
        @id("address") permit (principal, action, resource)
        when { context.client_ip.isInRange(ip("10.0.0.0/8")) || context.client_ip == ip("2001:db8::1") };
        @id("reason") permit (principal, action, resource) when { context.reason == "*" };
        @id("network") permit (principal, action == Action::"ReadBackupUrls", resource)
        when { context.network == "inner" };
        "#,
    );
    let principal = principal_of(&caller("alice", &[]));
    let urls = Action::ReadBackupUrls;

    for (action, address, reason, network, by) in [
        (urls, "10.1.2.3", "", Network::Both, &["address"][..]),
        (urls, "::ffff:10.1.2.3", "", Network::Both, &["address"]),
        (urls, "::10.1.2.3", "", Network::Both, &[]),
        (urls, "2001:db8:0:0::1", "", Network::Public, &["address"]),
        (urls, "11.1.2.3", "*", Network::Public, &["reason"]),
        (urls, "11.1.2.3", "anything", Network::Public, &[]),
        (urls, "11.1.2.3", "", Network::Inner, &["network"]),
        (Action::ListBackups, "11.1.2.3", "", Network::Inner, &[]),
    ] {
        let client_ip: IpAddr = address.parse().unwrap();
        let decision = policies.decide(&Request { action, client_ip, reason, network, ..question(&principal) });
        assert_eq!(decision.policies, ids(by), "{action:?} {address} {reason:?} {network:?}");
        assert_eq!(decision.allowed, !by.is_empty());
    }
}

#[test]
fn one_principal_is_asked_about_many_instances_and_regions() {
    let policies = policies(
        r#"
        permit (principal in Group::"oncall", action, resource in Region::"ap-chengdu");
        permit (principal, action, resource == Instance::"crs-shared");
        "#,
    );
    let principal = principal_of(&caller("alice", &["oncall"]));

    let seen: Vec<_> = [("crs-a", "ap-chengdu"), ("crs-a", "ap-guangzhou"), ("crs-shared", "ap-guangzhou")]
        .map(|(id, place)| {
            let (instance, region) = (instance(id), region(place));
            policies.decide(&Request { instance: &instance, region: &region, ..question(&principal) }).allowed
        })
        .into();

    assert_eq!(seen, [true, false, true]);
}

#[test]
fn a_set_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}

    shared::<Policies>();
    shared::<Principal>();
}
