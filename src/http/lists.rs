//! Bodies of `/instances` and `/instances/{instance_id}/backups`. What the vendor does not say is `null`.

use actix_web::{HttpResponse, http::header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    broker::{BackupList, BackupsAsk, InstanceList, InstancesAsk, ListedInstance},
    domain::Region,
    tencent::wire::Backup,
};

/// A page of the instances that the caller may see.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceList)]
pub(super) struct InstancesBody<'a> {
    /// By region as configured, within one in the vendor's order.
    instances: Vec<InstanceItem<'a>>,
    /// How many the caller may see, on all pages.
    total: u64,
    /// The most that this page could list.
    limit: u32,
    /// How many were passed over.
    offset: u32,
    /// Regions that could not be asked, so that instances of theirs are missing here.
    unavailable_regions: Vec<&'a str>,
}

/// An instance.
#[derive(Serialize, ToSchema)]
#[schema(as = Instance)]
struct InstanceItem<'a> {
    #[schema(example = "crs-4y9t57vt")]
    instance_id: &'a str,
    /// The name that its owner gave it.
    name: &'a str,
    region: &'a str,
    /// `to_init`, `in_flow` (something is being done with it), `running`, `isolated`, `to_delete` or `unknown`.
    status: &'static str,
    /// The vendor's word: `standalone` or `cluster`.
    #[schema(required = true)]
    product_type: Option<&'a str>,
    /// How many shards it has, and so files each of its backups.
    #[schema(required = true)]
    shards: Option<u32>,
    /// The version of Redis that it is compatible with.
    #[schema(required = true)]
    version: Option<&'a str>,
}

/// A page of the backups of one instance, in the vendor's order.
#[derive(Serialize, ToSchema)]
#[schema(as = BackupList)]
pub(super) struct BackupsBody<'a> {
    instance_id: &'a str,
    region: &'a str,
    backups: Vec<BackupItem<'a>>,
    /// How many pass the filter, on all pages.
    total: u64,
    /// The most that this page could list.
    limit: u32,
    /// How many were passed over.
    offset: u32,
}

/// A backup. Date-times are the vendor's own, local and without a zone.
#[derive(Serialize, ToSchema)]
#[schema(as = Backup)]
struct BackupItem<'a> {
    backup_id: &'a str,
    /// `locked` (something is being done with it), `normal`, `expired`, `exporting`, `exported` or `unknown`.
    status: &'static str,
    /// The vendor's `BackupType`, as it is: its documents contradict each other on what `0` and `1` mean.
    #[schema(required = true)]
    r#type: Option<&'a str>,
    #[schema(required = true)]
    start_time: Option<&'a str>,
    #[schema(required = true)]
    end_time: Option<&'a str>,
    /// When it will be deleted.
    #[schema(required = true)]
    expire_time: Option<&'a str>,
    #[schema(required = true)]
    file_type: Option<&'a str>,
    /// Whether its files are encrypted.
    #[schema(required = true)]
    encrypted: Option<bool>,
    /// Whether it is locked against deletion.
    #[schema(required = true)]
    locked: Option<bool>,
    /// What its owner noted; may be empty.
    remark: &'a str,
}

/// A list as JSON. Who may see it is decided for each request, so nobody keeps it.
pub(super) fn respond(body: &impl Serialize) -> HttpResponse {
    let body = serde_json::to_vec(body).expect("strings, numbers and lists always serialise");
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .body(body)
}

impl<'a> InstancesBody<'a> {
    pub(super) fn of(ask: &InstancesAsk, list: &'a InstanceList) -> Self {
        Self {
            instances: list.instances.iter().map(InstanceItem::of).collect(),
            total: list.total,
            limit: ask.slice.limit,
            offset: ask.slice.offset,
            unavailable_regions: list.unavailable_regions.iter().map(Region::as_str).collect(),
        }
    }
}

impl<'a> InstanceItem<'a> {
    fn of(listed: &'a ListedInstance) -> Self {
        let ListedInstance { region, instance } = listed;
        Self {
            instance_id: instance.id.as_str(),
            name: &instance.name,
            region: region.as_str(),
            status: instance.status.as_str(),
            product_type: instance.product_type.as_deref(),
            shards: instance.shards,
            version: instance.version.as_deref(),
        }
    }
}

impl<'a> BackupsBody<'a> {
    pub(super) fn of(ask: &'a BackupsAsk, list: &'a BackupList) -> Self {
        Self {
            instance_id: ask.instance.as_str(),
            region: list.region.as_str(),
            backups: list.backups.iter().map(BackupItem::of).collect(),
            total: list.total,
            limit: ask.slice.limit,
            offset: ask.slice.offset,
        }
    }
}

impl<'a> BackupItem<'a> {
    fn of(backup: &'a Backup) -> Self {
        Self {
            backup_id: backup.id.as_str(),
            status: backup.status.as_str(),
            r#type: backup.backup_type.as_deref(),
            start_time: backup.start_time.as_deref(),
            end_time: backup.end_time.as_deref(),
            expire_time: backup.expire_time.as_deref(),
            file_type: backup.file_type.as_deref(),
            encrypted: backup.encrypted,
            locked: backup.locked,
            remark: &backup.remark,
        }
    }
}
