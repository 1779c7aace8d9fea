//! What connections have to do with it: a hit on one that is kept, on one that is made for it, and many at once on one.

use super::{Plan, Round, values};
use crate::{
    Result,
    figures::{Figure, Target},
    process::SERVER,
    stage::{How, Stage},
    wrk::{Connections, Load, Script},
};

/// Requests that a client sends before it reads an answer.
const DEPTH: usize = 16;

pub(super) fn kept_new_and_pipelined(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let gateway = stage.gateway(plan.gateway, How::default())?;
    let token = stage.token("alice");
    let sample = gateway.warm(&token, 1)?;
    let bare = stage.bare(SERVER, 1, &sample)?;
    let (paths, tokens) = ([Stage::path(0)], [token]);
    let script = Script { paths: &paths, tokens: &tokens };
    let ways = [Connections::Kept, Connections::New, Connections::Pipelined(DEPTH)];

    let mut ours = ways.map(|_| Vec::<Round>::new());
    let mut theirs = ways.map(|_| Vec::<Round>::new());
    for _ in 0..plan.rounds {
        for ((are, ours), theirs) in ways.into_iter().zip(&mut ours).zip(&mut theirs) {
            let load = Load { are, ..plan.load() };
            ours.push(plan.round(&stage, &gateway, &script, load)?);
            theirs.push(plan.round(&stage, &bare, &script, load)?);
        }
    }
    let words = ["kept", "made for each hit", "with 16 hits at once on each"];
    let figures = words.into_iter().zip(ours.iter().zip(&theirs)).flat_map(|(are, (ours, theirs))| {
        let [our_cpu, their_cpu] = [ours, theirs].map(|rounds| values(rounds, Round::cpu_us));
        [
            Figure::new(format!("connections {are}: CPU of a hit"), "us", our_cpu.clone(), Target::None),
            Figure::ratio("the same / bare", &our_cpu, &their_cpu, Target::None),
        ]
    });
    Ok(figures.collect())
}
