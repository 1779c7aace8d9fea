//! The audit to a file, beside one whose records go to `/dev/null`, and what of a hit it takes in all.
//!
//! There is no gateway without an audit to compare with, and no switch for one: a switch could be found in production.

use super::{Plan, Round, values};
use crate::{
    Result,
    figures::{Figure, Target},
    stage::{How, Server, Sink, Stage},
    wrk::Script,
};

/// The name of the thread that seals and writes records.
const WRITER: &str = "audit";

pub(super) fn beside_null(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let to_file = stage.gateway(plan.gateway, How::default())?;
    let to_null = stage.gateway(plan.gateway, How { audit: Sink::Null, ..How::default() })?;
    let token = stage.token("alice");
    for gateway in [&to_file, &to_null] {
        gateway.warm(&token, 1)?;
    }
    let (paths, tokens) = ([Stage::path(0)], [token]);
    let script = Script { paths: &paths, tokens: &tokens };

    let [mut file, mut null] = [const { Vec::<(Round, f64)>::new() }; 2];
    for _ in 0..plan.rounds {
        file.push(round(plan, &stage, &to_file, &script)?);
        null.push(round(plan, &stage, &to_null, &script)?);
    }
    let [file_rate, null_rate] = [&file, &null].map(|rounds| values(rounds, |(round, _)| round.per_second()));
    let writer_us = values(&file, |(_, writer)| writer);
    let without_writer: Vec<_> = file.iter().map(|(round, writer)| 1.0 - writer / round.cpu_us()).collect();
    Ok(vec![
        Figure::ratio("hits a second, records to a file / to /dev/null", &file_rate, &null_rate, Target::None),
        Figure::new("the thread that seals and writes records: CPU of a hit", "us", writer_us, Target::None),
        Figure::new("CPU of a hit without that thread / with it", "", without_writer, Target::AtLeast(0.85)),
    ])
}

/// A round, and what the writer took of it, in microseconds a hit.
fn round(plan: &Plan<'_>, stage: &Stage, gateway: &Server, script: &Script<'_>) -> Result<(Round, f64)> {
    let before = gateway.process.cpu_of(WRITER)?;
    let round = plan.round(stage, gateway, script, plan.load())?;
    let writer = gateway.process.cpu_of(WRITER)? - before;
    Ok((round, writer.as_secs_f64() * 1e6 / round.seen.requests))
}
