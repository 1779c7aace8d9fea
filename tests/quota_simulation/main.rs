//! The bucket in virtual time, over thousands of seeded runs: is it exact, full, fair, and does it tell the truth?
//!
//! A failure names its seed; the same seed gives the same run.

#![expect(clippy::print_stderr, reason = "the figures of docs/adr/0011 are shown by --nocapture")]

mod abandoned;
mod agreement;
mod alternatives;
mod chance;
mod fleet;
mod replicas;
mod scenario;
mod store;
mod world;

use std::time::Duration;

use chance::Chance;
use scenario::{Chronicle, End, Habit, SECOND, Scenario};
use world::World;

const RUNS: u64 = 800;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A contract's bucket with an upstream as the contract has it, and nothing that goes wrong.
fn calm(callers: Vec<Habit>) -> Scenario {
    Scenario {
        tokens: 20,
        guard: ms(50),
        latency: (ms(0), ms(50)),
        timer_lateness: ms(1),
        cold: (0, ms(0)),
        failing: 0,
        unused: 0,
        refused: 0,
        impatient: 0,
        shared: 0,
        callers,
        open_for: Duration::from_secs(6),
    }
}

/// Some issuers with some callers each: those who flood, those who click, and now and then the background.
fn crowd(chance: &mut Chance, issuers: u64) -> Vec<Habit> {
    let mut callers = Vec::new();
    for issuer in 0..chance.between(1, issuers) {
        for caller in 0..chance.between(1, 6) {
            let (connections, pause) =
                chance.one_of(&[(40, ms(5)), (8, ms(20)), (1, ms(0)), (1, ms(300)), (2, ms(1000))]);
            let habit = Habit::new(issuer, issuer * 100 + caller, connections, pause);
            callers.push(Habit { from: chance.duration(ms(0), ms(3000)), ..habit });
        }
    }
    if chance.happens(30) {
        callers.push(Habit { who: None, ..Habit::new(0, 0, 5, ms(100)) });
    }
    callers
}

/// Between what and what an upstream answers that answers within 50 ms.
fn answers_in_time(chance: &mut Chance) -> (Duration, Duration) {
    chance.one_of(&[(ms(0), ms(1)), (ms(5), ms(25)), (ms(0), ms(50)), (ms(50), ms(50))])
}

/// Everything goes wrong that can.
fn wild(chance: &mut Chance) -> Scenario {
    let callers = crowd(chance, 3);
    Scenario {
        tokens: chance.one_of(&[1, 2, 5, 20, 20, 20, 47]),
        guard: chance.one_of(&[ms(0), ms(10), ms(50), ms(50), ms(200)]),
        latency: (ms(0), chance.one_of(&[ms(1), ms(20), ms(50), ms(300), ms(3000)])),
        timer_lateness: chance.one_of(&[ms(0), ms(1), ms(30)]),
        cold: chance.one_of(&[(0, ms(0)), (5, ms(400)), (100, ms(1500))]),
        failing: chance.one_of(&[0, 5, 40]),
        unused: chance.one_of(&[0, 10]),
        refused: chance.one_of(&[0, 0, 2]),
        impatient: chance.one_of(&[0, 10, 50]),
        shared: chance.one_of(&[0, 10, 60]),
        ..calm(callers)
    }
}

/// Runs every seed; a check that fails says what went wrong.
fn for_every_seed(
    runs: u64,
    scenario: impl Fn(&mut Chance) -> Scenario,
    check: impl Fn(&Scenario, &Chronicle) -> Result<(), String>,
) {
    for seed in 0..runs {
        let scenario = scenario(&mut Chance::seeded(seed ^ 0xA5A5));
        let chronicle = World::run(seed, scenario.clone());
        if let Err(what) = check(&scenario, &chronicle) {
            panic!("seed {seed}: {what}\n{scenario:#?}");
        }
    }
}

#[test]
fn no_more_calls_than_tokens_arrive_in_a_rolling_second() {
    for_every_seed(RUNS, wild, |scenario, chronicle| {
        let tokens = scenario.tokens as usize;
        for pair in chronicle.arrivals.windows(tokens + 1) {
            if pair[tokens] - pair[0] < SECOND {
                return Err(format!("{} arrivals from {:?} to {:?}", tokens + 1, pair[0], pair[tokens]));
            }
        }
        Ok(())
    });
}

