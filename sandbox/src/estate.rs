//! What the account owns: three instances in two ordinary regions and a financial zone, and their backups.
//!
//! Pure and fixed: two sandboxes hold the same. Times are the vendor's local times; they name no zone.

use crate::known;
use crate::text::{parse_vendor_time, vendor_time};

/// Regions of the vendor with their numbers (`InstanceSet.RegionId`); any other is no region here.
pub(crate) const REGIONS: [(&str, u32); 17] = [
    ("ap-guangzhou", 1),
    ("ap-shanghai", 4),
    ("ap-hongkong", 5),
    ("ap-shanghai-fsi", 7),
    ("ap-beijing", 8),
    ("ap-singapore", 9),
    ("ap-shenzhen-fsi", 11),
    ("na-siliconvalley", 15),
    ("ap-chengdu", 16),
    ("eu-frankfurt", 17),
    ("ap-seoul", 18),
    ("ap-chongqing", 19),
    ("na-ashburn", 22),
    ("ap-bangkok", 23),
    ("ap-tokyo", 25),
    ("ap-nanjing", 33),
    ("ap-beijing-fsi", 46),
];

/// Whether a region is a financial zone, apart from all others.
pub(crate) fn is_financial(region: &str) -> bool {
    region.ends_with("-fsi")
}

/// One Redis instance.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) region: &'static str,
    /// 2 running, as the vendor counts.
    pub(crate) status: i64,
    /// The vendor's number for engine, version and architecture, for example 16: Redis 6.2 cluster.
    pub(crate) kind: u32,
    pub(crate) version: &'static str,
    pub(crate) shards: u32,
    pub(crate) backups: Vec<Backup>,
}

impl Instance {
    /// `standalone` or `cluster`.
    pub(crate) fn product_type(&self) -> &'static str {
        if self.shards > 1 { "cluster" } else { "standalone" }
    }

    /// The vendor's number of the region.
    pub(crate) fn region_id(&self) -> u32 {
        REGIONS.iter().find(|(name, _)| *name == self.region).map_or(0, |(_, id)| *id)
    }
}

/// One backup of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Backup {
    pub(crate) id: String,
    /// 1 in process, 2 normal, -1 expired, 3 exporting, 4 exported.
    pub(crate) status: i64,
    /// "0" manual, "1" automatic, "2" caused by a change of specification.
    pub(crate) kind: &'static str,
    pub(crate) start: String,
    pub(crate) end: String,
    pub(crate) expire: Option<String>,
    pub(crate) locked: bool,
    pub(crate) encrypted: bool,
    pub(crate) remark: &'static str,
}

