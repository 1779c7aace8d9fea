//! The policies that the repository ships as an example, and those in the documentation, held to what they promise.

use std::{fs, path::PathBuf};

use super::{Decision, Policies, Request, fixtures::*};
use crate::domain::{Action, Network};

const ORDERS: (&str, &str) = ("crs-4y9t57vt", "ap-chengdu");
const SESSIONS: (&str, &str) = ("crs-k2m8p4xd", "ap-guangzhou");
const PAYMENTS: (&str, &str) = ("crs-fsi3c9qz", "ap-shanghai-fsi");

use Action::{ListBackups, ListInstances, ReadBackupUrls};
use Network::{Both, Inner, Public};

fn in_repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn shipped() -> Policies {
    Policies::load(&in_repository("config/policies")).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_schema_for_editors_is_the_schema_of_the_program() {
    let copy = fs::read_to_string(in_repository("config/policies/schema.cedarschema")).unwrap();
    assert_eq!(copy, include_str!("schema.cedarschema"));
}

/// Who, in which groups, may do what to which instance over which network for which reason; by which policies.
type Row = (&'static str, &'static [&'static str], Action, (&'static str, &'static str), Network, &'static str, Answer);

enum Answer {
    Yes(&'static [&'static str]),
    No(&'static [&'static str]),
}

use Answer::{No, Yes};

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // Administrators: everything but payments.
    ("alice", &["dba"], ListInstances, ORDERS, Both, "", Yes(&["dba"])),
    ("alice", &["dba"], ListBackups, SESSIONS, Both, "", Yes(&["dba"])),
    ("alice", &["dba"], ReadBackupUrls, ORDERS, Public, "", Yes(&["dba"])),
    ("alice", &["dba"], ReadBackupUrls, PAYMENTS, Inner, "", No(&["payments-only"])),
    ("alice", &["dba"], ListInstances, PAYMENTS, Both, "", No(&["payments-only"])),
    ("dba", &[], ReadBackupUrls, ORDERS, Both, "", No(&[])),
    ("alice", &["DBA"], ReadBackupUrls, ORDERS, Both, "", No(&[])),
    // On call: one region, data only for a reason.
    ("bob", &["oncall-chengdu"], ListInstances, ORDERS, Both, "", Yes(&["oncall-chengdu-look"])),
    ("bob", &["oncall-chengdu"], ListBackups, ORDERS, Both, "", Yes(&["oncall-chengdu-look"])),
    ("bob", &["oncall-chengdu"], ListBackups, SESSIONS, Both, "", No(&[])),
    ("bob", &["oncall-chengdu"], ReadBackupUrls, ORDERS, Both, "INC-4711", Yes(&["oncall-chengdu-read"])),
    ("bob", &["oncall-chengdu"], ReadBackupUrls, ORDERS, Both, "", No(&[])),
    ("bob", &["oncall-chengdu"], ReadBackupUrls, ORDERS, Both, "see INC-4711", No(&[])),
    ("bob", &["oncall-chengdu"], ReadBackupUrls, SESSIONS, Both, "INC-4711", No(&[])),
    ("bob", &["oncall-guangzhou"], ListInstances, SESSIONS, Both, "", Yes(&["oncall-guangzhou-look"])),
    ("bob", &["oncall-guangzhou"], ListInstances, ORDERS, Both, "", No(&[])),
    ("bob", &["oncall-guangzhou"], ReadBackupUrls, SESSIONS, Both, "INC-4711", Yes(&["oncall-guangzhou-read"])),
    ("bob", &["oncall-guangzhou"], ReadBackupUrls, ORDERS, Both, "INC-4711", No(&[])),
    ("bob", &["oncall-chengdu", "oncall-guangzhou"], ListBackups, SESSIONS, Both, "", Yes(&["oncall-guangzhou-look"])),
    // The nightly job: one instance, inner addresses only.
    ("orders-restore", &[], ListBackups, ORDERS, Both, "", Yes(&["orders-restore-look"])),
    ("orders-restore", &[], ListInstances, ORDERS, Both, "", No(&[])),
    ("orders-restore", &[], ListBackups, SESSIONS, Both, "", No(&[])),
    ("orders-restore", &[], ReadBackupUrls, ORDERS, Inner, "", Yes(&["orders-restore-read"])),
    ("orders-restore", &[], ReadBackupUrls, ORDERS, Public, "", No(&[])),
    ("orders-restore", &[], ReadBackupUrls, ORDERS, Both, "", No(&[])),
    ("orders-restore", &[], ReadBackupUrls, SESSIONS, Inner, "", No(&[])),
    ("somebody", &["orders-restore"], ReadBackupUrls, ORDERS, Inner, "", No(&[])),
    // Payments: the team, and only its own instances.
    ("carol", &["payments"], ListInstances, PAYMENTS, Both, "", Yes(&["payments"])),
    ("carol", &["payments"], ReadBackupUrls, PAYMENTS, Both, "", Yes(&["payments"])),
    ("carol", &["payments"], ReadBackupUrls, ORDERS, Both, "", No(&[])),
    ("carol", &["payments", "dba"], ReadBackupUrls, PAYMENTS, Both, "", Yes(&["dba", "payments"])),
    // The same id under the name of another region is still the payments instance.
    ("bob", &["oncall-chengdu"], ListBackups, ("crs-fsi3c9qz", "ap-chengdu"), Both, "", No(&["payments-only"])),
    // Suspended: nothing, whatever else they are.
    ("dave", &["dba", "suspended"], ListInstances, ORDERS, Both, "", No(&["suspended"])),
    ("dave", &["suspended", "payments"], ReadBackupUrls, PAYMENTS, Inner, "", No(&["suspended"])),
    ("dave", &["suspended", "dba"], ReadBackupUrls, PAYMENTS, Inner, "", No(&["payments-only", "suspended"])),
    ("dave", &["dba"], ListInstances, ORDERS, Both, "", Yes(&["dba"])),
    // A stranger: nothing.
    ("eve", &[], ListInstances, ORDERS, Both, "", No(&[])),
    ("eve", &["staff"], ReadBackupUrls, SESSIONS, Public, "INC-1", No(&[])),
];

