//! Rows about claims, all under good signatures.

use serde_json::{Value, json};

use super::Case;
use crate::identity::{
    reason::Reason,
    testing::{self, NOW, P256, with, without},
};

pub(super) fn cases() -> Vec<Case> {
    [times(), issuer_and_audience(), subject(), groups(), others()].into_iter().flatten().collect()
}

fn refused(name: &'static str, reason: Reason, members: Value) -> Case {
    Case::refused(name, reason, P256.token(&with(testing::claims(), members)))
}

fn accepted(name: &'static str, members: Value) -> Case {
    Case::accepted(name, P256.token(&with(testing::claims(), members)))
}

fn missing(name: &'static str, reason: Reason, claim: &str) -> Case {
    Case::refused(name, reason, P256.token(&without(testing::claims(), claim)))
}

fn times() -> Vec<Case> {
    use Reason::{Expired, IssuedInFuture, LifeTooLong, NotYetValid, Times};
    vec![
        missing("no exp", Times, "exp"),
        refused("exp as text", Times, json!({"exp": (NOW + 600).to_string()})),
        refused("exp null", Times, json!({"exp": null})),
        refused("exp true", Times, json!({"exp": true})),
        refused("exp as a list", Times, json!({"exp": [NOW + 600]})),
        refused("a negative exp", Times, json!({"exp": -1})),
        refused("exp in the year 10000", Times, json!({"exp": 253_402_300_800_u64})),
        refused("a huge exp", Times, json!({"exp": u64::MAX})),
        refused("an exp beyond 64 bits", Times, json!({"exp": 1e300})),
        refused("exp in milliseconds", Times, json!({"exp": (NOW + 600) * 1000})),
        refused("exp in five thousand years", LifeTooLong, json!({"exp": NOW * 100})),
        refused("exp zero", Expired, json!({"exp": 0})),
        refused("exp past", Expired, json!({"exp": NOW - 3600})),
        refused("exp past by the leeway", Expired, json!({"exp": NOW - 30})),
        refused("a longer life than is accepted", LifeTooLong, json!({"exp": NOW + 86_401})),
        refused("a longer life by a moment", LifeTooLong, json!({"exp": NOW as f64 + 86_400.001})),
        refused("nbf beyond the leeway", NotYetValid, json!({"nbf": NOW + 31})),
        refused("nbf as text", Times, json!({"nbf": "0"})),
        refused("nbf null", Times, json!({"nbf": null})),
        refused("a negative nbf", Times, json!({"nbf": -1})),
        refused("iat beyond the leeway", IssuedInFuture, json!({"iat": NOW + 31})),
        refused("iat as text", Times, json!({"iat": NOW.to_string()})),
        refused("a huge iat", Times, json!({"iat": 1e300})),
        accepted("exp past within the leeway", json!({"exp": NOW - 29})),
        accepted("exp with a fraction", json!({"exp": NOW as f64 + 0.5})),
        accepted("exp in another notation", json!({"exp": 1.764_000_6e9})),
        accepted("the longest life", json!({"exp": NOW + 86_400})),
        accepted("nbf and iat within the leeway", json!({"nbf": NOW + 30, "iat": NOW + 30})),
        Case::accepted("no iat", P256.token(&without(testing::claims(), "iat"))),
    ]
}

fn issuer_and_audience() -> Vec<Case> {
    use Reason::{Audience, IssuerMissing, IssuerUnknown};
    vec![
        missing("no iss", IssuerMissing, "iss"),
        refused("iss null", IssuerMissing, json!({"iss": null})),
        refused("iss as a list", IssuerMissing, json!({"iss": [testing::ISSUER]})),
        refused("an issuer unknown here", IssuerUnknown, json!({"iss": "https://evil.example"})),
        refused("iss with a slash more", IssuerUnknown, json!({"iss": "https://sso.example.internal/"})),
        refused("iss in other letters", IssuerUnknown, json!({"iss": "https://SSO.example.internal"})),
        refused("a part of iss (CVE-2024-53861)", IssuerUnknown, json!({"iss": "https://sso.example"})),
        refused("an empty iss", IssuerUnknown, json!({"iss": ""})),
        missing("no aud", Audience, "aud"),
        refused("aud null", Audience, json!({"aud": null})),
        refused("somebody else's aud", Audience, json!({"aud": "another-service"})),
        refused("an empty aud", Audience, json!({"aud": ""})),
        refused("no aud in a list (CVE-2020-26160)", Audience, json!({"aud": []})),
        refused("a list of others", Audience, json!({"aud": ["a", "b"]})),
        refused("a list in a list", Audience, json!({"aud": [["redis-backup-gateway"]]})),
        refused("a list with more than text", Audience, json!({"aud": ["redis-backup-gateway", 1]})),
        refused("aud as an object", Audience, json!({"aud": {"redis-backup-gateway": true}})),
        refused("a part of aud", Audience, json!({"aud": "redis-backup"})),
        refused("more than aud", Audience, json!({"aud": "redis-backup-gateway-test"})),
        refused("aud in other letters", Audience, json!({"aud": "Redis-Backup-Gateway"})),
        refused("two in one text", Audience, json!({"aud": "redis-backup-gateway backup-cli"})),
        accepted("aud among others", json!({"aud": ["a", "redis-backup-gateway"]})),
        accepted("the other audience", json!({"aud": "backup-cli"})),
    ]
}

