//! How the process lives and ends: it serves until a signal, drains, and says what that cut.

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use actix_web::{dev::Server, rt};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::door::Door;
use crate::{audit::Audit, http::Health, quota::Fleet, traces::Traces};

/// How often the head of the audit's chain goes to the log.
const AUDIT_HEAD_TICK: Duration = Duration::from_secs(60 * 60);

/// What a write past the limit of a file's size (`ulimit -f`) raises. Unless somebody listens, the process dies of it;
/// the audit would rather have the error and withhold answers.
const SIGXFSZ: i32 = 25;

/// How long workers may take to end once they have been stopped.
const WORKERS_END: Duration = Duration::from_secs(1);

/// A connection whose first segment came just before the door was closed is complete by then: a way around the world and
/// back.
const LAST_HANDSHAKES: Duration = Duration::from_millis(250);

/// The longest that a drain waits for connections on which nothing has been asked: callers send their request as soon as
/// they are connected, and whoever has not by then is kept in reserve by a pool.
const FIRST_REQUESTS: Duration = Duration::from_secs(1);

/// How often it looks whether there are any.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long the last spans may take to be sent. They are worth less than a restart that is on time.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// A gateway that listens.
pub(super) struct Gateway {
    pub(super) public: Server,
    pub(super) admin: Server,
    pub(super) health: Arc<Health>,
    pub(super) audit: Audit,
    pub(super) traces: Traces,
    /// Those who share the quota, where they do.
    pub(super) fleet: Option<Fleet>,
    pub(super) signals: Signals,
    pub(super) door: Door,
    pub(super) drain: Drain,
}

/// How long each part of the end may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drain {
    /// Not ready, but accepting.
    delay: Duration,
    /// No new connection, but those that are there may ask; begun with [`LAST_HANDSHAKES`].
    threshold: Duration,
    /// Requests in flight may end.
    pub(super) grace: Duration,
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    _file_too_large: Signal,
}

/// Why it ends.
enum Cause {
    Signal(&'static str),
    /// What it cannot do without has ended.
    Lost(&'static str),
}

impl Drain {
    /// `delay` and `shutdown_grace` are what is configured. The threshold is a part of the grace, not beside it: an
    /// orchestrator that waits for both has waited long enough.
    pub(super) fn new(delay: Duration, shutdown_grace: Duration) -> Self {
        let threshold = FIRST_REQUESTS.min(shutdown_grace / 4);
        Self { delay, threshold, grace: shutdown_grace - threshold }
    }

    /// Where waiting turns into hanging. The web server counts in whole seconds.
    fn limit(&self) -> Duration {
        self.delay + self.threshold + self.grace + WORKERS_END + Duration::from_secs(2)
    }
}

impl Gateway {
    /// Serves, drains and ends: not ready at once, accepting for a while, then only what has come in.
    pub(super) async fn live(self) -> ExitCode {
        let Self { public, admin, health, audit, traces, fleet, mut signals, door, drain } = self;
        let handles = [public.handle(), admin.handle()];
        let (mut public, mut admin) = (rt::spawn(public), rt::spawn(admin));

        let cause = tokio::select! {
            name = signals.next() => Cause::Signal(name),
            () = audit.writer_has_ended() => Cause::Lost("the audit's writer"),
            _ = &mut public => Cause::Lost("the public listener"),
            _ = &mut admin => Cause::Lost("the admin listener"),
        };
        health.drain();
        let good_end = match cause {
            Cause::Signal(signal) => {
                tracing::info!(signal, "draining: not ready, still accepting");
                ExitCode::SUCCESS
            }
            Cause::Lost(what) => {
                tracing::error!(what, "has ended; the process ends with it, to be started anew");
                ExitCode::FAILURE
            }
        };
        let drained = async {
            if let Cause::Signal(_) = cause {
                sleep(drain.delay).await;
                let_the_last_in(&door, &health, drain.threshold).await;
            }
            drop(door);
            tracing::info!("no longer accepting; requests in flight may end");
            let unanswered_before = health.unanswered();
            for handle in handles {
                // One that has ended by itself does not answer, nor does it have to.
                handle.stop(true).await;
            }
            // A worker that was stopped drops its requests a moment later, and what was cut is on the record all the same.
            if !audit.desks_are_gone(WORKERS_END).await {
                tracing::error!("a worker did not end; records of requests that were cut may be missing");
            }
            if let Some(fleet) = fleet {
                fleet.leave().await;
            }
            audit.close().await;
            log_head(&audit);
            traces.close(LAST_SPANS).await;
            // Counted when the workers are gone: the web server cuts what is left when its time is up, and says nothing.
            health.unanswered() - unanswered_before
        };
        tokio::select! {
            drained = timeout(drain.limit(), drained) => match drained {
                Ok(0) => {
                    tracing::info!("drained");
                    good_end
                }
                Ok(unanswered) => {
                    tracing::error!(
                        unanswered,
                        "drained, but for requests that took longer than server.shutdown_grace or were given up"
                    );
                    good_end
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

/// Closes the door to newcomers, and waits until whoever stands on the threshold is in and has asked; at most for
/// `limit`. The web server closes connections on which nothing has been asked as soon as it is stopped.
async fn let_the_last_in(door: &Door, health: &Health, limit: Duration) {
    if let Err(error) = door.close_to_newcomers() {
        tracing::warn!(%error, "connections that begin in the next moment may be reset");
    }
    let all_in = async {
        sleep(LAST_HANDSHAKES).await;
        while door.has_waiting() || health.newcomers() > 0 {
            sleep(LOOK_EVERY).await;
        }
    };
    if timeout(limit, all_in).await.is_err() {
        tracing::info!(silent = health.newcomers(), "connections on which nothing was asked are closed");
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
pub(super) async fn say_audit_head(audit: &Audit) {
    let mut tick = interval(AUDIT_HEAD_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        log_head(audit);
    }
}

fn log_head(audit: &Audit) {
    if let Some(head) = audit.head() {
        tracing::info!(seq = head.seq, hash = %head.hash, "the audit's head");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_a_part_of_the_grace() {
        let seconds = Duration::from_secs;

        for (grace, threshold) in [(seconds(30), seconds(1)), (seconds(2), Duration::from_millis(500))] {
            let drain = Drain::new(seconds(5), grace);

            assert_eq!((drain.threshold, drain.threshold + drain.grace), (threshold, grace));
        }
    }
}
