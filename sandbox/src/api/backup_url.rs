//! `DescribeBackupUrl`: the pre-signed URLs of one backup, one entry for each shard.

use serde_json::{Map, Value, json};

use super::parameters::Parameters;
use super::{ApiError, Call, Content};
use crate::known;
use crate::settings::{Part, Shape};
use crate::storage::{self, File};

/// The output sample of the vendor's page, byte for byte.
const SEED_DOCUMENT: &str = include_str!("../seed-response.json");

const KNOWN: [&str; 7] =
    ["InstanceId", "BackupId", "LimitType", "VpcComparisonSymbol", "IpComparisonSymbol", "LimitVpc", "LimitIp"];

pub(super) fn describe(call: &Call<'_>) -> Result<Content, ApiError> {
    let parameters = &call.parameters;
    parameters.only(&KNOWN)?;
    let instance_id = parameters.needed_string("InstanceId")?;
    let backup_id = parameters.needed_string("BackupId")?;
    check_restriction(parameters)?;
    call.world.asked_for_backup(instance_id, backup_id);

    let instance = call.instance(instance_id)?;
    let backup = call.world.estate().backup(instance, backup_id, call.settings.synthetic_backups).ok_or_else(|| {
        ApiError::new("InvalidParameterValue.BackupNotExists", format!("The backup `{backup_id}` does not exist."))
    })?;
    if !matches!(backup.status, 2 | 4) {
        return Err(ApiError::new(
            "ResourceUnavailable.BackupStatusInvalid",
            format!("The status of the backup `{backup_id}` does not allow this operation."),
        ));
    }
    if call.settings.verbatim_seed && instance.id == known::ORDERS && backup.id == known::SEED_BACKUP {
        return Ok(Content::Verbatim(SEED_DOCUMENT));
    }

    let host = call.world.addresses.storage.to_string();
    let files = storage::files(instance, &backup, &call.settings, &host, call.world.cloud_now());
    Ok(Content::Members(members(&files, call.settings.shape)))
}

/// The fields that narrow down who may download, as far as the vendor tells their rules.
fn check_restriction(parameters: &Parameters) -> Result<(), ApiError> {
    let one_of = |name: &str, allowed: &[&str]| match parameters.string(name)? {
        Some(value) if !allowed.contains(&value) => {
            Err(ApiError::invalid_value(name, "it is none of those documented"))
        }
        value => Ok(value),
    };
    let limit_type = one_of("LimitType", &["NoLimit", "LimitOnlyIntranet", "Customize"])?;
    one_of("VpcComparisonSymbol", &["In"])?;
    one_of("IpComparisonSymbol", &["In", "NotIn"])?;
    let has_vpcs = parameters.has_objects("LimitVpc")?;
    let has_ips = parameters.strings("LimitIp")?.is_some_and(|ips| !ips.is_empty());
    if limit_type == Some("Customize") && !has_vpcs && !has_ips {
        return Err(ApiError::invalid_value("LimitType", "Customize needs LimitVpc or LimitIp"));
    }
    Ok(())
}

fn members(files: &[File], shape: Shape) -> Map<String, Value> {
    let mut members = Map::new();
    let list = |of: fn(&File) -> &str| Value::from(files.iter().map(of).collect::<Vec<_>>());
    let infos = files.iter().map(|file| {
        let mut info = json!({"FileName": file.name, "DownloadUrl": file.url, "InnerDownloadUrl": file.inner_url});
        match shape.file_size {
            Part::Full => info["FileSize"] = file.size.into(),
            Part::Null => info["FileSize"] = Value::Null,
            // The vendor calls a size of 0 invalid.
            Part::Empty => info["FileSize"] = 0.into(),
            Part::Absent => {}
        }
        info
    });
    put(&mut members, shape.backup_infos, "BackupInfos", infos.collect::<Vec<_>>().into());
    put(&mut members, shape.legacy, "DownloadUrl", list(|file| &file.url));
    put(&mut members, shape.legacy, "InnerDownloadUrl", list(|file| &file.inner_url));
    put(&mut members, shape.legacy, "Filenames", list(|file| &file.name));
    members
}

fn put(members: &mut Map<String, Value>, part: Part, name: &str, value: Value) {
    let value = match part {
        Part::Full => value,
        Part::Null => Value::Null,
        Part::Empty => json!([]),
        Part::Absent => return,
    };
    members.insert(name.into(), value);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::text::hex;
    use aws_lc_rs::digest::{SHA256, digest};

    fn one_file() -> [File; 1] {
        [File { name: "1.rdb".into(), size: 7, url: "http://a/".into(), inner_url: "http://b/".into() }]
    }

    #[test]
    fn every_member_can_be_full_absent_null_or_empty() {
        let shape = |backup_infos, legacy| Shape { backup_infos, legacy, file_size: Part::Full };
        // As a set: whether JSON objects keep their order is decided by whoever else is in the build.
        let names = |shape| members(&one_file(), shape).keys().cloned().collect::<BTreeSet<String>>();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();

        assert_eq!(names(Shape::legacy_only()), set(&["DownloadUrl", "Filenames", "InnerDownloadUrl"]));
        assert_eq!(names(Shape::backup_infos_only()), set(&["BackupInfos"]));
        assert_eq!(members(&one_file(), shape(Part::Null, Part::Full))["BackupInfos"], Value::Null);
        assert_eq!(members(&one_file(), shape(Part::Full, Part::Empty))["DownloadUrl"], json!([]));
        assert_eq!(members(&one_file(), shape(Part::Full, Part::Null))["Filenames"], Value::Null);
    }

    #[test]
    fn the_seed_document_is_the_vendors_to_the_byte() {
        let hash = digest(&SHA256, SEED_DOCUMENT.as_bytes());

        // Of what stands between the fences under "Output Sample Code" of the vendor's page.
        assert_eq!(hex(hash.as_ref()), "737ef3251cb4906d8279c05d376990b41315388be61e661dfa5064d41ff3dc81");
        assert_eq!(SEED_DOCUMENT.len(), 4478);
    }
}
