//! What holds of one quota for several replicas, whatever goes wrong.

use std::time::Duration;

use crate::{
    chance::Chance,
    fleet::{Fleet, Log, Mishap, Voyage, agreement, most_in_a_second},
    ms,
    scenario::SECOND,
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
        impatient: (0, ms(0)),
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
        impatient: chance.one_of(&[(0, ms(0)), (20, ms(500)), (90, ms(5)), (100, ms(120))]),
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
    // Before that there is nothing that a replica of the store could have copied.
    let fails_over_at = at.max(ms(3000));
    let mishap = match chance.between(0, 9) {
        0 | 1 => Mishap::Cut { replica, lasts },
        2 => Mishap::Stops { replica, lasts },
        3 => Mishap::Dies { replica, back_after: lasts },
        4 => Mishap::Leaves { replica, back_after: lasts },
        5 => Mishap::Freezes { lasts },
        6 => {
            let data_from = chance.one_of(&[None, Some(ms(0)), Some(ms(1000)), Some(ms(3000))]);
            Mishap::Restarts { after: lasts, data_from }
        }
        7 => {
            return (
                fails_over_at,
                Mishap::FailsOver {
                    ahead_millis: chance.one_of(&[-30_000, -700, 0, 400, 30_000, 4_000_000]),
                    data_from: chance.one_of(&[None, Some(ms(0)), Some(ms(300)), Some(ms(1000))]),
                    // With more replicas than tokens there are no shares that two servers could keep to.
                    stay: if replicas > 20 { 0 } else { chance.one_of(&[0, 0, 1, 2, 5]) },
                    stay_for: short(chance),
                },
            );
        }
        8 => Mishap::IsEmptied,
        _ => Mishap::ClockIsSet { by_millis: chance.one_of(&[-30_000, -50, -5, 300, 30_000]) },
    };
    (at, mishap)
}

/// How many runs, where nobody asks for more by `QUOTA_RUNS`.
const RUNS: u64 = 250;

/// The silence after a new beginning, and the time after it in which it is not known who else there is.
const SETTLED: Duration = Duration::from_secs(8);

#[test]
#[expect(clippy::disallowed_methods, reason = "whoever asks for more runs has no other way to say so")]
fn whatever_happens_no_more_calls_than_tokens_arrive_in_a_rolling_second() {
    let runs = std::env::var("QUOTA_RUNS").map_or(RUNS, |runs| runs.parse().expect("a number of runs"));
    for seed in 0..runs {
        let voyage = wild(&mut Chance::seeded(seed ^ 0x5EA));
        let log = Fleet::run(seed, voyage.clone());

        let (most, from) = most_in_a_second(&log.arrivals);
        assert!(most <= 20, "seed {seed}: {most} arrivals from {from:?}\n{voyage:#?}");
    }
}

/// The same after one has been away for more than a minute, which is all that the store then knows of it.
fn wild_after_a_while(chance: &mut Chance) -> Voyage {
    let long = Duration::from_secs(70);
    let mut voyage = wild(chance);
    for (at, mishap) in &mut voyage.mishaps {
        *at += long;
        // It may come back to a store that the others have left, and that is not promised.
        if let Mishap::FailsOver { stay, .. } = mishap {
            *stay &= !1;
        }
    }
    let until = chance.duration(long, long + Duration::from_secs(20));
    let away = match chance.between(0, 2) {
        0 => Mishap::Dies { replica: 0, back_after: until },
        _ => Mishap::Cut { replica: 0, lasts: until },
    };
    voyage.mishaps.push((ms(5000), away));
    voyage.ends_at += long;
    voyage
}

#[test]
fn nor_where_one_was_away_for_more_than_a_minute_before_that() {
    for seed in 0..RUNS / 5 {
        let voyage = wild_after_a_while(&mut Chance::seeded(seed ^ 0xA3A7));
        let log = Fleet::run(seed, voyage.clone());

        let (most, from) = most_in_a_second(&log.arrivals);
        assert!(most <= 20, "seed {seed}: {most} arrivals from {from:?}\n{voyage:#?}");
    }
}

#[test]
fn a_saturated_quota_is_used_to_95_percent_by_any_number_of_replicas_and_no_two_differ_by_much() {
    let span = Duration::from_secs(10);
    for replicas in [1, 2, 3, 5, 10, 20, 50] {
        let log = Fleet::run(7, Voyage { ends_at: SETTLED + span, ..calm(replicas) });

        let of = |replica: &Vec<Duration>| replica.iter().filter(|at| **at >= SETTLED).count();
        let granted: Vec<_> = log.grants.iter().map(of).collect();
        let (least, most) = (granted.iter().min().unwrap(), granted.iter().max().unwrap());
        let used = granted.iter().sum::<usize>();
        let longest_wait = log.waits.iter().flatten().max().unwrap();
        eprintln!("{replicas} replicas: {used} in 10 s, {least} to {most} each, {} trips", log.trips);
        assert!(used >= 190, "{replicas} replicas: {used} in 10 s");
        assert!(most - least <= 2, "{replicas} replicas: {granted:?}, longest wait {longest_wait:?}");
    }
}

#[test]
fn an_idle_quota_serves_all_its_tokens_at_once_wherever_they_are_wanted() {
    let quiet = calm(3);
    let voyage = Voyage { demand: vec![(20, Duration::from_secs(5)), (0, SETTLED)], ..quiet };
    for seed in 0..20 {
        let log = Fleet::run(seed, voyage.clone());

        let late = log.waits[0].iter().skip(3).filter(|wait| **wait > ms(10)).count();
        assert_eq!(late, 0, "seed {seed}: {:?}", log.waits[0]);
    }
}

