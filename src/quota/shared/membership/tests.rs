use std::{num::NonZeroU32, time::SystemTime};

use super::*;
use crate::domain::Clock;

const A: &str = "aaaa";
const B: &str = "bbbb";

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn agreement() -> Agreement {
    Agreement::new(20, ms(50), NonZeroU32::new(3).unwrap(), ms(100))
}

/// A membership with a server whose clock shows `ahead` more than the time since the start.
struct Scene {
    membership: Membership,
    start: Instant,
    now: Instant,
    run: &'static str,
    ahead_micros: u64,
}

impl Scene {
    fn new() -> Self {
        let start = Clock::manual(SystemTime::UNIX_EPOCH).monotonic();
        let membership = Membership::new(agreement(), "replica".to_owned(), start);
        Self { membership, start, now: start, run: A, ahead_micros: 1_800_000_000_000_000 }
    }

    /// One that has joined.
    fn joined() -> Self {
        let mut scene = Self::new();
        assert_eq!(scene.beat(Outcome::Moved), Trip::LookUp);
        assert_eq!(scene.beat(done(0)), Trip::Renew(Purpose::Join));
        scene
    }

    fn micros(&self) -> u64 {
        self.ahead_micros + micros(self.now - self.start)
    }

    /// One trip that is answered so, without any time passing.
    fn beat(&mut self, outcome: Outcome<Renewed>) -> Trip {
        let trip = self.membership.trip(self.now);
        let reply = Reply { now: self.micros(), run: self.run.to_owned(), outcome };
        self.membership.heard(&reply, self.now, self.now);
        trip
    }

    fn phase(&self) -> Phase {
        self.membership.lease().phase(self.now)
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
    }

    /// Beats that are not answered until `phase` is reached, and how long that takes.
    fn unheard_until(&mut self, phase: Phase) -> Duration {
        let began = self.now;
        while self.phase() != phase {
            self.membership.trip(self.now);
            self.membership.unheard();
            self.pass(ms(10));
            assert!(self.now - began < ms(60_000), "{phase:?} never comes");
        }
        self.now - began
    }
}

fn done(missing: u32) -> Outcome<Renewed> {
    Outcome::Done(Renewed { missing, known: Known { all: 3, recent: 3 } })
}

#[test]
fn a_process_that_starts_joins_at_once_for_nothing_of_it_is_under_way() {
    let scene = Scene::joined();

    assert_eq!(scene.phase(), Phase::Member);
}

#[test]
fn without_a_store_from_the_start_the_share_is_there_after_the_silence() {
    let mut scene = Scene::new();

    let took = scene.unheard_until(Phase::Share);

    assert!((agreement().quiet()..=agreement().quiet() + ms(20)).contains(&took), "{took:?}");
}

#[test]
fn a_lease_is_counted_from_before_it_was_asked_for() {
    let mut scene = Scene::joined();
    scene.membership.trip(scene.now);
    let sent_at = scene.now;
    scene.pass(ms(90));
    let reply = Reply { now: scene.micros(), run: A.to_owned(), outcome: done(0) };

    scene.membership.heard(&reply, sent_at, scene.now);

    assert_eq!(scene.membership.lease().until, Some(sent_at + agreement().lease()));
}

#[test]
fn whoever_loses_the_store_is_quiet_until_nobody_can_believe_in_the_lease_that_was_asked_for_last() {
    let mut scene = Scene::joined();
    let last_heard = scene.now;

    let lapses = scene.unheard_until(Phase::Quiet);
    let asked_last = last_heard + lapses;
    let silent = scene.unheard_until(Phase::Share);

    assert!((agreement().lease()..=agreement().lease() + ms(10)).contains(&lapses), "{lapses:?}");
    assert!(scene.now + ms(30) >= asked_last + agreement().quiet(), "{silent:?}");
    assert!(scene.now <= asked_last + agreement().quiet() + ms(10), "{silent:?}");
}

#[test]
fn who_has_drawn_on_its_share_rejoins_when_what_it_sent_counts_no_more() {
    let mut scene = Scene::joined();
    scene.unheard_until(Phase::Share);

    let looked = scene.beat(Outcome::Moved);
    scene.pass(agreement().settling() - ms(1));
    let too_early = scene.beat(Outcome::Moved);
    scene.pass(ms(1));
    let in_time = scene.beat(done(0));

    assert_eq!([looked, too_early], [Trip::LookUp, Trip::LookUp]);
    assert_eq!(in_time, Trip::Renew(Purpose::Join));
    assert_eq!(scene.phase(), Phase::Member);
}

