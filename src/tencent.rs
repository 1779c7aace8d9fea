//! The cloud: signed calls to the vendor's redis API, and what its answers mean.
//!
//! It makes one attempt a call and says how that went; who waits, who retries and what it costs is the broker's.

pub mod client;
pub mod cos_url;
pub mod credentials;
pub mod endpoint;
pub mod error;
pub mod tc3;
pub mod wire;

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::domain::Region;

/// What `[tencent]` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name under which quota and cache are kept; never a key id.
    pub account: Arc<str>,
    /// The regions that may be asked, in the order of the file; at least one.
    pub regions: Vec<Region>,
    /// Which host answers for which region.
    pub endpoints: endpoint::Endpoints,
    /// Time to open a connection, TLS included.
    pub connect_timeout: Duration,
    /// Time for one attempt, from the first byte sent to the last byte read.
    pub timeout: Duration,
    /// Attempts after the first.
    pub max_retries: u32,
    /// Certificate authorities (PEM) trusted beside the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// Where the cloud credentials come from.
    pub credentials: credentials::Source,
    /// What `[tencent.download]` asks of the URLs; nothing is sent where it is left out.
    pub download: Option<DownloadRestriction>,
}

/// From where the URLs may be used, as `DescribeBackupUrl` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownloadRestriction {
    /// `NoLimit`: from the public internet and the vendor's network.
    NoLimit,
    /// `LimitOnlyIntranet`: from the vendor's network only.
    LimitOnlyIntranet,
    /// `Customize`: from these VPCs (region, VPC ids) and addresses.
    Customize {
        /// VPC ids by region.
        vpcs: Vec<(Region, Vec<String>)>,
        /// VPC addresses.
        ips: Vec<String>,
    },
}