#[test]
fn the_shipped_policies_do_what_their_comments_say() {
    let policies = shipped();

    for (subject, groups, action, (id, place), network, reason, answer) in ROWS {
        let (principal, instance, region) = (principal_of(&caller(subject, groups)), instance(id), region(place));

        let decision = policies.decide(&Request {
            action: *action,
            instance: &instance,
            region: &region,
            network: *network,
            reason,
            ..question(&principal)
        });

        let (allowed, by) = match answer {
            Yes(by) => (true, by),
            No(by) => (false, by),
        };
        let expected = Decision { allowed, policies: by.iter().map(|id| (*id).into()).collect(), failed: Vec::new() };
        assert_eq!(decision, expected, "{subject} in {groups:?}: {action:?} {id} in {place} {network:?} {reason:?}");
    }
}

#[test]
fn every_shipped_policy_is_seen_to_decide_and_to_stand_aside() {
    for id in shipped().ids() {
        let decides = |row: &&Row| match row.6 {
            Yes(by) | No(by) => by.contains(&&*id),
        };
        assert!(ROWS.iter().any(|row| decides(&row)), "{id} decides in no row");
        assert!(ROWS.iter().any(|row| !decides(&row)), "{id} decides in every row");
    }
}

#[test]
fn every_policy_in_the_documentation_is_valid() {
    let page = fs::read_to_string(in_repository("docs/policies.md")).unwrap();
    let blocks: Vec<_> = page.split("```cedar\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();

    for block in &blocks {
        let found = mistakes(block);
        assert!(found.is_empty(), "{block}\n{found:?}");
    }
    assert!(blocks.len() >= 5, "found only {} examples", blocks.len());
}
