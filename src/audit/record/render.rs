//! From a record to its line, by hand: a serde struct takes twenty times as long, on the path of every hit.

use std::{io::Write as _, net::IpAddr, time::SystemTime};

use super::{
    Record,
    json::{free, list, member, name, number, plain},
};
use crate::{
    audit::chain::BEGINNING,
    domain::{
        Action, BackupId, InstanceId, Network, Region,
        clock::{rfc3339, rfc3339_millis, unix_seconds},
        decimal::push_decimal,
    },
};

/// What a worker keeps from one record to the next: a second is put into words once.
#[derive(Debug, Default)]
pub(in crate::audit) struct Renderer {
    now: Memo,
    expiry: Memo,
}

#[derive(Debug, Default)]
struct Memo {
    second: Option<u64>,
    text: String,
}

/// The digits of a status in a record.
pub(in crate::audit) const STATUS_DIGITS: usize = 3;

impl Renderer {
    /// Appends `record` to `out` as the beginning of an object in JSON, up to where the chain's own fields follow, for
    /// an answer of `status` at `time`.
    ///
    /// Returns where in `out` the three digits of the status stand.
    pub(in crate::audit) fn render(
        &mut self,
        record: &Record,
        time: SystemTime,
        status: u16,
        out: &mut Vec<u8>,
    ) -> usize {
        let caller = &record.caller;
        out.extend_from_slice(BEGINNING);
        self.now(time, out);
        plain(out, member!("event_id"), Some(record.event_id.as_str()));
        plain(out, member!("request_id"), Some(record.request_id.as_str()));
        name(out, member!("trace_id"));
        match record.trace_id {
            Some(id) => write!(out, "\"{id}\"").expect("memory takes whatever is written"),
            None => out.extend_from_slice(b"null"),
        }
        free(out, member!("issuer"), Some(&caller.issuer));
        free(out, member!("subject"), Some(&caller.subject));
        list(out, member!("groups"), &caller.groups);
        name(out, member!("client_ip"));
        out.push(b'"');
        address(out, record.client_ip);
        out.push(b'"');
        free(out, member!("reason"), Some(record.reason.as_deref().unwrap_or_default()));
        plain(out, member!("action"), record.action.map(Action::as_str));
        plain(out, member!("instance_id"), record.instance.as_ref().map(InstanceId::as_str));
        plain(out, member!("backup_id"), record.backup.as_ref().map(BackupId::as_str));
        number(out, member!("file"), record.file);
        free(out, member!("file_name"), record.file_name.as_deref());
        plain(out, member!("region"), record.region.as_ref().map(Region::as_str));
        plain(out, member!("network"), record.network.map(Network::as_str));
        plain(out, member!("decision"), Some(record.decision.as_str()));
        list(out, member!("policies"), &record.policies);
        name(out, member!("status"));
        let status_at = out.len();
        digits(out, u32::from(status.clamp(100, 999)));
        plain(out, member!("cache"), Some(record.cache.as_str()));
        free(out, member!("upstream_request_id"), record.upstream_request_id.as_deref());
        plain(out, member!("expires_at"), record.expires_at.map(|time| self.expiry.text(time, rfc3339)));
        name(out, member!("url_fingerprints"));
        out.extend_from_slice(record.url_fingerprints.as_json().as_bytes());
        status_at
    }

    /// `2019-03-07T16:02:03.004Z"`: the text of the second, and the milliseconds of this moment.
    fn now(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        const UP_TO_THE_POINT: usize = "2019-03-07T16:02:03.".len();
        let text = self.now.text(time, rfc3339_millis).as_bytes();
        out.extend_from_slice(&text[..UP_TO_THE_POINT]);
        digits(out, time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_millis()));
        out.extend_from_slice(b"Z\"");
    }
}

impl Memo {
    fn text(&mut self, time: SystemTime, render: fn(SystemTime) -> String) -> &str {
        let second = unix_seconds(time);
        if self.second != Some(second) {
            self.text = render(time);
            self.second = Some(second);
        }
        &self.text
    }
}

/// Appends an address. That of the fourth version by hand: nearly all are, and formatting takes ten times as long.
fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                push_decimal(out, octet.into());
            }
        }
        IpAddr::V6(address) => write!(out, "{address}").expect("memory takes whatever is written"),
    }
}

