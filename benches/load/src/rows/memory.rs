//! What the process holds, and how soon it is there.

use std::time::Duration;

use super::Plan;
use crate::{
    Result,
    client::{Connection, get},
    figures::{Figure, Target},
    process::SERVER,
    stage::{How, Server, Stage},
    time::pause,
};

const ENTRIES: u32 = 10_000;
const CONNECTIONS: usize = 10_000;

/// Calls that the vendor allows in a second.
const VENDORS_LIMIT: u32 = 20;

/// Workers for that many connections: each takes 4096.
const WORKERS: usize = 3;

/// How many starts are timed.
const STARTS: usize = 11;

const MB: f64 = 1e6;

/// The memory of an idle gateway, of an entry beyond its bytes, and of idle connections beside a bare server's.
pub(super) fn all(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let token = stage.token("alice");
    // With the vendor's own limit: a bucket takes a hundred bytes for each call that it lets through in a second.
    let gateway = stage.gateway(plan.gateway, How { upstream_per_second: VENDORS_LIMIT, ..How::default() })?;
    pause(Duration::from_secs(1));
    let idle = gateway.process.resident_bytes()?;
    drop(gateway);

    let gateway = stage.gateway(plan.gateway, How::default())?;
    gateway.warm(&token, 100)?;
    let warm = gateway.process.resident_bytes()?;
    gateway.warm(&token, ENTRIES)?;
    let full = gateway.process.resident_bytes()?;
    let weighed = gateway.metric("gateway_cache_bytes")?;
    // One whose number has as many digits as most.
    let sample = gateway.hit(&token, ENTRIES / 2)?;
    drop(gateway);

    let entries = f64::from(ENTRIES - 100);
    let entry = (full - warm) / entries;
    let body = sample.body.len() as f64;

    let [mut ours, mut theirs] = [const { Vec::new() }; 2];
    let gateway = stage.gateway(plan.gateway, How { workers: WORKERS, ..How::default() })?;
    let sample = gateway.warm(&token, 1)?;
    let bare = stage.bare(SERVER, WORKERS, &sample)?;
    for (server, grown) in [(&gateway, &mut ours), (&bare, &mut theirs)] {
        grown.push(idle_connections(server, &token)?);
    }
    Ok(vec![
        Figure::new("memory, idle", "MB", vec![idle / MB], Target::AtMost(20.0)),
        Figure::new(format!("an entry with a body of {body} B: memory"), "B", vec![entry], Target::None),
        Figure::new("an entry beyond its body", "B", vec![entry - body], Target::AtMost(600.0)),
        Figure::new(
            "memory of the entries / gateway_cache_bytes",
            "",
            vec![entry * f64::from(ENTRIES) / weighed],
            Target::None,
        ),
        Figure::new("10,000 idle connections that have asked once", "MB", vec![ours[0] / MB], Target::None),
        Figure::ratio("the same / bare", &ours, &theirs, Target::AtMost(1.15)),
    ])
}

/// What a server holds with that many connections open that have asked once each.
fn idle_connections(server: &Server, token: &str) -> Result<f64> {
    let request = get(&Stage::path(0), token);
    let mut open = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(server.address)?;
        if connection.ask(&request)?.status != 200 {
            return Err("a connection was not served".into());
        }
        open.push(connection);
    }
    Ok(server.process.resident_bytes()?)
}

/// From the start of the process to the first `200` of `/readyz`, with the keys in a file.
pub(super) fn start_to_ready(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let start = |_| Ok(stage.gateway(plan.gateway, How::default())?.ready_after.as_secs_f64() * 1e3);
    let took = (0..STARTS).map(start).collect::<Result<_>>()?;
    Ok(vec![Figure::new("start to ready, keys in a file", "ms", took, Target::AtMost(100.0))])
}
