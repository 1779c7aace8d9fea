//! `DescribeInstances` and `DescribeInstanceBackups`: the instances of a region, the backups of an instance.
//!
//! Values on which the vendor's documents contradict themselves are passed through, not interpreted.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{encode, open};
use crate::{
    domain::{BackupId, InstanceId, Region},
    tencent::error::{CallError, UpstreamRequestId},
};

/// The vendor's local date-times; it names no zone.
const DATE_TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

/// A part of a listing. The vendor takes at most 1000 instances or 100 backups at once, and offsets that are a multiple
/// of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    /// Entries to pass over.
    pub offset: u32,
    /// Entries to list.
    pub limit: u32,
}

/// Which backups of an instance are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BackupFilter {
    /// Of these states; of all where it is empty (the vendor, unasked, lists only normal ones).
    pub statuses: Vec<BackupStatus>,
    /// Started at or after this local time of the vendor.
    pub since: Option<PrimitiveDateTime>,
    /// Started at or before this local time of the vendor, at most 30 days later.
    pub until: Option<PrimitiveDateTime>,
}

/// Instances of one region, in the vendor's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstancePage {
    /// The instances of this page. One whose id does not parse is left out: no route could name it.
    pub items: Vec<Instance>,
    /// How many the vendor has in this region, on all pages.
    pub total: u64,
    /// The vendor's id of the call.
    pub request_id: UpstreamRequestId,
}

/// An instance of the vendor's Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The name that its owner gave it.
    pub name: String,
    /// Where it is: what the vendor says, else the region that was asked.
    pub region: Region,
    /// Its state.
    pub status: InstanceStatus,
    /// The vendor's `ProductType`: `standalone` or `cluster`.
    pub product_type: Option<String>,
    /// How many shards it has, and so files each of its backups.
    pub shards: Option<u32>,
    /// The version of Redis that it is compatible with, for example `6.2`.
    pub version: Option<String>,
}

/// The state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InstanceStatus {
    /// 0: to be initialised.
    ToInit,
    /// 1: something is being done with it.
    InFlow,
    /// 2: running.
    Running,
    /// -2: isolated, for example for want of payment.
    Isolated,
    /// -3: to be deleted.
    ToDelete,
    /// A number that the vendor does not document.
    Unknown,
}

/// Backups of one instance, in the vendor's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupPage {
    /// The backups of this page. One whose id does not parse is left out: no route could name it.
    pub items: Vec<Backup>,
    /// How many the vendor has that pass the filter, on all pages.
    pub total: u64,
    /// The vendor's id of the call.
    pub request_id: UpstreamRequestId,
}

/// A backup of an instance. Texts are the vendor's own; date-times are local, without a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its id.
    pub id: BackupId,
    /// Its state.
    pub status: BackupStatus,
    /// `BackupType`. The vendor's documents contradict each other on what 0 and 1 mean.
    pub backup_type: Option<String>,
    /// When it was started, for example `2019-03-07 10:00:01`.
    pub start_time: Option<String>,
    /// When it was done.
    pub end_time: Option<String>,
    /// When it will be deleted.
    pub expire_time: Option<String>,
    /// The format, for example `RDB-Redis 6.2`.
    pub file_type: Option<String>,
    /// Whether its files are encrypted, where the vendor says so.
    pub encrypted: Option<bool>,
    /// Whether it is locked against deletion, where the vendor says so.
    pub locked: Option<bool>,
    /// What its owner noted; may be empty.
    pub remark: String,
}

