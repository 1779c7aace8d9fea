//! How the process lives and ends: it serves until a signal, drains, and says what that cut.

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use actix_web::{dev::Server, rt};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{audit::Audit, http::Health, quota::Fleet};

/// How often the head of the audit's chain goes to the log.
const AUDIT_HEAD_TICK: Duration = Duration::from_secs(60 * 60);

/// What a write past the limit of a file's size (`ulimit -f`) raises. Unless somebody listens, the process dies of it;
/// the audit would rather have the error and withhold answers.
const SIGXFSZ: i32 = 25;

/// How long workers may take to end once they have been stopped.
const WORKERS_END: Duration = Duration::from_secs(1);

/// A gateway that listens.
pub(super) struct Gateway {
    pub(super) public: Server,
    pub(super) admin: Server,
    pub(super) health: Arc<Health>,
    pub(super) audit: Audit,
    /// Those who share the quota, where they do.
    pub(super) fleet: Option<Fleet>,
    pub(super) signals: Signals,
    pub(super) drain_delay: Duration,
    pub(super) shutdown_grace: Duration,
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    _file_too_large: Signal,
}

impl Gateway {
    /// Serves, drains and ends: not ready at once, accepting for `drain_delay` more, then only what is in flight.
    pub(super) async fn live(self) -> ExitCode {
        let Self { public, admin, health, audit, fleet, mut signals, drain_delay, shutdown_grace } = self;
        let (public_handle, admin_handle) = (public.handle(), admin.handle());
        let public = rt::spawn(public);
        let admin = rt::spawn(admin);

        let name = signals.next().await;
        tracing::info!(signal = name, "draining: not ready, still accepting");
        health.drain();
        let drained = async {
            sleep(drain_delay).await;
            tracing::info!("no longer accepting; requests in flight may end");
            let unanswered_before = health.unanswered();
            public_handle.stop(true).await;
            admin_handle.stop(true).await;
            let _ = tokio::join!(public, admin);
            // A worker that was stopped drops its requests a moment later, and what was cut is on the record all the same.
            if !audit.desks_are_gone(WORKERS_END).await {
                tracing::error!("a worker did not end; records of requests that were cut may be missing");
            }
            if let Some(fleet) = fleet {
                fleet.leave().await;
            }
            audit.close().await;
            log_head(&audit);
            // Counted when the workers are gone: the web server cuts what is left when its time is up, and says nothing.
            health.unanswered() - unanswered_before
        };
        // The server counts the grace in whole seconds; a little more is the line where waiting turns into hanging.
        let limit = drain_delay + shutdown_grace + WORKERS_END + Duration::from_secs(2);
        tokio::select! {
            drained = timeout(limit, drained) => match drained {
                Ok(0) => {
                    tracing::info!("drained");
                    ExitCode::SUCCESS
                }
                Ok(unanswered) => {
                    tracing::error!(
                        unanswered,
                        "drained, but for requests that took longer than server.shutdown_grace or were given up"
                    );
                    ExitCode::SUCCESS
                }
                Err(_) => {
                    tracing::error!("requests in flight, or the audit, did not end in time");
                    ExitCode::FAILURE
                }
            },
            name = signals.next() => {
                tracing::warn!(signal = name, "cut short by a second signal");
                ExitCode::FAILURE
            }
        }
    }
}

impl Signals {
    pub(super) fn register() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_too_large: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The head in a place that is not the file: with it, `audit verify --expect` finds a file whose end was cut off.
pub(super) async fn say_audit_head(audit: Audit) {
    let mut tick = interval(AUDIT_HEAD_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        log_head(&audit);
    }
}

fn log_head(audit: &Audit) {
    if let Some(head) = audit.head() {
        tracing::info!(seq = head.seq, hash = %head.hash, "the audit's head");
    }
}
