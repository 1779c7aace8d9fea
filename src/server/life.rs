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

/// What is left of the grace for what comes after the last request: workers that end, records, the last spans. Half of it
/// is for the workers, and half for the spans, which are worth less than a restart that is on time.
const CLOSING: Duration = Duration::from_secs(2);

/// A connection whose first segment came just before the door was closed is complete by then: a way around the world and
/// back.
const LAST_HANDSHAKES: Duration = Duration::from_millis(250);

/// The longest that a drain waits for connections on which nothing has been asked: callers send their request as soon as
/// they are connected, and whoever has not by then is kept in reserve by a pool.
const FIRST_REQUESTS: Duration = Duration::from_secs(1);

/// How often it looks whether there are any.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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
    /// Requests in flight may end; whole seconds, for the web server counts in them.
    pub(super) grace: Duration,
    /// The rest: [`CLOSING`] where there is so much.
    closing: Duration,
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
    /// `delay` and `shutdown_grace` are what is configured. All but the delay is a part of the grace, not beside it: an
    /// orchestrator that waits for both has waited long enough.
    ///
    /// The web server looks once a second whether requests have ended, so it is given whole seconds, rounded down, and
    /// what is over goes to the threshold. It looks for the first time after one: that much a grace takes, however short
    /// it is, where requests do not end by themselves.
    pub(super) fn new(delay: Duration, shutdown_grace: Duration) -> Self {
        let closing = CLOSING.min(shutdown_grace / 4);
        let open = shutdown_grace - closing;
        let threshold = FIRST_REQUESTS.min(open / 4);
        let grace = Duration::from_secs((open - threshold).as_secs().max(1));
        Self { delay, threshold: threshold.max(open.saturating_sub(grace)), grace, closing }
    }

    /// Where waiting turns into hanging. A disk may be slow over the last records.
    fn limit(&self) -> Duration {
        self.delay + self.threshold + self.grace + self.closing + Duration::from_secs(2)
    }
}

impl Gateway {
    /// Serves, drains and ends: not ready at once, accepting for a while, then only what has come in.
    pub(super) async fn live(self) -> ExitCode {
        let Self { public, admin, health, audit, traces, fleet, mut signals, door, drain } = self;
        let (stop_public, stop_admin) = (public.handle(), admin.handle());
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
            // One that has ended by itself does not answer, nor does it have to.
            stop_public.stop(true).await;
            // Whoever looks after the process has been told until now.
            let half = drain.closing / 2;
            let (_, workers_have_ended) =
                tokio::join!(timeout(half, stop_admin.stop(true)), audit.desks_are_gone(half));
            // A worker that was stopped drops its requests a moment later, and what was cut is on the record all the same.
            if !workers_have_ended {
                tracing::error!("a worker did not end; records of requests that were cut may be missing");
            }
            if let Some(fleet) = fleet {
                fleet.leave().await;
            }
            audit.close().await;
            log_head(&audit);
            traces.close(half).await;
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_part_of_the_end_is_a_part_of_the_grace() {
        let millis = Duration::from_millis;

        for (shutdown_grace, threshold, grace, closing) in
            [(30_000, 1_000, 27_000, 2_000), (5_000, 1_750, 2_000, 1_250), (2_000, 500, 1_000, 500), (0, 0, 1_000, 0)]
        {
            let drain = Drain::new(millis(5_000), millis(shutdown_grace));

            let expected = Drain {
                delay: millis(5_000),
                threshold: millis(threshold),
                grace: millis(grace),
                closing: millis(closing),
            };
            assert_eq!(drain, expected, "{shutdown_grace} ms");
        }
    }

    proptest! {
        #[test]
        fn the_parts_are_the_grace_wherever_it_is_more_than_what_the_web_server_takes_anyway(millis in 2_000_u64..3_600_000) {
            let shutdown_grace = Duration::from_millis(millis);

            let Drain { threshold, grace, closing, .. } = Drain::new(Duration::ZERO, shutdown_grace);

            prop_assert_eq!(threshold + grace + closing, shutdown_grace);
            prop_assert!(threshold >= LAST_HANDSHAKES && grace.subsec_nanos() == 0 && closing >= Duration::from_millis(500));
        }
    }
}
