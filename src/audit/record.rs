//! One record: the fields of contract section 9 as a line of JSON.
//!
//! It never holds a URL or a token.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use serde::Serialize;

use crate::domain::{Action, BackupId, Caller, InstanceId, Network, Region, RequestId, clock};

/// What was decided, for whom, and what came of it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The gateway's own id of this event, unique; the caller cannot choose it.
    pub event_id: RequestId,
    /// The id that the caller reads in the answer.
    pub request_id: RequestId,
    /// The trace that the caller is part of, where it said so.
    pub trace_id: Option<Arc<str>>,
    /// Who asked.
    pub caller: Arc<Caller>,
    /// The address that the request came from, as far as proxies are trusted.
    pub client_ip: IpAddr,
    /// `X-Access-Reason`; empty where none was given.
    pub reason: Arc<str>,
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

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    event_id: &'a str,
    request_id: &'a str,
    trace_id: Option<&'a str>,
    issuer: &'a str,
    subject: &'a str,
    groups: Vec<&'a str>,
    client_ip: IpAddr,
    reason: &'a str,
    action: Option<&'static str>,
    instance_id: Option<&'a str>,
    backup_id: Option<&'a str>,
    file: Option<u32>,
    file_name: Option<&'a str>,
    region: Option<&'a str>,
    network: Option<&'static str>,
    decision: &'static str,
    policies: Vec<&'a str>,
    status: u16,
    cache: &'static str,
    upstream_request_id: Option<&'a str>,
    expires_at: Option<String>,
}

impl Record {
    /// The record as one line of JSON with its line feed, for an answer of `status` at `time`.
    pub fn to_line(&self, time: SystemTime, status: u16) -> Vec<u8> {
        let line = Line {
            time: &clock::rfc3339_millis(time),
            event_id: self.event_id.as_str(),
            request_id: self.request_id.as_str(),
            trace_id: self.trace_id.as_deref(),
            issuer: &self.caller.issuer,
            subject: &self.caller.subject,
            groups: self.caller.groups.iter().map(AsRef::as_ref).collect(),
            client_ip: self.client_ip,
            reason: &self.reason,
            action: self.action.map(Action::as_str),
            instance_id: self.instance.as_ref().map(InstanceId::as_str),
            backup_id: self.backup.as_ref().map(BackupId::as_str),
            file: self.file,
            file_name: self.file_name.as_deref(),
            region: self.region.as_ref().map(Region::as_str),
            network: self.network.map(Network::as_str),
            decision: match self.decision {
                Decision::Allow => "allow",
                Decision::Deny => "deny",
                Decision::Error => "error",
            },
            policies: self.policies.iter().map(AsRef::as_ref).collect(),
            status,
            cache: match self.cache {
                CacheUse::Hit => "hit",
                CacheUse::Miss => "miss",
                CacheUse::Stale => "stale",
                CacheUse::None => "none",
            },
            upstream_request_id: self.upstream_request_id.as_deref(),
            expires_at: self.expires_at.map(clock::rfc3339),
        };
        let mut bytes = serde_json::to_vec(&line).expect("strings, numbers and lists always serialise");
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn record() -> Record {
        Record {
            event_id: RequestId::from_random(1),
            request_id: RequestId::from_random(2),
            trace_id: None,
            caller: Arc::new(Caller {
                issuer: "sso".into(),
                prefix: "".into(),
                subject: "alice\"\n{\"decision\":\"allow\"}".into(),
                groups: vec!["dba".into()],
                email: None,
                scopes: vec![],
                client: None,
            }),
            client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            reason: "INC-1".into(),
            action: Some(Action::ReadBackupUrls),
            instance: InstanceId::try_from("crs-4y9t57vt").ok(),
            backup: BackupId::try_from("678362566696298532848117").ok(),
            file: None,
            file_name: None,
            region: Region::try_from("ap-chengdu").ok(),
            network: Some(Network::Both),
            decision: Decision::Deny,
            policies: vec!["suspended".into()],
            cache: CacheUse::None,
            upstream_request_id: None,
            expires_at: None,
        }
    }

    #[test]
    fn a_record_is_one_line_that_reads_back_field_by_field() {
        let bytes = record().to_line(clock::from_unix_seconds(1_551_974_523), 403);

        let line: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(line["time"], "2019-03-07T16:02:03.000Z");
        assert_eq!(line["decision"], "deny");
        assert_eq!(line["status"], 403);
        assert_eq!(line["groups"], serde_json::json!(["dba"]));
        assert_eq!(line["policies"], serde_json::json!(["suspended"]));
    }

    #[test]
    fn a_hostile_name_cannot_forge_a_second_line() {
        let bytes = record().to_line(clock::from_unix_seconds(0), 403);

        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        let line: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(line["subject"], "alice\"\n{\"decision\":\"allow\"}");
    }
}
