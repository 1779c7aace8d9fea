//! How the sandbox behaves until told otherwise: all of it can change while it runs.
//!
//! The names of the fields are the names on the control port; unknown names are refused there.

use serde::{Deserialize, Serialize};

use crate::known;

/// The behaviour of the cloud's stand-in. The default is the cloud as documented, in its stricter readings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Arrivals that pass in any rolling second, for each (sub-account, host, action).
    pub requests_per_second: usize,
    /// Whether refused arrivals count against that limit too. (The vendor does not say; its documents read like no.)
    pub count_refused: bool,
    /// How long each API call takes, in milliseconds.
    pub latency_ms: u64,
    /// What happens to an instance that is asked for in another region than its own.
    pub region_check: RegionCheck,
    /// `synthetic-<n>` is a backup of `crs-4y9t57vt` for every n below this.
    pub synthetic_backups: u32,
    /// Whether `DescribeInstanceBackups` lists the synthetic backups too.
    pub list_synthetic: bool,
    /// `DescribeInstances` lists so many instances `crs-synthetic<n>` in `ap-guangzhou`; they have no backups.
    pub synthetic_instances: u32,
    /// Whether the seed's ids are answered with the seed's document, byte for byte.
    pub verbatim_seed: bool,
    /// The cloud's clock (signatures, `Date`, URLs) is ahead of the machine's by so many seconds. The issuer's is not.
    pub clock_skew_s: i64,
    /// The pre-signed URLs.
    pub urls: UrlSettings,
    /// The members of an answer of `DescribeBackupUrl`.
    pub shape: Shape,
    /// The role of the server that the metadata service speaks for.
    pub role: RoleSettings,
    /// The token service.
    pub sts: StsSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            requests_per_second: 20,
            count_refused: false,
            latency_ms: 0,
            region_check: RegionCheck::Strict,
            synthetic_backups: 10_000,
            list_synthetic: false,
            synthetic_instances: 0,
            verbatim_seed: false,
            clock_skew_s: 0,
            urls: UrlSettings::default(),
            shape: Shape::default(),
            role: RoleSettings::default(),
            sts: StsSettings::default(),
        }
    }
}

/// The role of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleSettings {
    /// Its name; empty for a server without one.
    pub name: String,
    /// Seconds that a key of it lives. The next one is issued to whoever asks in the second half of that time.
    pub lifetime_s: i64,
    /// The sub-account whose limit the calls of the role count against.
    pub account: String,
}

impl Default for RoleSettings {
    fn default() -> Self {
        Self { name: "redis-backup-reader".into(), lifetime_s: 7200, account: "backup-reader".into() }
    }
}

/// What the token service accepts and grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StsSettings {
    /// The one role that may be assumed.
    pub role_arn: String,
    /// The identity provider of `AssumeRoleWithWebIdentity`.
    pub provider_id: String,
    /// The one token of that provider that is accepted.
    pub web_identity_token: String,
    /// Seconds that an issued key lives at most, however long was asked for.
    pub most_s: i64,
    /// The sub-account whose limit the calls of the role count against.
    pub account: String,
}

impl Default for StsSettings {
    fn default() -> Self {
        Self {
            role_arn: known::ROLE_ARN.into(),
            provider_id: known::OIDC_PROVIDER.into(),
            web_identity_token: known::WEB_IDENTITY_TOKEN.into(),
            most_s: 43_200,
            account: "backup-reader".into(),
        }
    }
}

/// Nobody knows which of the two the cloud is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionCheck {
    /// The instance does not exist in a foreign region.
    Strict,
    /// The region does not matter; only financial zones stay apart.
    Lenient,
}

/// How pre-signed URLs are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UrlSettings {
    /// Where the signature stands.
    pub form: UrlForm,
    /// Seconds from the answer to the end of validity.
    pub lifetime_s: i64,
    /// The same for the inner URLs, when it differs.
    pub inner_lifetime_s: Option<i64>,
    /// The same for `q-key-time`, when it differs from `q-sign-time`.
    pub key_lifetime_s: Option<i64>,
    /// The start of validity lies so many seconds before the answer.
    pub backdate_s: i64,
    /// Each further file of a backup starts so many seconds later, as in the seed.
    pub stagger_s: i64,
    /// Whether the host is signed (`q-header-list=host`), which binds the URL to it.
    pub sign_host: bool,
    /// Whether `x-cos-security-token` comes along, as from a temporary key.
    pub security_token: bool,
    /// What is wrong with the first URL of an answer.
    pub defect: UrlDefect,
}

impl Default for UrlSettings {
    fn default() -> Self {
        Self {
            form: UrlForm::Sign,
            lifetime_s: 6 * 3600,
            inner_lifetime_s: None,
            key_lifetime_s: None,
            backdate_s: 60,
            stagger_s: 0,
            sign_host: false,
            security_token: false,
            defect: UrlDefect::None,
        }
    }
}

/// The forms of a pre-signed COS URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UrlForm {
    /// All of it percent-encoded inside one `sign` parameter: the seed's form.
    Sign,
    /// Separate parameters, `;` as `%3B`: the Python SDK's form.
    Parameters,
    /// Separate parameters, `;` bare: the form of other SDKs.
    BareSemicolon,
    /// No signature at all, so that nothing is said about validity. Such a URL cannot be downloaded.
    Unsigned,
}

/// Something that no client may pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UrlDefect {
    /// Nothing is wrong.
    None,
    /// The URL has no scheme and no host.
    Relative,
    /// The scheme is `ftp`.
    Scheme,
    /// There is a blank in it.
    Blank,
    /// There is a line feed in it.
    Control,
    /// It is empty.
    Empty,
}

/// Which members an answer of `DescribeBackupUrl` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shape {
    /// `BackupInfos`, the current form.
    pub backup_infos: Part,
    /// `DownloadUrl`, `InnerDownloadUrl` and `Filenames`, the form being phased out.
    pub legacy: Part,
    /// `FileSize` in `BackupInfos`; empty means 0, which the vendor calls invalid.
    pub file_size: Part,
}

impl Default for Shape {
    fn default() -> Self {
        Self { backup_infos: Part::Full, legacy: Part::Full, file_size: Part::Full }
    }
}

impl Shape {
    /// As in the seed: only the arrays.
    #[must_use]
    pub fn legacy_only() -> Self {
        Self { backup_infos: Part::Absent, ..Self::default() }
    }

    /// As in the vendor's newest document: only `BackupInfos`.
    #[must_use]
    pub fn backup_infos_only() -> Self {
        Self { legacy: Part::Absent, ..Self::default() }
    }
}

/// One member of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It is there.
    Full,
    /// It is not there.
    Absent,
    /// It is `null`.
    Null,
    /// It is `[]`.
    Empty,
}