fn subject() -> Vec<Case> {
    let refused = |name, sub: Value| refused(name, Reason::Subject, json!({ "sub": sub }));
    vec![
        missing("no sub", Reason::Subject, "sub"),
        refused("an empty sub", json!("")),
        refused("sub null", json!(null)),
        refused("sub a number", json!(1)),
        refused("sub a list", json!(["alice"])),
        refused("a sub of 257 bytes", json!("a".repeat(257))),
        refused("a sub of 86 characters and 258 bytes", json!("\u{20ac}".repeat(86))),
        refused("a line break in sub", json!("alice\nbob")),
        refused("a NUL in sub", json!("alice\0")),
        refused("an escape sequence in sub", json!("\u{1b}[2Jalice")),
        refused("a C1 control character in sub", json!("alice\u{85}")),
        accepted("a sub of 256 bytes", json!({"sub": "a".repeat(256)})),
        accepted("a sub of a cluster", json!({"sub": "system:serviceaccount:batch:nightly"})),
        accepted("a sub beyond ASCII", json!({"sub": "\u{738b}\u{5c0f}\u{660e}"})),
    ]
}

fn groups() -> Vec<Case> {
    use Reason::{Groups, GroupsElsewhere};
    let at = |path: &[&str], case: Case| case.with_groups_at(path);
    vec![
        refused("groups null", Groups, json!({"groups": null})),
        refused("groups a number", Groups, json!({"groups": 1})),
        refused("groups an object", Groups, json!({"groups": {"dba": true}})),
        refused("a group that is no text", Groups, json!({"groups": ["dba", 1]})),
        refused("groups in groups", Groups, json!({"groups": [["dba"]]})),
        refused("an empty group", Groups, json!({"groups": ["dba", ""]})),
        refused("a line break in a group", Groups, json!({"groups": ["dba\n"]})),
        refused("a group of 257 bytes", Groups, json!({"groups": ["a".repeat(257)]})),
        refused("1001 groups", Groups, json!({"groups": vec!["a"; 1001]})),
        at(&["a", "b"], refused("a path through text", Groups, json!({"a": "b"}))),
        at(&["a", "b"], refused("a path through a list", Groups, json!({"a": [{"b": "dba"}]}))),
        refused("an overage marker", GroupsElsewhere, {
            json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}})
        }),
        refused("an overage marker that cannot be read", GroupsElsewhere, json!({"_claim_names": ["groups"]})),
        Case::refused("an overage marker in place of groups", GroupsElsewhere, {
            P256.token(&with(without(testing::claims(), "groups"), json!({"_claim_names": {"groups": "src1"}})))
        }),
        Case::refused("hasgroups", GroupsElsewhere, {
            P256.token(&with(without(testing::claims(), "groups"), json!({"hasgroups": true})))
        }),
        at(&["realm_access", "roles"], {
            refused("an overage marker for the path", GroupsElsewhere, json!({"_claim_names": {"realm_access": "x"}}))
        }),
        accepted("one group as text", json!({"groups": "dba"})),
        accepted("1000 groups", json!({"groups": vec!["a"; 1000]})),
        accepted("an empty list of groups", json!({"groups": []})),
        accepted("another claim that stands elsewhere", json!({"_claim_names": {"address": "src1"}})),
        Case::accepted("no groups", P256.token(&without(testing::claims(), "groups"))),
        at(&["a", "b"], accepted("a path that leads nowhere", json!({"a": {}}))),
        at(&[], accepted("an overage marker where no groups are wanted", json!({"_claim_names": {"groups": "x"}}))),
    ]
}

fn others() -> Vec<Case> {
    let refused = |name, members| refused(name, Reason::Claim, members);
    vec![
        refused("email a list", json!({"email": ["a@b"]})),
        refused("a line break in email", json!({"email": "a@b\r\nc"})),
        refused("scope a number", json!({"scope": 1})),
        refused("scope an object", json!({"scope": {"a": 1}})),
        refused("scp with more than text", json!({"scp": ["a", 1]})),
        refused("a control character in a scope", json!({"scope": "a\tb"})),
        refused("azp a number", json!({"azp": 1})),
        refused("client_id an object", json!({"client_id": {}})),
        refused("jti a number", json!({"jti": 1})),
        refused("an endless jti", json!({"jti": "a".repeat(1025)})),
        accepted("scp as text", json!({"scp": "a b"})),
        accepted("scp as a list", json!({"scp": ["a", "b"]})),
        accepted("an empty scope", json!({"scope": ""})),
        accepted("nothing where text may be missing", json!({"email": null, "azp": null, "jti": null, "scp": null})),
    ]
}
