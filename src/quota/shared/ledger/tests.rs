use std::{num::NonZeroU32, time::SystemTime};

use super::*;
use crate::domain::Clock;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

struct Scene {
    ledger: Ledger,
    now: Instant,
    lease: Lease,
}

impl Scene {
    /// A member for the next 400 ms.
    fn new() -> Self {
        let now = Clock::manual(SystemTime::UNIX_EPOCH).monotonic();
        let agreement = Agreement::new(20, ms(50), NonZeroU32::new(3).unwrap(), ms(100));
        let lease = Lease { until: Some(now + ms(400)), share_from: Some(now + ms(2000)), resumes_at: now, term: 1 };
        Self { ledger: Ledger::new(agreement, lease, now), now, lease }
    }

    /// A wish for one that is granted to be used after `due_in`, from a store whose clock shows something else.
    fn granted(&mut self, due_in: Duration) -> Take {
        let take = self.ledger.wish(1, self.now).expect("there is something to ask for");
        let clock = 1_800_000_000_000_000;
        let used_from = vec![clock + due_in.as_micros() as u64];
        let granted = Granted { missing: 0, ask_again_at: 0, used_from };
        self.ledger.took(&Reply { now: clock, run: String::new(), outcome: Outcome::Done(granted) }, self.now);
        take
    }

    /// A token that may be used now.
    fn token(&mut self) -> Token {
        self.granted(ms(0));
        self.ledger.grant(Pace::Spaced, self.now).expect("it is due")
    }

    fn end_term(&mut self) {
        self.lease.term += 1;
        self.ledger.set_lease(self.lease);
    }

    /// What would be told now, in milliseconds from now.
    fn settled(&mut self) -> Vec<(u64, u128)> {
        let settled = self.ledger.books(0, self.now).settled;
        settled.iter().map(|settled| (settled.number, settled.back_in.as_millis())).collect()
    }
}

#[test]
fn a_token_for_later_is_used_no_earlier() {
    let mut scene = Scene::new();
    scene.granted(ms(150));

    let early = scene.ledger.grant(Pace::AtOnce, scene.now + ms(149));
    let due = scene.ledger.next_due(scene.now);
    let in_time = scene.ledger.grant(Pace::AtOnce, scene.now + ms(150));

    assert_eq!((early, due), (None, Some(scene.now + ms(150))));
    assert!(in_time.is_some());
}

#[test]
fn nothing_is_asked_for_while_something_is_granted_or_asked_for() {
    let mut scene = Scene::new();
    scene.granted(ms(150));
    assert_eq!(scene.ledger.wish(5, scene.now), None);

    scene.ledger.grant(Pace::Spaced, scene.now + ms(150)).expect("it is due");
    let asked = scene.ledger.wish(5, scene.now + ms(150)).map(|take| (take.first, take.want));

    assert_eq!(asked, Some((1, 5)));
    assert_eq!(scene.ledger.wish(5, scene.now + ms(150)), None);
}

#[test]
fn a_return_is_told_once_it_is_known_and_until_it_is_heard() {
    let mut scene = Scene::new();
    let answered = scene.token();
    scene.ledger.handed_over(answered, scene.now);
    assert_eq!(scene.settled(), []);
    scene.now += ms(30);
    scene.ledger.answered(answered, scene.now);

    assert_eq!(scene.settled(), [(0, 1005)]);
    scene.now += ms(100);
    let books = scene.ledger.books(0, scene.now);
    scene.ledger.booked(&books, scene.now);

    assert_eq!(books.settled.len(), 1);
    assert_eq!(scene.settled(), []);
}

#[test]
fn without_an_answer_the_guard_settles_it_and_an_opened_connection_nothing_but_its_end() {
    let mut scene = Scene::new();
    let unanswered = scene.token();
    scene.ledger.handed_over(unanswered, scene.now);
    let opening = scene.token();
    scene.ledger.handed_over(opening, scene.now);
    scene.ledger.connecting(opening);

    scene.now += ms(60);
    assert_eq!(scene.settled(), [(0, 995)]);
    assert_eq!(scene.ledger.books(0, scene.now).open, [1]);
    scene.ledger.ended(opening, scene.now);

    assert_eq!(scene.settled(), [(0, 995), (1, 1055)]);
}

#[test]
fn a_token_that_was_not_used_is_back_at_once() {
    let mut scene = Scene::new();
    let unused = scene.token();

    scene.ledger.ended(unused, scene.now);

    assert_eq!(scene.settled(), [(0, 0)]);
}

#[test]
fn a_wish_without_an_answer_is_undone_when_it_cannot_be_granted_any_more() {
    let mut scene = Scene::new();
    let take = scene.ledger.wish(2, scene.now).expect("there is something to ask for");
    scene.now += ms(20);

    scene.ledger.took_nothing(scene.now);

    assert_eq!(take.want, 2);
    assert_eq!(scene.settled(), []);
    assert_eq!(scene.ledger.wish(2, scene.now), None);
    scene.now += ms(80);
    assert_eq!(scene.settled(), [(0, 0), (1, 0)]);
    assert_eq!(scene.ledger.wish(2, scene.now).map(|take| take.first), Some(2));
}