/// The state of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackupStatus {
    /// 1: something is being done with it.
    Locked,
    /// 2: it can be downloaded.
    Normal,
    /// -1: expired.
    Expired,
    /// 3: being exported.
    Exporting,
    /// 4: exported.
    Exported,
    /// A number that the vendor does not document.
    Unknown,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InstancesRequest {
    limit: u32,
    offset: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstancesAnswer {
    total_count: u64,
    instance_set: Option<Vec<InstanceEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceEntry {
    instance_id: Option<String>,
    instance_name: Option<String>,
    region: Option<String>,
    status: Option<i64>,
    r#type: Option<i64>,
    product_type: Option<String>,
    redis_shard_num: Option<i64>,
    current_redis_version: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BackupsRequest<'a> {
    instance_id: &'a str,
    limit: u32,
    offset: u32,
    status: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    begin_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BackupsAnswer {
    total_count: u64,
    backup_set: Option<Vec<BackupEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BackupEntry {
    backup_id: Option<String>,
    status: Option<i64>,
    backup_type: Option<Value>,
    start_time: Option<String>,
    end_time: Option<String>,
    expire_time: Option<String>,
    file_type: Option<String>,
    encrypted: Option<Value>,
    locked: Option<Value>,
    remark: Option<String>,
}

/// The body of a call for the instances of a region.
pub fn instances_request(page: Page) -> Vec<u8> {
    encode(&InstancesRequest { limit: page.limit, offset: page.offset })
}

/// Reads a list of instances. `asked` is the region that the call was for.
///
/// # Errors
/// Where the vendor refused, or the answer is not a list of instances.
pub fn instances(answer: &[u8], asked: &Region) -> Result<InstancePage, CallError> {
    let (answer, request_id): (InstancesAnswer, _) = open(answer)?;
    let items = read_each("instances", answer.instance_set, |entry| entry.read(asked));
    Ok(InstancePage { items, total: answer.total_count, request_id })
}

/// The body of a call for the backups of an instance.
pub fn backups_request(instance: &InstanceId, page: Page, filter: &BackupFilter) -> Vec<u8> {
    let statuses = if filter.statuses.is_empty() { &BackupStatus::ALL[..] } else { &filter.statuses };
    let local = |time: PrimitiveDateTime| time.format(DATE_TIME).expect("a date and a time have all of its parts");
    encode(&BackupsRequest {
        instance_id: instance.as_str(),
        limit: page.limit,
        offset: page.offset,
        status: statuses.iter().filter_map(|status| status.number()).collect(),
        begin_time: filter.since.map(local),
        end_time: filter.until.map(local),
    })
}

/// Reads a list of backups.
///
/// # Errors
/// Where the vendor refused, or the answer is not a list of backups.
pub fn backups(answer: &[u8]) -> Result<BackupPage, CallError> {
    let (answer, request_id): (BackupsAnswer, _) = open(answer)?;
    let items = read_each("backups", answer.backup_set, BackupEntry::read);
    Ok(BackupPage { items, total: answer.total_count, request_id })
}

/// What can be named of a list. The log says how many others there are, once for all of them.
fn read_each<E, T>(of: &'static str, entries: Option<Vec<E>>, read: impl Fn(E) -> Option<T>) -> Vec<T> {
    let entries = entries.unwrap_or_default();
    let count = entries.len();
    let items: Vec<T> = entries.into_iter().filter_map(read).collect();
    if items.len() < count {
        tracing::warn!(of, left_out = count - items.len(), "a listing has entries whose id does not parse");
    }
    items
}

impl InstanceEntry {
    fn read(self, asked: &Region) -> Option<Instance> {
        let id = InstanceId::try_from(self.instance_id.as_deref()?).ok()?;
        Some(Instance {
            id,
            name: self.instance_name.unwrap_or_default(),
            region: self
                .region
                .and_then(|region| Region::try_from(region.as_str()).ok())
                .unwrap_or_else(|| asked.clone()),
            status: InstanceStatus::from(self.status),
            product_type: said(self.product_type),
            shards: self.redis_shard_num.and_then(|number| u32::try_from(number).ok()),
            version: self.r#type.and_then(version_of).map(str::to_owned).or_else(|| said(self.current_redis_version)),
        })
    }
}

impl BackupEntry {
    fn read(self) -> Option<Backup> {
        let id = BackupId::try_from(self.backup_id.as_deref()?).ok()?;
        let backup_type = match self.backup_type {
            Some(Value::String(text)) => said(Some(text)),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Some(Backup {
            id,
            status: BackupStatus::from(self.status),
            backup_type,
            start_time: said(self.start_time),
            end_time: said(self.end_time),
            expire_time: said(self.expire_time),
            file_type: said(self.file_type),
            encrypted: self.encrypted.as_ref().and_then(flag),
            locked: self.locked.as_ref().and_then(flag),
            remark: self.remark.unwrap_or_default(),
        })
    }
}

impl InstanceStatus {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToInit => "to_init",
            Self::InFlow => "in_flow",
            Self::Running => "running",
            Self::Isolated => "isolated",
            Self::ToDelete => "to_delete",
            Self::Unknown => "unknown",
        }
    }
}

impl From<Option<i64>> for InstanceStatus {
    fn from(number: Option<i64>) -> Self {
        match number {
            Some(0) => Self::ToInit,
            Some(1) => Self::InFlow,
            Some(2) => Self::Running,
            Some(-2) => Self::Isolated,
            Some(-3) => Self::ToDelete,
            _ => Self::Unknown,
        }
    }
}

impl BackupStatus {
    /// All that can be asked for.
    pub const ALL: [Self; 5] = [Self::Locked, Self::Normal, Self::Expired, Self::Exporting, Self::Exported];

    /// The name in queries and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Normal => "normal",
            Self::Expired => "expired",
            Self::Exporting => "exporting",
            Self::Exported => "exported",
            Self::Unknown => "unknown",
        }
    }

    /// The state of that name; `None` where it cannot be asked for.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// The vendor's number.
    fn number(self) -> Option<i64> {
        match self {
            Self::Locked => Some(1),
            Self::Normal => Some(2),
            Self::Expired => Some(-1),
            Self::Exporting => Some(3),
            Self::Exported => Some(4),
            Self::Unknown => None,
        }
    }
}

impl From<Option<i64>> for BackupStatus {
    fn from(number: Option<i64>) -> Self {
        Self::ALL.into_iter().find(|status| number.is_some() && status.number() == number).unwrap_or(Self::Unknown)
    }
}

/// The version of Redis behind the vendor's `Type` of an instance, by the table in the documents of `InstanceSet`.
/// Its `CurrentRedisVersion` is the number of the vendor's own build and only the second choice.
fn version_of(instance_type: i64) -> Option<&'static str> {
    match instance_type {
        2 | 5 => Some("2.8"),
        3 | 4 => Some("3.2"),
        6 | 7 => Some("4.0"),
        8 | 9 => Some("5.0"),
        15 | 16 => Some("6.2"),
        17 | 18 => Some("7.0"),
        _ => None,
    }
}

/// A text that says something.
fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A truth value, which the vendor writes as `true` or as 0 and 1.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => number.as_i64().map(|number| number != 0),
        _ => None,
    }
}
