//! The object storage: where pre-signed URLs lead, and what they download.

use std::sync::Arc;

use crate::cos::{self, Denial, Download, Grant};
use crate::estate::{Backup, Instance};
use crate::fault::{self, Struck, Target};
use crate::http::{Answer, Head, Reply, Request, Service};
use crate::rdb;
use crate::settings::{Settings, UrlDefect};
use crate::text::{percent_decode, random_uuid, vendor_time};
use crate::world::World;

/// The two addresses of a file. The inner one differs in the bucket, so that nobody mistakes one for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Public,
    Inner,
}

impl Network {
    const BOTH: [Self; 2] = [Self::Public, Self::Inner];

    fn bucket(self) -> &'static str {
        match self {
            Self::Public => "redis-database-backup-1251937656",
            Self::Inner => "redis-database-backup-1251937656-inner",
        }
    }
}

/// One file of a backup, as `DescribeBackupUrl` tells it.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) size: usize,
    pub(crate) url: String,
    pub(crate) inner_url: String,
}

/// The files of a backup with URLs signed at the cloud's time `now`; `host` is the storage's.
pub(crate) fn files(instance: &Instance, backup: &Backup, settings: &Settings, host: &str, now: i64) -> Vec<File> {
    (1..=instance.shards)
        .map(|shard| {
            let url = |network| {
                signed_url(&object_path(network, instance, &backup.id, shard), network, shard, settings, host, now)
            };
            let public = url(Network::Public);
            File {
                name: file_name(instance, &backup.id, shard),
                size: rdb::dump(&instance.id, &backup.id, shard).len(),
                url: if shard == 1 { spoil(public, settings.urls.defect) } else { public },
                inner_url: url(Network::Inner),
            }
        })
        .collect()
}

fn file_name(instance: &Instance, backup_id: &str, shard: u32) -> String {
    format!("{backup_id}-redis-server-{}-{}-ignore-{shard}-ignore.rdb", instance.version, instance.id)
}

fn object_path(network: Network, instance: &Instance, backup_id: &str, shard: u32) -> String {
    let (bucket, name) = (network.bucket(), file_name(instance, backup_id, shard));
    format!("/{bucket}/251005863/redis/{}/data/{backup_id}/{name}", instance.id)
}

fn signed_url(path: &str, network: Network, shard: u32, settings: &Settings, host: &str, now: i64) -> String {
    let urls = &settings.urls;
    let issued = now + urls.stagger_s * i64::from(shard - 1);
    let lifetime = match network {
        Network::Public => urls.lifetime_s,
        Network::Inner => urls.inner_lifetime_s.unwrap_or(urls.lifetime_s),
    };
    let start = issued - urls.backdate_s;
    let grant = Grant {
        path,
        sign_time: (start, issued + lifetime),
        key_time: (start, issued + urls.key_lifetime_s.unwrap_or(lifetime)),
        host: urls.sign_host.then_some(host),
        with_token: urls.security_token,
    };
    match cos::query(&grant, urls.form) {
        query if query.is_empty() => format!("http://{host}{path}"),
        query => format!("http://{host}{path}?{query}"),
    }
}

fn spoil(url: String, defect: UrlDefect) -> String {
    match defect {
        UrlDefect::None => url,
        UrlDefect::Relative => url.splitn(4, '/').nth(3).map(|rest| format!("/{rest}")).unwrap_or_default(),
        UrlDefect::Scheme => url.replacen("http://", "ftp://", 1),
        UrlDefect::Blank => url.replacen("/data/", "/da ta/", 1),
        UrlDefect::Control => url.replacen("/data/", "/da\nta/", 1),
        UrlDefect::Empty => String::new(),
    }
}

/// Serves the downloads.
pub(crate) struct Storage {
    pub(crate) world: Arc<World>,
}

impl Service for Storage {
    type Ticket = ();

    fn connected(&self) {
        self.world.connected("storage");
    }

    fn cuts_before_reading(&self) -> bool {
        self.world.cuts_before_reading(&[Target::Storage])
    }

    fn head_read(&self, _: &Head) {}

    async fn answer(&self, request: Request, (): ()) -> Answer {
        let effects = self.world.take_faults(Struck { on: Target::Storage, action: "", endpoint: "" });
        fault::apply(&effects, Answer::now(self.reply(&request.head)))
    }

    fn unix_now(&self) -> i64 {
        self.world.cloud_now()
    }
}

impl Storage {
    fn reply(&self, head: &Head) -> Reply {
        if !matches!(head.method(), "GET" | "HEAD") {
            return self.refusal(
                405,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
                head,
            );
        }
        let Some(path) = percent_decode(head.path()) else {
            return self.refusal(400, "InvalidURI", "Could not parse the specified URI.", head);
        };
        let download = Download { path: &path, query: head.query(), host: head.header("host").unwrap_or_default() };
        if let Err(denial) = cos::check(&download, self.world.cloud_now()) {
            let (code, message) = match denial {
                Denial::NotSigned => ("AccessDenied", "Access Denied."),
                Denial::Expired => ("AccessDenied", "Request has expired"),
                Denial::UnknownKey => {
                    ("InvalidAccessKeyId", "The Access Key Id you provided does not exist in our records.")
                }
                Denial::Mismatch => ("SignatureDoesNotMatch", "The Signature you specified is invalid."),
            };
            return self.refusal(403, code, message, head);
        }
        match self.object(&path) {
            Some(dump) => {
                self.world.downloaded();
                Reply::new(200, "application/octet-stream", dump).with_header("Accept-Ranges", "none")
            }
            None => self.refusal(404, "NoSuchKey", "The specified key does not exist.", head),
        }
    }

    /// The bytes behind a path, where it is one that [`files`] gives out.
    fn object(&self, path: &str) -> Option<Vec<u8>> {
        let parts: Vec<&str> = path.split('/').collect();
        let ["", _, _, "redis", instance_id, "data", backup_id, _] = parts[..] else { return None };
        let (estate, settings) = (self.world.estate(), self.world.settings());
        let instance = estate.instance(instance_id)?;
        let backup = estate.backup(instance, backup_id, settings.synthetic_backups)?;
        let shard = (1..=instance.shards).find(|shard| {
            Network::BOTH.iter().any(|network| object_path(*network, instance, &backup.id, *shard) == path)
        })?;
        Some(rdb::dump(&instance.id, &backup.id, shard))
    }

    fn refusal(&self, status: u16, code: &str, message: &str, head: &Head) -> Reply {
        let time = vendor_time(self.world.cloud_now());
        // The path is the client's: nothing of it may read as markup.
        let resource = head.path().replace('&', "&amp;").replace('<', "&lt;");
        let body = format!(
            "<?xml version='1.0' encoding='utf-8' ?>\n<Error>\n\t<Code>{code}</Code>\n\t<Message>{message}</Message>\n\
             \t<Resource>{resource}</Resource>\n\t<ServerTime>{time}</ServerTime>\n\t<RequestId>{}</RequestId>\n</Error>\n",
            random_uuid()
        );
        Reply::new(status, "application/xml", body)
    }
}
