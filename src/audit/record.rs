//! One record: who asked for what, what was decided, and what came of it.
//!
//! It never holds a URL or a token.

mod json;
mod render;

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use super::fingerprint::Fingerprints;
use crate::domain::{Action, BackupId, Caller, EventId, InstanceId, Network, Region, RequestId, TraceId};

pub(super) use render::{Renderer, STATUS_DIGITS};

/// What was decided, for whom, and what came of it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The gateway's own id of this event, unique; the caller cannot choose it.
    pub event_id: EventId,
    /// The id that the caller reads in the answer.
    pub request_id: RequestId,
    /// The trace that the request is part of, where there is one.
    pub trace_id: Option<TraceId>,
    /// Who asked.
    pub caller: Arc<Caller>,
    /// The address that the request came from, as far as proxies are trusted.
    pub client_ip: IpAddr,
    /// `X-Access-Reason`; the record says the empty text where there is none.
    pub reason: Option<Arc<str>>,
    /// What was asked for; `None` where the request could not be understood.
    pub action: Option<Action>,
    /// The instance; `None` where the request could not be understood.
    pub instance: Option<InstanceId>,
    /// The backup, where one was named.
    pub backup: Option<BackupId>,
    /// The file that the answer leads to, counted from 1; `None` where it is about all of them.
    pub file: Option<u32>,
    /// The name of that file, where there is one.
    pub file_name: Option<Arc<str>>,
    /// The region, where it is known.
    pub region: Option<Region>,
    /// The addresses that were asked for.
    pub network: Option<Network>,
    /// What was decided.
    pub decision: Decision,
    /// The ids of the policies that decided.
    pub policies: Vec<Arc<str>>,
    /// Where the answer came from.
    pub cache: CacheUse,
    /// The upstream's id of the call that the answer comes from.
    pub upstream_request_id: Option<Arc<str>>,
    /// When the first of the URLs dies, where there are any.
    pub expires_at: Option<SystemTime>,
    /// The fingerprints of the URLs that the answer carries.
    pub url_fingerprints: Fingerprints,
}

/// The outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A policy permits, and none forbids.
    Allow,
    /// No policy permits, or one forbids, or one failed.
    Deny,
    /// The request was not understood, so nothing was decided.
    Error,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// A fresh entry.
    Hit,
    /// The upstream.
    Miss,
    /// An entry past its freshness, because the upstream failed.
    Stale,
    /// There was no answer with URLs.
    None,
}

impl Decision {
    fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Error => "error",
        }
    }
}

impl CacheUse {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
pub(super) mod testing;
