//! Records for tests.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{CacheUse, Decision, Record};
use crate::domain::{Action, BackupId, Caller, EventId, InstanceId, Network, Region, RequestId};

/// A denied request of `subject`, with the id that `number` makes.
pub(in crate::audit) fn record_of(subject: &str, number: u128) -> Record {
    Record {
        event_id: EventId::from_bits(number),
        request_id: RequestId::from_bits(number + 1),
        trace_id: None,
        caller: Arc::new(Caller {
            issuer: "sso".into(),
            prefix: "".into(),
            subject: subject.into(),
            groups: vec!["dba".into()],
            email: None,
            scopes: vec![],
            client: None,
        }),
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        reason: Some("INC-1".into()),
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
        url_fingerprints: super::Fingerprints::default(),
    }
}