#[test]
fn a_clock_of_the_stores_that_is_slewed_lets_no_more_calls_through_and_costs_nothing_within_what_daemons_do() {
    let from = SETTLED + Duration::from_secs(2);
    for (ppm, least) in [(1000, 190), (83_000, 0)] {
        for seed in 0..10 {
            let mishaps = vec![(from, Mishap::ClockIsSlewed { ppm, lasts: Duration::from_secs(6) })];
            let log = Fleet::run(seed, Voyage { mishaps, ends_at: from + Duration::from_secs(12), ..calm(3) });

            let used = log.arrivals.iter().filter(|(at, _)| (from..from + 10 * SECOND).contains(at)).count();
            let (most, at) = most_in_a_second(&log.arrivals);
            assert!(most <= 20, "seed {seed}: {most} from {at:?} at {ppm} ppm");
            assert!(used >= least, "seed {seed}: {used} in ten seconds at {ppm} ppm");
        }
    }
}

/// Three of twenty run that could, and want more than there is; the last is gone from the beginning on, without a word.
fn one_is_gone(gone: Mishap, restarted_at: Duration, data_from: Option<Duration>) -> (Voyage, Log) {
    let restarts = Mishap::Restarts { after: ms(200), data_from };
    let mishaps = vec![(SETTLED, gone), (restarted_at, restarts)];
    let ends_at = restarted_at + Duration::from_secs(30);
    let voyage = Voyage { running: 4, mishaps, ends_at, ..calm(20) };
    (voyage.clone(), Fleet::run(11, voyage))
}

#[test]
fn a_replica_that_died_a_while_before_the_store_began_anew_costs_its_share_and_no_more() {
    let dies = Mishap::Dies { replica: 3, back_after: Duration::from_secs(500) };
    let restarted_at = SETTLED + Duration::from_secs(70);
    for data_from in [None, Some(ms(0)), Some(ms(1000))] {
        let (voyage, log) = one_is_gone(dies, restarted_at, data_from);

        let from = restarted_at + Duration::from_secs(10);
        let used = log.arrivals.iter().filter(|(at, _)| (from..from + Duration::from_secs(10)).contains(at)).count();
        let (most, at) = most_in_a_second(&log.arrivals);
        eprintln!("with data from {data_from:?} ago: {used} in ten seconds");
        assert!(used >= 180, "{used} in ten seconds");
        assert!(most <= 20, "{most} from {at:?}\n{voyage:#?}");
    }
}

#[test]
fn a_replica_that_was_cut_off_a_while_before_the_store_began_anew_keeps_its_share_and_joins() {
    let restarted_at = SETTLED + Duration::from_secs(70);
    let is_cut = Mishap::Cut { replica: 3, lasts: Duration::from_secs(85) };
    for data_from in [None, Some(ms(0)), Some(ms(1000))] {
        let (voyage, log) = one_is_gone(is_cut, restarted_at, data_from);

        let (most, at) = most_in_a_second(&log.arrivals);
        assert!(most <= 20, "{most} from {at:?}\n{voyage:#?}");
        let end = voyage.ends_at - Duration::from_secs(5);
        let alone = log.arrivals.iter().filter(|(at, who)| *who == 3 && *at > restarted_at && *at < end).count();
        let last = log.arrivals.iter().filter(|(at, _)| (end..voyage.ends_at).contains(at)).count();
        assert!(alone >= 20, "{alone} calls of its own");
        assert!(last >= 92, "{last} in the last five seconds");
    }
}

#[test]
fn while_one_who_was_there_a_moment_ago_stays_away_from_a_new_store_it_may_be_with_the_one_before() {
    let (_, log) = one_is_gone(
        Mishap::Cut { replica: 3, lasts: Duration::from_secs(500) },
        SETTLED + Duration::from_secs(20),
        Some(ms(0)),
    );

    let from = SETTLED + Duration::from_secs(35);
    let used = log.arrivals.iter().filter(|(at, who)| *who != 3 && (from..from + SECOND).contains(at)).count();
    assert_eq!(used, 3, "a share for each of those who are there");
}

#[test]
fn without_the_store_each_replica_uses_its_share_and_then_all_share_again() {
    let gone_at = SETTLED;
    let restarts = Mishap::Restarts { after: Duration::from_secs(10), data_from: None };
    let mishaps = vec![(gone_at, restarts)];
    let log = Fleet::run(3, Voyage { mishaps, ends_at: gone_at + Duration::from_secs(40), ..calm(3) });
    let between = |from: u64, to: u64| {
        let (from, to) = (gone_at + Duration::from_secs(from), gone_at + Duration::from_secs(to));
        log.arrivals.iter().filter(|(at, _)| (from..to).contains(at)).count()
    };
    let silence = |from: u64| {
        let from = gone_at + Duration::from_secs(from);
        log.arrivals.iter().map(|(at, _)| *at).find(|at| *at > from + ms(300)).expect("it goes on") - from
    };

    let (lost, regained) = (silence(0), silence(10));
    eprintln!("silent for {lost:?} after the loss, for {regained:?} after the return");
    assert!(lost < ms(2500), "{lost:?}");
    assert!(regained < ms(2800), "{regained:?}");
    assert!((50..=54).contains(&between(4, 7)), "three shares of six: {}", between(4, 7));
    assert!(between(25, 35) >= 190, "{}", between(25, 35));
}
