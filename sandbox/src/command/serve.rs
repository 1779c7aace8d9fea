//! `sandbox serve`.

use std::io;
use std::net::SocketAddr;

use clap::Args;
use sandbox::{EndpointOptions, ORDINARY, Options, RegionCheck, Sandbox, Settings, known};
use tokio::signal::unix::{SignalKind, signal};

use super::{say, seconds};

#[derive(Args)]
pub(super) struct Serve {
    /// Where API 3.0 listens for ordinary regions.
    #[arg(long, default_value = "127.0.0.1:18080")]
    api: SocketAddr,
    /// Where API 3.0 listens for ap-shanghai-fsi.
    #[arg(long, default_value = "127.0.0.1:18083")]
    fsi: SocketAddr,
    /// Where the OIDC issuer listens.
    #[arg(long, default_value = "127.0.0.1:18081")]
    issuer: SocketAddr,
    /// Where pre-signed URLs lead.
    #[arg(long, default_value = "127.0.0.1:18082")]
    storage: SocketAddr,
    /// Where the metadata service of a server listens.
    #[arg(long, default_value = "127.0.0.1:18085")]
    metadata: SocketAddr,
    /// Where the token service listens.
    #[arg(long, default_value = "127.0.0.1:18086")]
    sts: SocketAddr,
    /// Where the control port listens.
    #[arg(long, default_value = "127.0.0.1:18084")]
    control: SocketAddr,
    /// Calls that pass in a rolling second, for each (sub-account, host, action).
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Do not refuse an instance that is asked for in a foreign region.
    #[arg(long)]
    lenient: bool,
    /// How long each API call takes, in milliseconds.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// How long URLs live: 90s, 15m, 6h.
    #[arg(long, default_value = "6h", value_parser = seconds)]
    url_lifetime: i64,
    /// How many backups synthetic-<n> the instance crs-4y9t57vt has.
    #[arg(long, default_value_t = 10_000)]
    synthetic_backups: u32,
    /// Answer the seed's ids with the seed's document, byte for byte.
    #[arg(long)]
    verbatim_seed: bool,
}

impl Serve {
    /// Serves until a signal; prints a line `name url` for each listener, then `ready`.
    pub(super) fn run(self) -> io::Result<()> {
        let sandbox = Sandbox::start(self.options())?;
        say(&format!("api      {}", sandbox.api_url()))?;
        say(&format!("fsi      {}", sandbox.fsi_url()))?;
        say(&format!("issuer   {}", sandbox.issuer_url()))?;
        say(&format!("storage  {}", sandbox.storage_url()))?;
        say(&format!("metadata {}", sandbox.metadata_url()))?;
        say(&format!("sts      {}", sandbox.sts_url()))?;
        say(&format!("control  {}", sandbox.control_url()))?;
        say("ready")?;
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(until_told_to_stop())
    }

    fn options(&self) -> Options {
        let mut settings = Settings {
            requests_per_second: self.limit,
            latency_ms: self.latency_ms,
            synthetic_backups: self.synthetic_backups,
            verbatim_seed: self.verbatim_seed,
            ..Settings::default()
        };
        settings.urls.lifetime_s = self.url_lifetime;
        if self.lenient {
            settings.region_check = RegionCheck::Lenient;
        }
        Options {
            endpoints: vec![
                EndpointOptions::ordinary(ORDINARY, self.api),
                EndpointOptions::financial(known::SHANGHAI_FSI, self.fsi),
            ],
            issuer: self.issuer,
            storage: self.storage,
            metadata: self.metadata,
            sts: self.sts,
            control: self.control,
            ..Options::with_settings(settings)
        }
    }
}

async fn until_told_to_stop() -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
