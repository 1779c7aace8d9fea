//! Metrics read every second and traces exported, beside a gateway whose metrics nobody reads and that has no collector.
//!
//! Metrics are counted either way: there is no switch for them. What they take of a hit shows in the instructions.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::{Plan, Round, values};
use crate::{
    Result,
    collector::Collector,
    figures::{Figure, Target},
    stage::{How, Server, Stage},
    time::pause,
    wrk::Script,
};

pub(super) fn beside_neither(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let collector = Collector::start()?;
    let off = stage.gateway(plan.gateway, How::default())?;
    let on = stage.gateway(plan.gateway, How { collector: Some(collector.address()), ..How::default() })?;
    let token = stage.token("alice");
    for gateway in [&off, &on] {
        gateway.warm(&token, 1)?;
    }
    let (paths, tokens) = ([Stage::path(0)], [token]);
    let script = Script { paths: &paths, tokens: &tokens };

    let [mut with, mut without] = [const { Vec::<Round>::new() }; 2];
    for _ in 0..plan.rounds {
        with.push(while_read(&on, || plan.round(&stage, &on, &script, plan.load()))?);
        without.push(plan.round(&stage, &off, &script, plan.load())?);
    }
    if collector.received() == 0 {
        return Err("no trace was exported".into());
    }
    let [on_cpu, off_cpu] = [&with, &without].map(|rounds| values(rounds, Round::cpu_us));
    let [on_rate, off_rate] = [&with, &without].map(|rounds| values(rounds, Round::per_second));
    Ok(vec![
        Figure::ratio(
            "hits a second, metrics read and traces exported / neither",
            &on_rate,
            &off_rate,
            Target::AtLeast(0.95),
        ),
        Figure::ratio("the same: CPU of a hit", &on_cpu, &off_cpu, Target::None),
    ])
}

/// Does `work` while the metrics are read every second.
fn while_read<T>(gateway: &Server, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                gateway.metric("gateway_audit_records_total").map_err(|error| error.to_string())?;
                for _ in 0..10 {
                    if !over.load(Ordering::Relaxed) {
                        pause(Duration::from_millis(100));
                    }
                }
            }
            Ok::<_, String>(())
        });
        let outcome = work();
        over.store(true, Ordering::Relaxed);
        reader.join().map_err(|_| "the reader of metrics panicked")??;
        outcome
    })
}
