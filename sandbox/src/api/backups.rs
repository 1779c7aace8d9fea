//! `DescribeInstanceBackups`: the backups of an instance, or of all instances of a region.

use serde_json::{Map, Value, json};

use super::{ApiError, Call};
use crate::estate::{Backup, Instance};
use crate::text::parse_vendor_time;

const KNOWN: [&str; 7] = ["Limit", "Offset", "InstanceId", "InstanceName", "BeginTime", "EndTime", "Status"];
const MOST: usize = 100;
const LONGEST_SPAN_S: i64 = 30 * 24 * 3600;
/// Without a filter the vendor lists finished backups only.
const NORMAL: i64 = 2;

pub(super) fn describe(call: &Call<'_>) -> Result<Map<String, Value>, ApiError> {
    let parameters = &call.parameters;
    parameters.only(&KNOWN)?;
    let page = parameters.page(MOST)?;
    let statuses = parameters.integers("Status")?.unwrap_or_else(|| vec![NORMAL]);
    let (begin, end) = (time(call, "BeginTime")?, time(call, "EndTime")?);
    if let (Some(begin), Some(end)) = (begin, end) {
        if begin > end {
            return Err(ApiError::invalid_value("BeginTime", "it is after EndTime"));
        }
        if end - begin > LONGEST_SPAN_S {
            return Err(ApiError::invalid_value("EndTime", "the span is longer than 30 days"));
        }
    }
    let instances = instances(call)?;
    let synthetic = if call.settings.list_synthetic { call.settings.synthetic_backups } else { 0 };
    let wanted: Vec<_> = instances
        .iter()
        .flat_map(|instance| {
            call.world.estate().backups(instance, synthetic).into_iter().map(move |backup| (instance, backup))
        })
        .filter(|(_, backup)| statuses.contains(&backup.status))
        .filter(|(_, backup)| {
            let start = parse_vendor_time(&backup.start);
            begin.is_none_or(|begin| start >= Some(begin)) && end.is_none_or(|end| start <= Some(end))
        })
        .collect();

    let set: Vec<_> = page.of(&wanted).map(|(instance, backup)| entry(instance, backup)).collect();
    Ok(Map::from_iter([("TotalCount".into(), wanted.len().into()), ("BackupSet".into(), set.into())]))
}

fn time(call: &Call<'_>, name: &str) -> Result<Option<i64>, ApiError> {
    let read =
        |text| parse_vendor_time(text).ok_or_else(|| ApiError::invalid_value(name, "expected YYYY-MM-DD hh:mm:ss"));
    call.parameters.string(name)?.map(read).transpose()
}

fn instances(call: &Call<'_>) -> Result<Vec<Instance>, ApiError> {
    let mut instances = match call.parameters.string("InstanceId")? {
        Some(id) => vec![call.instance(id)?.clone()],
        None => call.world.estate().in_region(call.region, 0),
    };
    if let Some(part) = call.parameters.string("InstanceName")? {
        instances.retain(|instance| instance.name.contains(part));
    }
    Ok(instances)
}

fn entry(instance: &Instance, backup: &Backup) -> Value {
    json!({
        "BackupId": backup.id,
        "BackupType": backup.kind,
        "Status": backup.status,
        "StartTime": backup.start,
        "EndTime": backup.end,
        "ExpireTime": backup.expire,
        "Locked": i64::from(backup.locked),
        "Encrypted": backup.encrypted,
        "Remark": backup.remark,
        "FileType": format!("RDB-Redis {}", instance.version),
        "BackupSize": 0,
        "FullBackup": 0,
        "InstanceType": 0,
        "InstanceId": instance.id,
        "InstanceName": instance.name,
        "Region": instance.region,
    })
}
