//! The names of the estate that tests and curl lines use.

/// The region of [`ORDERS`].
pub const CHENGDU: &str = "ap-chengdu";
/// The region of [`SESSIONS`].
pub const GUANGZHOU: &str = "ap-guangzhou";
/// The region of [`LEDGER`], a financial zone with a host of its own.
pub const SHANGHAI_FSI: &str = "ap-shanghai-fsi";

/// A cluster of five shards in `ap-chengdu`; the instance of the seed.
pub const ORDERS: &str = "crs-4y9t57vt";
/// A standalone instance in `ap-guangzhou`.
pub const SESSIONS: &str = "crs-7h2mxq4d";
/// A cluster of three shards in `ap-shanghai-fsi`.
pub const LEDGER: &str = "crs-fsi3c9qz";

/// The backup of the seed, of [`ORDERS`], status 2 (normal), five files.
pub const SEED_BACKUP: &str = "678362566696298532848117";
/// The newest backup of [`ORDERS`] in status 2; its id has the vendor's other form.
pub const ORDERS_LATEST: &str = "165706342-5832225-1641692389";
/// A backup of [`ORDERS`] that is not finished: status 1, and newer than all others.
pub const UNFINISHED_BACKUP: &str = "678362566696298532848121";
/// A backup of [`ORDERS`] that is expired: status -1.
pub const EXPIRED_BACKUP: &str = "678362566696298532848110";
/// The newest backup of [`SESSIONS`], one file.
pub const SESSIONS_BACKUP: &str = "771204518833640127459002";
/// The newest backup of [`LEDGER`], three files.
pub const LEDGER_BACKUP: &str = "880031957264410098127733";

/// The role that the token service lets be assumed.
pub const ROLE_ARN: &str = "qcs::cam::uin/100000000001:roleName/redis-backup-reader";
/// The identity provider that the token service knows.
pub const OIDC_PROVIDER: &str = "sandbox-cluster";
/// The token of that provider that the token service accepts.
pub const WEB_IDENTITY_TOKEN: &str = "SANDBOXfakeWebIdentityToken.header.signature";

/// The id of a synthetic backup of [`ORDERS`].
#[must_use]
pub fn synthetic_backup(n: u32) -> String {
    format!("synthetic-{n}")
}