impl Backup {
    fn new(id: &str, status: i64, start: &str, end: &str, expire: Option<&str>) -> Self {
        Self {
            id: id.into(),
            status,
            kind: "1",
            start: start.into(),
            end: end.into(),
            expire: expire.map(Into::into),
            locked: false,
            encrypted: false,
            remark: "",
        }
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Estate {
    instances: Vec<Instance>,
}

impl Estate {
    pub(crate) fn new() -> Self {
        Self { instances: vec![orders(), sessions(), ledger()] }
    }

    pub(crate) fn instance(&self, id: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.id == id)
    }

    /// The instances of a region, `synthetic` made-up ones in `ap-guangzhou` included.
    pub(crate) fn in_region(&self, region: &str, synthetic: u32) -> Vec<Instance> {
        let made_up = if region == known::GUANGZHOU { synthetic } else { 0 };
        let real = self.instances.iter().filter(|instance| instance.region == region).cloned();
        real.chain((0..made_up).map(synthetic_instance)).collect()
    }

    /// A backup of an instance; ids `synthetic-<n>` of [`known::ORDERS`] with n below `synthetic` are there too.
    pub(crate) fn backup(&self, instance: &Instance, id: &str, synthetic: u32) -> Option<Backup> {
        if let Some(backup) = instance.backups.iter().find(|backup| backup.id == id) {
            return Some(backup.clone());
        }
        let n: u32 = id.strip_prefix("synthetic-")?.parse().ok()?;
        // Parsing alone would also take `synthetic-007` and `synthetic-+7`.
        let is_written_so = known::synthetic_backup(n) == id;
        (instance.id == known::ORDERS && n < synthetic && is_written_so).then(|| synthetic_backup(n))
    }

    /// The backups of an instance with `synthetic` made-up ones, the newest first.
    pub(crate) fn backups(&self, instance: &Instance, synthetic: u32) -> Vec<Backup> {
        let made_up = if instance.id == known::ORDERS { synthetic } else { 0 };
        let mut all: Vec<_> = instance.backups.iter().cloned().chain((0..made_up).map(synthetic_backup)).collect();
        all.sort_by(|a, b| b.start.cmp(&a.start));
        all
    }
}

fn orders() -> Instance {
    let exporting = Backup {
        kind: "0",
        remark: "before the sale",
        ..Backup::new(
            "678362566696298532848119",
            3,
            "2026-11-20 12:00:00",
            "2026-11-20 12:02:40",
            Some("2026-11-27 12:02:40"),
        )
    };
    let exported = Backup {
        kind: "0",
        locked: true,
        remark: "归档",
        ..Backup::new(
            "678362566696298532848118",
            4,
            "2026-11-19 12:00:00",
            "2026-11-19 12:02:31",
            Some("2026-11-26 12:02:31"),
        )
    };
    let encrypted = Backup {
        encrypted: true,
        kind: "2",
        ..Backup::new(
            "678362566696298532848120",
            2,
            "2026-11-22 03:00:01",
            "2026-11-22 03:03:02",
            Some("2026-11-29 03:03:02"),
        )
    };
    Instance {
        id: known::ORDERS.into(),
        name: "orders".into(),
        region: known::CHENGDU,
        status: 2,
        kind: 16,
        version: "6.2",
        shards: 5,
        backups: vec![
            Backup::new(known::UNFINISHED_BACKUP, 1, "2026-11-24 03:00:01", "", None),
            Backup::new(
                known::ORDERS_LATEST,
                2,
                "2026-11-23 03:00:01",
                "2026-11-23 03:03:11",
                Some("2026-11-30 03:03:11"),
            ),
            encrypted,
            exporting,
            exported,
            Backup::new(
                known::EXPIRED_BACKUP,
                -1,
                "2026-10-01 03:00:01",
                "2026-10-01 03:03:07",
                Some("2026-10-08 03:03:07"),
            ),
            Backup::new(known::SEED_BACKUP, 2, "2019-03-07 10:00:01", "2019-03-07 10:03:11", None),
        ],
    }
}

fn sessions() -> Instance {
    Instance {
        id: known::SESSIONS.into(),
        name: "sessions".into(),
        region: known::GUANGZHOU,
        status: 2,
        kind: 8,
        version: "5.0",
        shards: 1,
        backups: vec![
            Backup::new(
                known::SESSIONS_BACKUP,
                2,
                "2026-11-23 02:30:00",
                "2026-11-23 02:30:41",
                Some("2026-11-30 02:30:41"),
            ),
            Backup::new(
                "771204518833640127459001",
                2,
                "2026-11-22 02:30:00",
                "2026-11-22 02:30:39",
                Some("2026-11-29 02:30:39"),
            ),
        ],
    }
}

fn ledger() -> Instance {
    Instance {
        id: known::LEDGER.into(),
        name: "ledger".into(),
        region: known::SHANGHAI_FSI,
        status: 2,
        kind: 18,
        version: "7.0",
        shards: 3,
        backups: vec![
            Backup::new(
                known::LEDGER_BACKUP,
                2,
                "2026-11-23 01:00:00",
                "2026-11-23 01:04:59",
                Some("2026-12-23 01:04:59"),
            ),
            Backup::new("880031957264410098127732", 1, "2026-11-22 01:00:00", "", None),
        ],
    }
}

fn synthetic_backup(n: u32) -> Backup {
    let first = parse_vendor_time("2026-11-01 00:00:00").unwrap_or_default();
    let start = first + i64::from(n);
    Backup::new(&known::synthetic_backup(n), 2, &vendor_time(start), &vendor_time(start + 60), None)
}

fn synthetic_instance(n: u32) -> Instance {
    Instance {
        id: format!("crs-synthetic{n}"),
        name: format!("synthetic {n}"),
        region: known::GUANGZHOU,
        status: 2,
        kind: 15,
        version: "6.2",
        shards: 1,
        backups: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synthetic_backup_exists_below_the_count_and_in_one_spelling() {
        let estate = Estate::new();
        let orders = estate.instance(known::ORDERS).expect("is there");
        let exists = |id: &str| estate.backup(orders, id, 100).is_some();

        assert!(exists("synthetic-0") && exists("synthetic-99"));
        assert!(!exists("synthetic-100"));
        assert!(!exists("synthetic-007") && !exists("synthetic-+7") && !exists("synthetic-"));
    }

    #[test]
    fn the_newest_backup_of_orders_is_not_the_newest_normal_one() {
        let estate = Estate::new();
        let listed = estate.backups(estate.instance(known::ORDERS).expect("is there"), 0);

        assert_eq!(listed[0].id, known::UNFINISHED_BACKUP);
        assert_eq!(listed.iter().find(|backup| backup.status == 2).expect("is there").id, known::ORDERS_LATEST);
    }
}