/// Appends a number below 1000 with three digits.
fn digits(out: &mut Vec<u8>, number: u32) {
    out.extend([100, 10, 1].map(|unit| b"0123456789"[(number / unit % 10) as usize]));
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{
        super::{
            super::{fingerprint::Fingerprints, key::testing::keys},
            CacheUse, Decision,
            testing::record_of,
        },
        *,
    };
    use crate::domain::{Caller, RequestId, TraceId, clock::from_unix_seconds};

    fn rendered(record: &Record, time: SystemTime, status: u16) -> String {
        let mut out = Vec::new();
        Renderer::default().render(record, time, status, &mut out);
        out.push(b'}');
        String::from_utf8(out).unwrap()
    }

    /// The fields of contract section 9 that are not the chain's, in its order.
    fn expected(record: &Record, time: SystemTime, status: u16) -> Value {
        json!({
            "time": rfc3339_millis(time),
            "event_id": record.event_id.as_str(),
            "request_id": record.request_id.as_str(),
            "trace_id": record.trace_id.map(|id| id.to_string()),
            "issuer": &*record.caller.issuer,
            "subject": &*record.caller.subject,
            "groups": record.caller.groups.iter().map(|group| &**group).collect::<Vec<_>>(),
            "client_ip": record.client_ip,
            "reason": record.reason.as_deref().unwrap_or_default(),
            "action": record.action.map(Action::as_str),
            "instance_id": record.instance.as_ref().map(InstanceId::as_str),
            "backup_id": record.backup.as_ref().map(BackupId::as_str),
            "file": record.file,
            "file_name": record.file_name.as_deref(),
            "region": record.region.as_ref().map(Region::as_str),
            "network": record.network.map(Network::as_str),
            "decision": record.decision.as_str(),
            "policies": record.policies.iter().map(|policy| &**policy).collect::<Vec<_>>(),
            "status": status,
            "cache": record.cache.as_str(),
            "upstream_request_id": record.upstream_request_id.as_deref(),
            "expires_at": record.expires_at.map(rfc3339),
            "url_fingerprints": serde_json::from_str::<Value>(record.url_fingerprints.as_json()).unwrap(),
        })
    }

    #[test]
    fn a_record_has_the_contracts_fields_in_its_order() {
        let record = record_of("alice", 1);

        let line = rendered(&record, from_unix_seconds(1_551_974_523) + Duration::from_millis(4), 403);

        assert_eq!(
            line,
            "{\"time\":\"2019-03-07T16:02:03.004Z\",\"event_id\":\"00000000000000000000000000000001\",\
             \"request_id\":\"00000000000000000000000000000002\",\"trace_id\":null,\"issuer\":\"sso\",\
             \"subject\":\"alice\",\"groups\":[\"dba\"],\"client_ip\":\"127.0.0.1\",\"reason\":\"INC-1\",\
             \"action\":\"ReadBackupUrls\",\"instance_id\":\"crs-4y9t57vt\",\
             \"backup_id\":\"678362566696298532848117\",\"file\":null,\"file_name\":null,\"region\":\"ap-chengdu\",\"network\":\"both\",\
             \"decision\":\"deny\",\"policies\":[\"suspended\"],\"status\":403,\"cache\":\"none\",\
             \"upstream_request_id\":null,\"expires_at\":null,\"url_fingerprints\":[]}"
        );
    }

    #[test]
    fn a_hostile_name_cannot_forge_a_second_line_or_a_member() {
        let name = "alice\",\"decision\":\"allow\"}\n{\"decision\":\"allow\u{2028}";

        let line = rendered(&record_of(name, 1), from_unix_seconds(0), 403);

        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["subject"], name);
        assert_eq!(read["decision"], "deny");
        assert_eq!(line.matches("\"decision\":\"").count(), 1);
        assert!(!line.contains(['\n', '\u{2028}']));
    }

    #[test]
    fn what_is_remembered_of_the_last_record_is_not_taken_for_another_second() {
        let mut renderer = Renderer::default();
        let mut record = record_of("alice", 1);
        let start = from_unix_seconds(1_551_974_523);

        for millis in [0, 999, 1000, 999, 61_001] {
            let time = start + Duration::from_millis(millis);
            record.expires_at = Some(time + Duration::from_secs(60));
            let mut out = Vec::new();
            let status_at = renderer.render(&record, time, 200, &mut out);
            assert_eq!(&out[status_at..][..STATUS_DIGITS], b"200");
            out.push(b'}');

            assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected(&record, time, 200));
        }
    }

    fn texts() -> impl Strategy<Value = Vec<Arc<str>>> {
        prop::collection::vec(".{0,20}".prop_map(Arc::from), 0..4)
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_record_is_read_back_by_serde(
            texts in [texts(), texts()],
            single in prop::array::uniform4(".{0,40}"),
            (given, files) in (any::<bool>(), 0..4usize),
            (millis, status) in (0..4_000_000_000_000_u64, 100..=599_u16),
        ) {
            let [groups, policies] = texts;
            let [issuer, subject, reason, upstream] = single;
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            let record = Record {
                request_id: RequestId::try_from("a.B_c-9").unwrap(),
                trace_id: given.then(|| TraceId::from_bits(u128::from(millis))),
                caller: Arc::new(Caller {
                    issuer: issuer.into(),
                    subject: subject.into(),
                    groups,
                    ..(*record_of("", 1).caller).clone()
                }),
                client_ip: if given { "2001:db8::1" } else { "192.0.2.1" }.parse().unwrap(),
                reason: Some(reason.into()),
                action: given.then_some(Action::ListBackups),
                file: given.then_some(files as u32),
                file_name: given.then(|| upstream.as_str().into()),
                region: None,
                decision: if given { Decision::Allow } else { Decision::Error },
                policies,
                cache: if given { CacheUse::Hit } else { CacheUse::Stale },
                upstream_request_id: given.then(|| upstream.into()),
                expires_at: given.then_some(time),
                url_fingerprints: Fingerprints::of(keys(7, &[]).current(), ["https://h/1", "b", "c"].into_iter().take(files)),
                ..record_of("", 2)
            };

            let line = rendered(&record, time, status);

            prop_assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected(&record, time, status));
            prop_assert!(!line.contains('\n'));
        }
    }
}
