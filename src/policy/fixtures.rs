//! Callers, questions and policies for the tests of this room.

use std::{
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, LazyLock},
};

use super::{Policies, PolicyErrors, Principal, Request, compile::SourceFile};
use crate::domain::{Action, Caller, InstanceId, Network, Region};

static ORDERS: LazyLock<InstanceId> = LazyLock::new(|| instance("crs-4y9t57vt"));
static CHENGDU: LazyLock<Region> = LazyLock::new(|| region("ap-chengdu"));

pub(super) fn instance(id: &str) -> InstanceId {
    InstanceId::try_from(id).unwrap()
}

pub(super) fn region(name: &str) -> Region {
    Region::try_from(name).unwrap()
}

/// A caller of the issuer `sso`, which has no prefix.
pub(super) fn caller(subject: &str, groups: &[&str]) -> Caller {
    Caller {
        issuer: "sso".into(),
        prefix: "".into(),
        subject: subject.into(),
        groups: groups.iter().map(|group| (*group).into()).collect(),
        email: None,
        scopes: Vec::new(),
        client: None,
    }
}

pub(super) fn principal_of(caller: &Caller) -> Principal {
    Principal::new(&Arc::new(caller.clone()))
}

/// May they read the backups of the orders database in Chengdu, both addresses, from 192.0.2.1, for no reason?
pub(super) fn question(principal: &Principal) -> Request<'_> {
    Request {
        principal,
        action: Action::ReadBackupUrls,
        instance: &ORDERS,
        region: &CHENGDU,
        network: Network::Both,
        client_ip: Ipv4Addr::new(192, 0, 2, 1).into(),
        reason: "",
    }
}

/// The policies of one file, `test.cedar`.
pub(super) fn load(text: &str) -> Result<Policies, PolicyErrors> {
    load_files(&[("test", text)])
}

/// The policies of files given by stem and text.
pub(super) fn load_files(files: &[(&str, &str)]) -> Result<Policies, PolicyErrors> {
    let files: Vec<_> = files
        .iter()
        .map(|(stem, text)| SourceFile {
            path: format!("{stem}.cedar").into(),
            stem: (*stem).to_owned(),
            text: (*text).to_owned(),
        })
        .collect();
    Policies::from_files(Path::new("policies"), &files, Vec::new())
}

/// The policies of one file that has no mistake.
pub(super) fn policies(text: &str) -> Policies {
    load(text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The mistakes of one file, a line each.
pub(super) fn mistakes(text: &str) -> Vec<String> {
    match load(text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}
