//! Decisions and mistakes, over policies written for the purpose.

mod decisions;
mod mistakes;
mod properties;

use std::sync::Arc;

use super::{Decision, Policies, Principal, Request, fixtures::*};
use crate::domain::{Action, Caller};

fn ids(ids: &[&str]) -> Vec<Arc<str>> {
    ids.iter().map(|id| (*id).into()).collect()
}

/// Whether this caller may read both addresses of the orders database's backups.
fn allows(policies: &Policies, caller: &Caller) -> bool {
    policies.decide(&question(&principal_of(caller))).allowed
}
