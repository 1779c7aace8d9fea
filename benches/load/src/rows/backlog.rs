//! Bursts of connections: what the queue in front of the gateway takes while nobody accepts, beside shorter queues.

use std::{fs, thread, time::Duration};

use super::Plan;
use crate::{
    Result,
    burst::{Burst, burst},
    client::Connection,
    figures::{Figure, Target},
    stage::{How, Server, Stage},
    time::{now, pause},
    wrk::{self, Load, Script},
};

/// Connections of a burst. The gateway has room for 4096 on each worker.
const BURSTS: [usize; 3] = [1_000, 2_000, 4_000];

/// Shorter queues: actix's own, and what was long the most that Linux gave.
const SHORTER: [u32; 2] = [1024, 128];

/// Twice the period of a cgroup's quota: so long stands a process that has used up its share.
const STANDSTILL: Duration = Duration::from_millis(200);

/// Files and connections that a server may open meanwhile for reasons of its own.
const OTHERS: usize = 16;

/// Until the load has begun.
const ONSET: Duration = Duration::from_millis(300);

/// How long the load lasts: longer than any burst.
const LOAD: Duration = Duration::from_secs(3);

pub(super) fn bursts(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let token = stage.token("alice");
    let gateway = stage.gateway(plan.gateway, How::default())?;
    let sample = gateway.warm(&token, 1)?;
    let most = fs::read_to_string("/proc/sys/net/core/somaxconn")?;
    let mut figures = Vec::new();

    let (busy, shares) = while_busy(plan, &stage, &gateway, token)?;
    figures.extend(slow("the gateway, its worker busy", &busy));
    figures.push(Figure::new("the same: so busy it was", "%", shares, Target::None));
    let ours = while_still(&gateway)?;
    figures.push(taken(&format!("the gateway's queue (net.core.somaxconn {})", most.trim()), &ours));
    figures.extend(slow("the gateway, still for 0.2 s", &ours));
    for backlog in SHORTER {
        let bare = stage.bare_with_backlog(backlog, &sample)?;
        let theirs = while_still(&bare)?;
        let who = format!("a bare server, backlog {backlog}");
        figures.push(taken(&format!("{who}: its queue"), &theirs));
        figures.extend(slow(&who, &theirs));
    }
    Ok(figures)
}

/// What the queue took of the largest burst, with nobody to accept.
fn taken(queue: &str, bursts: &[Burst]) -> Figure {
    let at_once = bursts.iter().map(|burst| burst.at_once).max().unwrap_or_default();
    Figure::new(format!("{queue} took"), "", vec![at_once as f64], Target::None)
}

fn slow(who: &str, bursts: &[Burst]) -> Vec<Figure> {
    let slow = BURSTS.iter().zip(bursts).map(|(count, burst)| {
        let what = format!("{who}: of {count} connections, slow ones");
        Figure::new(what, "", vec![burst.slow as f64], Target::None)
    });
    let overflows = bursts.iter().map(|burst| burst.overflows as f64).sum();
    slow.chain([Figure::new("the same, all bursts: ListenOverflows", "", vec![overflows], Target::None)]).collect()
}

/// Bursts while the server is stopped for a moment, as a process is that has used up its quota of a processor.
fn while_still(server: &Server) -> Result<Vec<Burst>> {
    let each = |count| {
        let before = server.process.open_files()?;
        server.process.stop()?;
        let began = now();
        let burst = burst(server.address, count, || {
            pause(STANDSTILL.saturating_sub(began.elapsed()));
            Ok(server.process.go_on()?)
        });
        // Whatever became of the burst.
        server.process.go_on()?;
        let burst = burst?;
        is_over(server, before)?;
        Ok(burst)
    };
    BURSTS.into_iter().map(each).collect()
}

/// Bursts while the server has as much to do as it can, and how much of a core it used in each, in percent.
fn while_busy(plan: &Plan<'_>, stage: &Stage, server: &Server, token: String) -> Result<(Vec<Burst>, Vec<f64>)> {
    let (paths, tokens) = ([Stage::path(0)], [token]);
    let script = Script { paths: &paths, tokens: &tokens };
    let load = Load { duration: LOAD, ..plan.load() };
    let each = |count| {
        let before = server.process.open_files()?;
        let burst = thread::scope(|scope| -> Result<_> {
            let busy = scope.spawn(|| {
                wrk::ask(stage.folder.path(), server.address, &script, load).map_err(|error| error.to_string())
            });
            pause(ONSET);
            let (began, used) = (now(), server.process.cpu()?);
            let burst = burst(server.address, count, || Ok(()));
            let used = server.process.cpu()? - used;
            let share = 100.0 * used.as_secs_f64() / began.elapsed().as_secs_f64();
            busy.join().map_err(|_| "the load has panicked")??;
            Ok((burst?, share))
        })?;
        is_over(server, before)?;
        Ok(burst)
    };
    let bursts: Result<Vec<_>> = BURSTS.into_iter().map(each).collect();
    Ok(bursts?.into_iter().unzip())
}

/// Waits until a server has accepted and closed what was reset, so that the next burst meets it as this one did.
fn is_over(server: &Server, open_before: usize) -> Result<()> {
    // Whoever comes last is accepted last. What the answer is does not matter.
    Connection::open(server.address)?.ask(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")?;
    let began = now();
    while server.process.open_files()? > open_before + OTHERS {
        if began.elapsed() > Duration::from_secs(10) {
            return Err("the connections of a burst are not closed after ten seconds".into());
        }
        pause(Duration::from_millis(20));
    }
    Ok(())
}
