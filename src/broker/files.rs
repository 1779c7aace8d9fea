//! The way to one file of a backup: the URLs of all of them, of which one is handed out and written down.

use std::rc::Rc;

use secrecy::{ExposeSecret as _, SecretString};

use super::{Ask, Failure, Settled, Source, UrlsAnswer, Worker};
use crate::{
    audit::{Fingerprints, Record},
    domain::Network,
};

/// The URL of one file, and where it came from.
pub struct FileAnswer {
    /// The address in the network that was asked for.
    pub url: SecretString,
    /// Where it came from.
    pub source: Source,
    /// Whole seconds until the entry stops being fresh; negative where it has.
    pub ttl_seconds: i64,
}

impl Worker {
    /// The URL of file `n` of a backup, counted from 1.
    ///
    /// The outcome comes with the record of it, which must be written before a byte of the outcome leaves.
    pub async fn file(self: &Rc<Self>, ask: &Ask, n: u32) -> Settled<FileAnswer> {
        let Settled { outcome, mut record } = self.urls(ask).await;
        record.file = Some(n);
        record.url_fingerprints = Fingerprints::default();
        let outcome = outcome.and_then(|answer| pick(&answer, n, ask.network, &mut record));
        match &outcome {
            Ok(answer) => record.url_fingerprints = self.broker.audit.fingerprints([answer.url.expose_secret()]),
            Err(_) => record.expires_at = None,
        }
        Settled { outcome, record }
    }
}

fn pick(answer: &UrlsAnswer, n: u32, network: Network, record: &mut Record) -> Result<FileAnswer, Failure> {
    let file = answer.entry.value.file(n).ok_or(Failure::NoSuchFile)?;
    let url = match network {
        Network::Inner => file.inner_download_url,
        Network::Public | Network::Both => file.download_url,
    };
    let url = url.ok_or(Failure::NoSuchFile)?;
    record.file_name = Some(file.name.into());
    Ok(FileAnswer { url: url.expose().into(), source: answer.source, ttl_seconds: answer.ttl_seconds })
}