#[test]
fn another_server_is_joined_only_when_nobody_can_believe_in_the_lease_of_the_one_before() {
    let mut scene = Scene::joined();
    scene.run = B;
    scene.pass(ms(100));
    assert_eq!(scene.beat(Outcome::Moved), Trip::Renew(Purpose::Stay));
    let asked_last = scene.now;

    assert_eq!(scene.phase(), Phase::Quiet);
    while scene.beat(Outcome::Moved) == Trip::LookUp {
        scene.pass(ms(10));
    }

    let waited = scene.now - asked_last;
    assert!((agreement().quiet()..=agreement().quiet() + ms(10)).contains(&waited), "{waited:?}");
}

#[test]
fn more_who_are_missing_begin_a_term_and_fewer_do_not() {
    let mut scene = Scene::joined();
    let before = scene.membership.lease().term;

    scene.beat(done(1));
    let more = scene.membership.lease().term;
    scene.beat(done(0));
    let fewer = scene.membership.lease().term;

    assert_eq!((more, fewer), (before + 1, before + 1));
    assert_eq!(scene.phase(), Phase::Member);
}

#[test]
fn a_clock_that_was_set_ahead_ends_the_membership_and_one_that_goes_right_does_not() {
    let mut scene = Scene::joined();
    for _ in 0..50 {
        scene.pass(ms(100));
        scene.beat(done(0));
    }
    assert_eq!(scene.phase(), Phase::Member);

    scene.pass(ms(100));
    scene.ahead_micros += 50_000;
    scene.beat(done(0));

    assert_eq!(scene.phase(), Phase::Quiet);
    assert_eq!([scene.beat(Outcome::Moved), scene.beat(Outcome::Moved)], [Trip::Void, Trip::LookUp]);
}

/// How many signs of life there are until the membership ends, where the store's clock gains so much between two.
fn beats_until_it_ends(gained_micros: u64) -> Option<usize> {
    let mut scene = Scene::joined();
    (0..3000).find(|_| {
        scene.pass(ms(100));
        scene.ahead_micros += gained_micros;
        scene.beat(done(0));
        scene.phase() != Phase::Member
    })
}

#[test]
fn a_clock_that_is_slewed_a_little_ends_no_membership_and_what_it_gains_adds_up() {
    let at_the_rate_of_daemons = beats_until_it_ends(90);
    let one_more_in_a_thousand = beats_until_it_ends(200);
    let at_the_fastest_of_chrony = beats_until_it_ends(8333);

    assert_eq!(at_the_rate_of_daemons, None);
    assert!(one_more_in_a_thousand.is_some_and(|beats| (49..=52).contains(&beats)), "{one_more_in_a_thousand:?}");
    assert_eq!(at_the_fastest_of_chrony, Some(0));
}

#[test]
fn a_clock_that_gained_a_little_once_goes_on() {
    let mut scene = Scene::joined();
    scene.pass(ms(100));
    scene.ahead_micros += 4_900;

    scene.beat(done(0));
    let after_a_little = scene.phase();
    scene.pass(ms(100));
    scene.ahead_micros += 1_000;
    scene.beat(done(0));

    assert_eq!((after_a_little, scene.phase()), (Phase::Member, Phase::Quiet));
}

#[test]
fn an_answer_from_before_the_end_does_not_bring_the_membership_back() {
    let mut scene = Scene::joined();
    scene.membership.trip(scene.now);
    let stay = Reply { now: scene.micros(), run: A.to_owned(), outcome: done(0) };
    let lapsed: Reply<Renewed> = Reply { outcome: Outcome::Lapsed, ..stay.clone() };

    scene.membership.overheard(&lapsed, None, scene.now, scene.now);
    scene.membership.heard(&stay, scene.now, scene.now);

    assert_eq!(scene.phase(), Phase::Quiet);
}

#[test]
fn a_request_is_void_by_the_servers_clock_when_its_sender_gives_it_up() {
    let mut scene = Scene::joined();
    scene.pass(ms(80));

    let envelope = scene.membership.envelope(scene.now).expect("a server is known");

    let timeout = micros(agreement().timeout);
    assert!(envelope.void_after <= scene.micros() + timeout);
    assert!(envelope.void_after + 1000 >= scene.micros() + timeout);
    assert_eq!(envelope.run, A);
}

#[test]
fn who_has_left_is_granted_nothing_and_has_no_share() {
    let mut scene = Scene::joined();

    let farewell = scene.membership.leave_fleet(scene.now);
    scene.pass(ms(60_000));

    assert!(farewell.is_some());
    assert_eq!(scene.phase(), Phase::Quiet);
}
