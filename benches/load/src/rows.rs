//! The rows of the table, and what they have in common.

mod audit;
mod backlog;
mod connections;
mod haproxy;
mod hits;
mod insight;
mod memory;
mod misses;
mod saturation;
mod tls;
mod tokens;

use std::{path::Path, time::Duration};

use clap::ValueEnum;

use crate::{
    Result,
    figures::Figure,
    process::CALLERS,
    stage::{Server, Stage},
    wrk::{self, Connections, Load, Scheme, Script, Seen},
};

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Row {
    /// A hit, beside the bare server.
    Hits,
    /// Many tokens and many backups, beside few.
    Spread,
    /// A connection for each hit, and many hits at once on one.
    Connections,
    /// Bursts of connections.
    Backlog,
    /// Handshakes, and hits over TLS.
    Tls,
    /// Two workers, beside one.
    Workers,
    /// The audit to a file, beside one that keeps nothing.
    Audit,
    /// Metrics read and traces exported, beside neither.
    Insight,
    /// Tokens that were never seen before.
    Tokens,
    /// What a miss adds to the call that it makes.
    Misses,
    /// Memory: idle, an entry, a connection.
    Memory,
    /// From the start of the process until it is ready.
    Start,
    /// Hits while cold callers wait for the quota.
    Saturation,
    /// HAProxy with a token, a cache and a log. Where nothing is named it is measured only if it is installed.
    Haproxy,
}

/// How much is measured.
pub(crate) struct Plan<'a> {
    pub(crate) gateway: &'a Path,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
}

/// A round of load on a server: what wrk saw, and what the server used for it.
#[derive(Clone, Copy)]
struct Round {
    seen: Seen,
    cpu: Duration,
}

impl Row {
    /// Those that need nothing but what the scripts install.
    pub(crate) const USUAL: [Self; 13] = [
        Self::Hits,
        Self::Spread,
        Self::Connections,
        Self::Backlog,
        Self::Tls,
        Self::Workers,
        Self::Audit,
        Self::Insight,
        Self::Tokens,
        Self::Misses,
        Self::Memory,
        Self::Start,
        Self::Saturation,
    ];

    pub(crate) fn measure(self, plan: &Plan<'_>) -> Result<Vec<Figure>> {
        match self {
            Self::Hits => hits::beside_bare(plan),
            Self::Spread => hits::spread(plan),
            Self::Connections => connections::kept_new_and_pipelined(plan),
            Self::Backlog => backlog::bursts(plan),
            Self::Tls => tls::handshakes(plan),
            Self::Workers => hits::workers(plan),
            Self::Audit => audit::beside_null(plan),
            Self::Insight => insight::beside_neither(plan),
            Self::Tokens => tokens::first_seen(plan),
            Self::Misses => misses::added_latency(plan),
            Self::Memory => memory::all(plan),
            Self::Start => memory::start_to_ready(plan),
            Self::Saturation => saturation::hits_meanwhile(plan),
            Self::Haproxy => haproxy::beside_us(plan),
        }
    }
}

impl Plan<'_> {
    /// One connection pool of wrk on the callers' core.
    fn load(&self) -> Load {
        Load {
            cores: CALLERS,
            threads: 1,
            connections: 32,
            are: Connections::Kept,
            scheme: Scheme::Http,
            duration: Duration::from_secs(self.seconds),
        }
    }

    /// A round of `load` on `server`.
    fn round(&self, stage: &Stage, server: &Server, script: &Script<'_>, load: Load) -> Result<Round> {
        let before = server.process.cpu()?;
        let seen = wrk::ask(stage.folder.path(), server.address, script, load)?;
        Ok(Round { seen, cpu: server.process.cpu()? - before })
    }
}

impl Round {
    fn cpu_us(self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.seen.requests
    }

    fn per_second(self) -> f64 {
        self.seen.requests / self.seen.seconds
    }

    /// How much of one core the server had; well below 100 the callers were the slower side.
    fn busy_percent(self) -> f64 {
        100.0 * self.cpu.as_secs_f64() / self.seen.seconds
    }
}

/// One value of each round.
fn values<T: Copy>(rounds: &[T], value: fn(T) -> f64) -> Vec<f64> {
    rounds.iter().map(|round| value(*round)).collect()
}
