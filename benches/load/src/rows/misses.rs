//! A miss: what the gateway adds to the one call that it makes.

use super::Plan;
use crate::{
    Result,
    client::{Connection, get},
    figures::{Figure, Target, median},
    stage::{How, Stage},
    time::now,
};

/// Misses of a round, each of another backup.
const MISSES: u32 = 200;

/// Misses, and in turn with them the very call that the gateway made, signature included, sent once more from here.
pub(super) fn added_latency(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let gateway = stage.gateway(plan.gateway, How::default())?;
    let token = stage.token("alice");
    gateway.warm(&token, 1)?;
    let api = stage.sandbox.api_url();
    let mut cloud = Connection::open(api.strip_prefix("http://").ok_or("the sandbox speaks http")?.parse()?)?;
    let mut caller = Connection::open(gateway.address)?;

    let [mut direct_us, mut added_us] = [const { Vec::new() }; 2];
    for round in 0..u32::try_from(plan.rounds)? {
        let [mut misses, mut calls] = [const { Vec::new() }; 2];
        for n in 0..MISSES {
            let request = get(&Stage::path(1 + round * MISSES + n), &token);
            misses.push(timed(&mut caller, &request)?);
            let sent = stage.sandbox.control().requests().pop().ok_or("a miss makes a call")?;
            let fields: String = sent.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let call = format!("POST / HTTP/1.1\r\n{fields}\r\n{}", sent.body);
            calls.push(timed(&mut cloud, call.as_bytes())?);
        }
        direct_us.push(median(&calls));
        added_us.push(median(&misses) - median(&calls));
    }
    Ok(vec![
        Figure::new("the signed call itself, median", "us", direct_us, Target::None),
        Figure::new("added by the gateway to it on a miss, median", "us", added_us, Target::AtMost(1000.0)),
    ])
}

/// How long a good answer takes, in microseconds.
fn timed(connection: &mut Connection, request: &[u8]) -> Result<f64> {
    let began = now();
    let answer = connection.ask(request)?;
    let took = began.elapsed();
    if answer.status != 200 || answer.body.starts_with(b"{\"Response\":{\"Error\"") {
        return Err(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
    }
    Ok(took.as_secs_f64() * 1e6)
}
