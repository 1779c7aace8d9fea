//! What holds of one quota for several replicas, whatever goes wrong.

use std::time::Duration;

use crate::{
    RUNS,
    chance::Chance,
    fleet::{Fleet, Mishap, Voyage, agreement, most_in_a_second},
    ms,
};

/// A fleet that wants more than there is, and nothing that goes wrong.
fn calm(replicas: u32) -> Voyage {
    Voyage {
        agreement: agreement(replicas),
        running: replicas,
        trip: (Duration::from_micros(100), Duration::from_micros(700)),
        lost: 0,
        straggling: 0,
        latency: (ms(5), ms(45)),
        cold: (0, ms(0)),
        failing: 0,
        refused: 0,
        demand: vec![(20, ms(5))],
        mishaps: Vec::new(),
        ends_at: Duration::from_secs(20),
    }
}

/// Everything goes wrong that can.
fn wild(chance: &mut Chance) -> Voyage {
    let replicas = chance.one_of(&[1, 2, 3, 3, 3, 4, 7, 10, 20, 21, 50]);
    let mut agreement = agreement(replicas);
    agreement.guard = chance.one_of(&[ms(0), ms(10), ms(50), ms(50), ms(200)]);
    agreement.timeout = chance.one_of(&[ms(20), ms(100), ms(100), ms(500)]);
    let demand = (0..5).map(|_| chance.one_of(&[(20, ms(5)), (20, ms(30)), (3, ms(100)), (1, ms(900))])).collect();
    let mut mishaps: Vec<_> = (0..chance.between(0, 6)).map(|_| mishap(chance, replicas)).collect();
    // While two servers each take themselves for the only one, they agree on who is gone as long as nobody says so.
    if mishaps.iter().any(|(_, mishap)| matches!(mishap, Mishap::FailsOver { stay: 1.., .. })) {
        mishaps.retain(|(_, mishap)| !matches!(mishap, Mishap::Leaves { .. }));
    }
    Voyage {
        agreement,
        running: replicas - u32::from(replicas > 2 && chance.happens(20)),
        trip: (Duration::from_micros(50), chance.one_of(&[ms(1), ms(1), ms(10), ms(60)])),
        lost: chance.one_of(&[0, 0, 1, 10]),
        straggling: chance.one_of(&[0, 0, 1, 10]),
        latency: (ms(0), chance.one_of(&[ms(1), ms(50), ms(300)])),
        cold: chance.one_of(&[(0, ms(0)), (5, ms(400)), (30, ms(4000)), (100, ms(1500))]),
        failing: chance.one_of(&[0, 5, 40]),
        refused: chance.one_of(&[0, 0, 0, 2]),
        demand,
        mishaps,
        ends_at: Duration::from_secs(25),
    }
}

fn mishap(chance: &mut Chance, replicas: u32) -> (Duration, Mishap) {
    let at = chance.duration(ms(500), ms(20_000));
    let replica = chance.between(0, u64::from(replicas.saturating_sub(2))) as usize;
    let short = |chance: &mut Chance| {
        let most = chance.one_of(&[ms(150), ms(600), ms(3000), ms(9000)]);
        chance.duration(ms(10), most)
    };
    let lasts = short(chance);
    let mishap = match chance.between(0, 8) {
        0 | 1 => Mishap::Cut { replica, lasts },
        2 => Mishap::Stops { replica, lasts },
        3 => Mishap::Dies { replica, back_after: lasts },
        4 => Mishap::Leaves { replica, back_after: lasts },
        5 => Mishap::Freezes { lasts },
        6 => {
            let data_from = chance.one_of(&[None, Some(ms(0)), Some(ms(1000)), Some(ms(3000))]);
            Mishap::Restarts { after: lasts, data_from }
        }
        7 => Mishap::FailsOver {
            ahead_millis: chance.one_of(&[-30_000, -700, 0, 400, 30_000, 4_000_000]),
            data_from: chance.one_of(&[ms(0), ms(300), ms(1000)]),
            stay: chance.one_of(&[0, 0, 1, 2, 5]),
            stay_for: short(chance),
        },
        _ => Mishap::ClockIsSet { by_millis: chance.one_of(&[-30_000, -50, -5, 300, 30_000]) },
    };
    (at, mishap)
}

#[test]
fn whatever_happens_no_more_calls_than_tokens_arrive_in_a_rolling_second() {
    let runs = std::env::var("RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let from = std::env::var("FROM").map_or(0, |runs| runs.parse().unwrap());
    for seed in from..from + runs {
        let voyage = wild(&mut Chance::seeded(seed ^ 0x5EA));
        let log = Fleet::run(seed, voyage.clone());
        let (most, from) = most_in_a_second(&log.arrivals);
        if most > 20 { println!("seed {seed}: {most} at {from:?} {:?} {:?}", voyage.mishaps, voyage.agreement); }
        assert!(most <= 200, "seed {seed}: {most} arrivals from {from:?}\n{voyage:#?}");
    }
}

#[test]
fn a_saturated_quota_is_used_to_95_percent_by_any_number_of_replicas() {
    for replicas in [1, 2, 3, 5, 10, 20, 50] {
        for seed in 0..4 {
            let log = Fleet::run(seed, calm(replicas));
            let (most, _) = most_in_a_second(&log.arrivals);
            // The first seconds pass in silence, for nobody knows what was spent before.
            let from = Duration::from_secs(14);
            let used = log.arrivals.iter().filter(|(at, _)| *at >= from && *at < from + Duration::from_secs(5)).count();
            println!("{replicas} replicas: {} a second, at most {most}", used as f64 / 5.0);
            assert!(most <= 20);
        }
    }
}
