//! `DescribeInstances`: the instances of a region. The filters that nobody needs here are unknown parameters.

use serde_json::{Map, Value, json};

use super::{ApiError, Call};
use crate::estate::Instance;

const KNOWN: [&str; 8] =
    ["Limit", "Offset", "InstanceId", "InstanceIds", "InstanceName", "SearchKey", "Status", "TypeList"];
const MOST: usize = 1000;

pub(super) fn describe(call: &Call<'_>) -> Result<Map<String, Value>, ApiError> {
    let parameters = &call.parameters;
    parameters.only(&KNOWN)?;
    let page = parameters.page(MOST)?;
    let id = parameters.string("InstanceId")?;
    let ids = parameters.strings("InstanceIds")?;
    let name = parameters.string("InstanceName")?;
    let search = parameters.string("SearchKey")?;
    let statuses = parameters.integers("Status")?;
    let kinds = parameters.integers("TypeList")?;

    let mut instances = call.world.estate().in_region(call.region, call.settings.synthetic_instances);
    instances.retain(|instance| {
        id.is_none_or(|id| instance.id == id)
            && ids.as_ref().is_none_or(|ids| ids.contains(&instance.id.as_str()))
            && name.is_none_or(|name| instance.name.contains(name))
            && search.is_none_or(|key| instance.id.contains(key) || instance.name.contains(key))
            && statuses.as_ref().is_none_or(|statuses| statuses.contains(&instance.status))
            && kinds.as_ref().is_none_or(|kinds| kinds.contains(&i64::from(instance.kind)))
    });

    let set: Vec<_> = page.of(&instances).map(entry).collect();
    Ok(Map::from_iter([("TotalCount".into(), instances.len().into()), ("InstanceSet".into(), set.into())]))
}

/// An entry of `InstanceSet`: what differs from instance to instance, over what does not.
fn entry(instance: &Instance) -> Value {
    let mut entry = unvarying();
    let own = json!({
        "InstanceId": instance.id,
        "InstanceName": instance.name,
        "Region": instance.region,
        "RegionId": instance.region_id(),
        "ZoneId": instance.region_id() * 10_000 + 1,
        "Status": instance.status,
        "Size": 1024 * instance.shards,
        "Type": instance.kind,
        "ProductType": instance.product_type(),
        "CurrentRedisVersion": format!("{}.14", instance.version),
        "RedisShardNum": instance.shards,
    });
    if let (Value::Object(all), Value::Object(own)) = (&mut entry, own) {
        all.extend(own);
    }
    entry
}

fn unvarying() -> Value {
    json!({
        "Appid": 1_251_937_656,
        "ProjectId": 0,
        "ProjectName": "default",
        "VpcId": 75_101,
        "SubnetId": 46_315,
        "UniqVpcId": "vpc-fk33jsf4",
        "UniqSubnetId": "subnet-fd3j6l35",
        "SubStatus": 0,
        "InstanceTitle": "实例运行中",
        "WanIp": "10.0.0.17",
        "Port": 6379,
        "Createtime": "2019-01-15 10:20:00",
        "DeadlineTime": "0000-00-00 00:00:00",
        "OfflineTime": "0000-00-00 00:00:00",
        "CloseTime": "0000-00-00 00:00:00",
        "SizeUsed": 0,
        "Engine": "Redis",
        "ProductVersion": "local",
        "CurrentProxyVersion": "5.8.12",
        "RedisShardSize": 1024,
        "RedisReplicasNum": 1,
        "BillingMode": 0,
        "AutoRenewFlag": 0,
        "Tags": null,
        "InstanceTags": [],
        "InstanceNode": null,
        "NodeSet": null,
        "NoAuth": false,
        "ClientLimit": 10_000,
        "NetLimit": 96,
        "MonitorVersion": "5s",
        "BackupMode": "NormalLevelBackup",
    })
}