#[test]
fn what_has_not_left_when_its_lease_or_its_term_ends_may_not_leave_any_more() {
    let mut scene = Scene::new();
    let [unsent, opening, sent] = [scene.token(), scene.token(), scene.token()];
    scene.ledger.connecting(opening);
    scene.ledger.handed_over(sent, scene.now);
    let may_leave = |scene: &Scene, now| [unsent, opening, sent].map(|token| scene.ledger.may_leave(token, now));

    assert_eq!(may_leave(&scene, scene.now + ms(399)), [true; 3]);
    assert_eq!(may_leave(&scene, scene.now + ms(400)), [false, false, true]);
    scene.end_term();

    assert_eq!(may_leave(&scene, scene.now), [false, false, true]);
}

#[test]
fn a_renewed_lease_holds_for_the_tokens_that_it_named_and_no_others() {
    let mut scene = Scene::new();
    let named = scene.token();
    let books = scene.ledger.books(0, scene.now);
    let later = scene.token();

    scene.ledger.booked(&books, scene.now + ms(500));

    let at = scene.now + ms(450);
    assert_eq!([named, later].map(|token| scene.ledger.may_leave(token, at)), [true, false]);
}

#[test]
fn what_is_kept_for_later_goes_back_when_the_term_ends() {
    let mut scene = Scene::new();
    scene.granted(ms(150));

    scene.end_term();
    scene.now += ms(150);

    assert_eq!(scene.ledger.grant(Pace::AtOnce, scene.now), None);
    assert_eq!(scene.settled(), [(0, 0)]);
}

#[test]
fn what_nobody_waits_for_any_more_goes_back_at_once_the_last_first() {
    let mut scene = Scene::new();
    let take = scene.ledger.wish(3, scene.now).expect("there is something to ask for");
    let used_from = vec![1000, 51_000, 101_000];
    let granted = Granted { missing: 0, ask_again_at: 0, used_from };
    scene.ledger.took(&Reply { now: 1000, run: String::new(), outcome: Outcome::Done(granted) }, scene.now);

    let books = scene.ledger.books(1, scene.now);
    let kept = scene.ledger.grant(Pace::Spaced, scene.now);
    let more = scene.ledger.grant(Pace::Spaced, scene.now + ms(150));

    let back: Vec<_> = books.settled.iter().map(|settled| (settled.number, settled.back_in)).collect();
    assert_eq!((take.want, books.open), (3, vec![0]));
    assert_eq!(back, [(1, Duration::ZERO), (2, Duration::ZERO)]);
    assert_eq!((kept, more), (Some(Token::Store(0)), None));
}

#[test]
fn between_the_lease_and_the_share_there_is_nothing_and_then_the_share() {
    let mut scene = Scene::new();
    let start = scene.now;
    let mut count = |at| (0..20).filter(|_| scene.ledger.grant(Pace::AtOnce, at).is_some()).count();

    let counts = [start, start + ms(1999), start + ms(2000)].map(&mut count);

    assert_eq!(counts, [0, 0, 6]);
}

#[test]
fn a_call_of_the_share_that_has_not_left_when_the_store_is_back_stays() {
    let mut scene = Scene::new();
    let at = scene.now + ms(2000);
    let [opening, sent] = [(); 2].map(|()| scene.ledger.grant(Pace::AtOnce, at).expect("a share of six"));
    scene.ledger.connecting(opening);
    scene.ledger.handed_over(sent, at);

    scene.end_term();

    assert_eq!([opening, sent].map(|token| scene.ledger.may_leave(token, at)), [false, true]);
}

#[test]
fn a_refusal_of_the_upstreams_is_told_with_the_age_of_its_grant() {
    let mut scene = Scene::new();
    let refused = scene.token();
    scene.now += ms(40);
    scene.ledger.refused_upstream(refused, scene.now);
    scene.now += ms(10);

    let told = scene.granted(ms(0)).refused;
    scene.ledger.grant(Pace::Spaced, scene.now).expect("it is due");
    let told_again = scene.granted(ms(0)).refused;

    assert_eq!((told, told_again), (Some(ms(50)), None));
}

#[test]
fn the_expected_wait_goes_by_what_is_granted_and_by_the_distance_of_late() {
    let mut scene = Scene::new();
    for _ in 0..30 {
        scene.granted(ms(150));
        scene.now += ms(150);
        scene.lease.until = Some(scene.now + ms(400));
        scene.ledger.set_lease(scene.lease);
        scene.ledger.grant(Pace::Spaced, scene.now).expect("it is due");
    }
    scene.granted(ms(150));

    let waits = [0, 1, 9].map(|before| scene.ledger.expected_wait(before, scene.now).as_millis());

    assert_eq!(waits[0], 150);
    assert!((290..=300).contains(&waits[1]), "{waits:?}");
    assert!((1450..=1500).contains(&waits[2]), "{waits:?}");
}
