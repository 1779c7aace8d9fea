//! The cloud keys, read from where the operator put them.

use std::path::PathBuf;

/// Where the cloud credentials come from (`tencent.credentials.source`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The environment where it names a key, else the file where one is configured.
    Auto {
        /// `tencent.credentials.file`.
        file: Option<PathBuf>,
    },
    /// `TENCENTCLOUD_SECRET_ID`, `TENCENTCLOUD_SECRET_KEY`, `TENCENTCLOUD_TOKEN`.
    Env,
    /// A JSON document, re-read when it changes.
    File(PathBuf),
}