#[test]
fn nobody_is_forgotten_and_nothing_is_left_over() {
    for_every_seed(RUNS, wild, |scenario, chronicle| {
        if let Some(visit) = chronicle.visits.iter().find(|visit| visit.ended.is_none()) {
            return Err(format!("nothing became of {visit:?}"));
        }
        if !chronicle.queue_is_clean {
            return Err("the queue holds something for nobody".to_owned());
        }
        if chronicle.free_at_end != scenario.tokens as usize {
            return Err(format!("{} tokens at the end", chronicle.free_at_end));
        }
        Ok(())
    });
}

#[test]
fn the_quota_is_used_to_95_percent_while_anybody_waits() {
    let scenario = |chance: &mut Chance| {
        let callers = crowd(chance, 3);
        // A slow upstream does not cost more than a prompt one: from the guard on, the hand-over counts.
        let latency = if chance.happens(25) { (ms(0), ms(3000)) } else { answers_in_time(chance) };
        Scenario { latency, shared: chance.one_of(&[0, 30]), impatient: chance.one_of(&[0, 20]), ..calm(callers) }
    };
    for_every_seed(RUNS, scenario, |scenario, chronicle| {
        for &(since, until) in &chronicle.contended {
            // What was spent just before counts: those tokens are what is being waited for.
            let spent_from = since.saturating_sub(SECOND + scenario.guard);
            let first = chronicle.grants.partition_point(|&grant| grant < spent_from);
            let entitled = |until: Duration| 0.95 * f64::from(scenario.tokens) * (until - since).as_secs_f64() - 1.0;
            for (used, &grant) in chronicle.grants[first..].iter().enumerate() {
                if grant > since && grant <= until && (used as f64) < entitled(grant) {
                    return Err(format!("{used} grants where {} were due, {since:?} to {grant:?}", entitled(grant)));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_caller_with_one_request_waits_one_round_at_most() {
    let scenario = |chance: &mut Chance| {
        let callers = crowd(chance, 3);
        Scenario { shared: chance.one_of(&[0, 30]), impatient: chance.one_of(&[0, 20]), ..calm(callers) }
    };
    for_every_seed(RUNS, scenario, |scenario, chronicle| {
        for visit in chronicle.visits.iter().filter(|visit| visit.only_request && !visit.at_once) {
            let Some((_, End::Served { turns })) = visit.ended else { continue };
            let waited = turns - visit.turns_before_arrival;
            let bound = visit.own_round * visit.issuers + 1;
            if waited > bound {
                return Err(format!(
                    "{waited} turns, at most {bound}, for {visit:?} {:?}",
                    scenario.callers[visit.habit]
                ));
            }
        }
        Ok(())
    });
}

#[test]
fn a_click_beside_a_flood_waits_a_token_or_two() {
    let flood_and_click = |_: &mut Chance| {
        let flood = Habit::new(1, 1, 120, ms(1));
        let click = Habit { from: ms(1500), ..Habit::new(1, 2, 1, ms(200)) };
        calm(vec![flood, click])
    };
    for_every_seed(RUNS / 5, flood_and_click, |_, chronicle| {
        for visit in chronicle.visits.iter().filter(|visit| visit.habit == 1) {
            let Some((at, End::Served { .. })) = visit.ended else { continue };
            if at - visit.arrived_at > ms(150) {
                return Err(format!("waited {:?}: {visit:?}", at - visit.arrived_at));
            }
        }
        Ok(())
    });
}

#[test]
fn the_predicted_wait_is_the_real_one_within_a_token_where_nobody_comes_after() {
    let scenario = |chance: &mut Chance| {
        let callers = crowd(chance, 3);
        Scenario {
            latency: answers_in_time(chance),
            shared: chance.one_of(&[0, 30]),
            impatient: chance.one_of(&[0, 20]),
            open_for: chance.duration(ms(1500), ms(6000)),
            ..calm(callers)
        }
    };
    for_every_seed(RUNS, scenario, |scenario, chronicle| {
        for prediction in &chronicle.predictions {
            let Some((at, End::Served { turns })) = chronicle.visits[prediction.visit].ended else {
                return Err(format!("not served: {prediction:?}"));
            };
            let turns_before = turns - chronicle.turns_at_closing - 1;
            if turns_before != prediction.turns {
                return Err(format!("{turns_before} turns before {prediction:?}"));
            }
            let waited = at - chronicle.closed_at;
            let error = waited.abs_diff(prediction.wait);
            // Beyond the wait that anybody is admitted to, the prediction only fills a Retry-After in whole seconds.
            if waited < ms(3000) && error > SECOND / scenario.tokens + scenario.timer_lateness {
                return Err(format!("waited {waited:?} for {prediction:?}"));
            }
        }
        Ok(())
    });
}
