//! The cloud: signed calls to the vendor's redis API, and what its answers mean.
//!
//! It makes one attempt a call and says how that went; who waits, who retries and what it costs is the broker's.

pub mod breaker;
pub mod client;
pub mod cos_url;
pub mod credentials;
pub mod endpoint;
pub mod error;
mod request;
pub mod tc3;
pub mod wire;

use std::{path::PathBuf, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};

use crate::domain::Region;

/// What the gateway asks of the vendor's API: the vendor counts calls by action, and so does the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApiAction {
    /// The download URLs of one backup.
    DescribeBackupUrl,
    /// The backups of one instance.
    DescribeInstanceBackups,
    /// The instances of one region.
    DescribeInstances,
}

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
    pub credentials: credentials::Settings,
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

impl ApiAction {
    /// All of them, in the order of the main job.
    pub const ALL: [Self; 3] = [Self::DescribeBackupUrl, Self::DescribeInstanceBackups, Self::DescribeInstances];

    /// The vendor's name, for `X-TC-Action` and for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DescribeBackupUrl => "DescribeBackupUrl",
            Self::DescribeInstanceBackups => "DescribeInstanceBackups",
            Self::DescribeInstances => "DescribeInstances",
        }
    }
}

impl Settings {
    /// SHA-256 over what is asked of the URLs, a part of the cache's key: another restriction makes other URLs. The
    /// order of VPCs and addresses makes no difference.
    pub fn download_digest(&self) -> [u8; 32] {
        let mut words: Vec<String> = Vec::new();
        match &self.download {
            None => {}
            Some(DownloadRestriction::NoLimit) => words.push("NoLimit".to_owned()),
            Some(DownloadRestriction::LimitOnlyIntranet) => words.push("LimitOnlyIntranet".to_owned()),
            Some(DownloadRestriction::Customize { vpcs, ips }) => {
                words.push("Customize".to_owned());
                words.extend(ips.iter().map(|ip| format!("ip {ip}")));
                words.extend(
                    vpcs.iter().flat_map(|(region, vpcs)| vpcs.iter().map(move |vpc| format!("vpc {region} {vpc}"))),
                );
                words[1..].sort_unstable();
                words.dedup();
            }
        }
        let mut digest = Sha256::new();
        for word in words {
            // The length stands before the word, so that no two lists read the same.
            digest.update((word.len() as u64).to_be_bytes());
            digest.update(word);
        }
        digest.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use endpoint::{Endpoint, Endpoints};

    fn digest(download: Option<DownloadRestriction>) -> [u8; 32] {
        let endpoints =
            Endpoints { default: Endpoint::try_from("https://h.example").unwrap(), by_region: BTreeMap::new() };
        Settings {
            account: "default".into(),
            regions: Vec::new(),
            endpoints,
            connect_timeout: Duration::ZERO,
            timeout: Duration::ZERO,
            max_retries: 0,
            ca_file: None,
            credentials: credentials::Settings::default(),
            download,
        }
        .download_digest()
    }

    fn customize(vpcs: &[(&str, &[&str])], ips: &[&str]) -> Option<DownloadRestriction> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let vpcs = vpcs.iter().map(|(region, vpcs)| (Region::try_from(*region).unwrap(), owned(vpcs))).collect();
        Some(DownloadRestriction::Customize { vpcs, ips: owned(ips) })
    }

    #[test]
    fn every_restriction_has_a_digest_of_its_own() {
        let restrictions = [
            None,
            Some(DownloadRestriction::NoLimit),
            Some(DownloadRestriction::LimitOnlyIntranet),
            customize(&[], &[]),
            customize(&[], &["10.0.0.1"]),
            customize(&[], &["10.0.0.1", "10.0.0.2"]),
            customize(&[], &["10.0.0.110.0.0.2"]),
            customize(&[("ap-chengdu", &["vpc-1"])], &[]),
            customize(&[("ap-guangzhou", &["vpc-1"])], &[]),
            customize(&[("ap-chengdu", &["vpc-1", "vpc-2"])], &[]),
            customize(&[("ap-chengdu", &["vpc-1"])], &["10.0.0.1"]),
        ];
        let count = restrictions.len();

        let digests: BTreeSet<_> = restrictions.into_iter().map(digest).collect();

        assert_eq!(digests.len(), count);
    }

    #[test]
    fn the_order_of_a_restriction_makes_no_difference() {
        let one =
            customize(&[("ap-chengdu", &["vpc-1", "vpc-2"]), ("ap-shanghai", &["vpc-3"])], &["10.0.0.1", "10.0.0.2"]);
        let other =
            customize(&[("ap-shanghai", &["vpc-3"]), ("ap-chengdu", &["vpc-2", "vpc-1"])], &["10.0.0.2", "10.0.0.1"]);

        assert_eq!(digest(one), digest(other));
    }

    #[test]
    fn the_policy_in_the_readme_grants_what_is_called_and_no_more() {
        let readme = include_str!("../README.md");
        let granted: BTreeSet<_> = readme.split('"').filter_map(|text| text.strip_prefix("redis:")).collect();

        let called: BTreeSet<_> = ApiAction::ALL.iter().map(|action| action.as_str()).collect();

        assert_eq!(granted, called);
    }

    #[test]
    fn nothing_asked_has_the_digest_of_nothing() {
        assert_eq!(digest(None)[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    }
}
