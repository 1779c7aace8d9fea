//! Hits while the vendor's quota is saturated by callers whose backups are not in the cache.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use super::Plan;
use crate::{
    Result,
    client::{Connection, get},
    figures::{Figure, Target},
    process::CALLERS,
    stage::{How, Server, Stage},
    time::pause,
    wrk::{self, Connections, Load, Scheme, Script},
};

/// The vendor's own quota.
const PER_SECOND: u32 = 20;

/// Three seconds of it stand in the queue, and the others are turned away at once.
const COLD_CALLERS: usize = 80;

/// Few connections: what is asked is how long a hit takes, not how many there can be.
const CONNECTIONS: usize = 4;

pub(super) fn hits_meanwhile(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let gateway = stage.gateway(plan.gateway, How { upstream_per_second: PER_SECOND, ..How::default() })?;
    let token = stage.token("alice");
    gateway.warm(&token, 1)?;
    let (paths, tokens) = ([Stage::path(0)], [token]);
    let script = Script { paths: &paths, tokens: &tokens };
    let load = Load {
        cores: CALLERS,
        threads: 1,
        connections: CONNECTIONS,
        are: Connections::Kept,
        scheme: Scheme::Http,
        duration: Duration::from_secs(plan.seconds),
    };

    let [mut quiet, mut saturated] = [const { Vec::new() }; 2];
    let next = AtomicU32::new(1);
    for _ in 0..plan.rounds {
        quiet.push(wrk::ask(stage.folder.path(), gateway.address, &script, load)?.p99_us);
        saturated.push(cold_while(&stage, &gateway, &next, || {
            Ok(wrk::ask(stage.folder.path(), gateway.address, &script, load)?.p99_us)
        })?);
    }
    Ok(vec![
        Figure::new("p99 of hits, nobody else", "us", quiet.clone(), Target::None),
        Figure::new("p99 of hits, the quota saturated by cold callers", "us", saturated.clone(), Target::None),
        Figure::ratio("p99, saturated / not", &saturated, &quiet, Target::AtMost(2.0)),
    ])
}

/// Lets cold callers ask for as long as `meanwhile` takes. Each asks for what nobody has asked for before.
fn cold_while<T>(
    stage: &Stage,
    gateway: &Server,
    next: &AtomicU32,
    meanwhile: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let tokens: Vec<_> = (0..8).map(|n| stage.token(&format!("cold-{n}"))).collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for caller in 0..COLD_CALLERS {
            let (token, over) = (&tokens[caller % tokens.len()], &over);
            scope.spawn(move || {
                let Ok(mut connection) = Connection::open(gateway.address) else { return };
                while !over.load(Ordering::Relaxed) {
                    let backup = next.fetch_add(1, Ordering::Relaxed);
                    if connection.ask(&get(&Stage::path(backup), token)).is_err() {
                        return;
                    }
                    pause(Duration::from_millis(50));
                }
            });
        }
        // So that the line is there.
        pause(Duration::from_millis(500));
        let outcome = meanwhile();
        over.store(true, Ordering::Relaxed);
        outcome
    })
}
