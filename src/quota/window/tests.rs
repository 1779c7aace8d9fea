use super::*;
use crate::domain::Clock;
use proptest::prelude::*;
use std::time::SystemTime;

const GUARD: Duration = Duration::from_millis(50);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A bucket of `tokens` and the moment from which the test counts.
fn window(tokens: u32) -> (Window, Instant) {
    let start = Clock::manual(SystemTime::UNIX_EPOCH).monotonic();
    (Window::new(tokens, GUARD, start), start)
}

fn spend(window: &mut Window, now: Instant) -> Token {
    window.grant(Pace::AtOnce, now).expect("a token is free")
}

/// The first whole millisecond after `now` in which a token is granted at this pace.
fn next_grant(window: &mut Window, pace: Pace, now: Instant) -> Option<Duration> {
    (0..5_000).map(ms).find(|&after| window.grant(pace, now + after).is_some())
}

#[test]
fn an_idle_bucket_gives_all_its_tokens_at_once() {
    let (mut window, start) = window(20);

    let granted = std::iter::from_fn(|| window.grant(Pace::AtOnce, start)).count();

    assert_eq!(granted, 20);
}

#[derive(Clone, Copy)]
enum Word {
    HandedOver,
    Connecting,
    Answered,
    Ended,
}

#[test]
fn a_token_comes_back_when_the_call_can_no_longer_be_counted() {
    use Word::{Answered, Connecting, Ended, HandedOver};
    // What is said of a call and when, and when its token is back; in milliseconds after its grant.
    type Story = (&'static str, &'static [(Word, u64)], u64);
    let table: [Story; 10] = [
        ("was sent on an open connection", &[(HandedOver, 5)], 1055),
        ("was answered within the guard", &[(HandedOver, 0), (Answered, 20), (Ended, 30)], 1020),
        ("was answered after the guard", &[(HandedOver, 0), (Answered, 900), (Ended, 950)], 1050),
        ("opened its connection", &[(Connecting, 0), (Answered, 300), (Ended, 310)], 1300),
        ("opened it after it was handed over", &[(HandedOver, 0), (Connecting, 1), (Answered, 300)], 1300),
        ("was handed over once it was open", &[(Connecting, 0), (HandedOver, 200), (Answered, 300)], 1300),
        ("failed on an open connection", &[(HandedOver, 0), (Ended, 10)], 1050),
        ("failed after opening one", &[(Connecting, 0), (Ended, 200)], 1250),
        ("was answered without another word", &[(Answered, 40)], 1040),
        ("was never sent", &[(Ended, 7)], 7),
    ];
    for (what, words, expected) in table {
        let (mut window, start) = window(1);
        let token = spend(&mut window, start);

        let mut last = 0;
        for &(word, at) in words {
            last = at;
            match word {
                HandedOver => window.handed_over(token, start + ms(at)),
                Connecting => window.connecting(token),
                Answered => window.answered(token, start + ms(at)),
                Ended => window.ended(token, start + ms(at)),
            }
        }

        let back_at = next_grant(&mut window, Pace::AtOnce, start + ms(last)).map(|after| ms(last) + after);
        assert_eq!(back_at, Some(ms(expected)), "a call that {what}");
    }
}

#[test]
fn a_call_that_opens_its_connection_keeps_its_token_until_it_is_heard_of() {
    let (mut window, start) = window(1);
    let token = spend(&mut window, start);

    window.connecting(token);

    assert_eq!(window.next_due(), None);
    assert_eq!(next_grant(&mut window, Pace::AtOnce, start), None);
}

#[test]
fn a_late_word_about_a_call_does_not_touch_whoever_has_its_token_now() {
    let (mut window, start) = window(1);
    let slow = spend(&mut window, start);
    window.handed_over(slow, start);
    let later = start + ms(1050);
    let current = spend(&mut window, later);
    window.connecting(current);

    window.answered(slow, later + ms(1));
    window.ended(slow, later + ms(1));

    assert_eq!(next_grant(&mut window, Pace::AtOnce, later), None);
}

#[test]
fn grants_keep_their_distance_while_somebody_waits() {
    let (mut window, start) = window(20);
    for _ in 0..20 {
        let token = spend(&mut window, start);
        window.handed_over(token, start);
        window.answered(token, start);
    }

    let mut grants = Vec::new();
    for millis in 0..2_000 {
        if window.grant(Pace::Spaced, start + ms(millis)).is_some() {
            grants.push(millis);
        }
    }

    assert_eq!(grants, (0..20).map(|number| 1000 + 50 * number).collect::<Vec<_>>());
}

#[test]
fn the_lateness_of_timers_does_not_add_up() {
    let (mut window, start) = window(20);
    for _ in 0..20 {
        let token = spend(&mut window, start);
        window.answered(token, start);
    }

    let mut last = start;
    for _ in 0..20 {
        last = window.next_due().expect("tokens are known to return") + ms(2);
        assert!(window.grant(Pace::Spaced, last).is_some());
    }

    assert_eq!(last - start, ms(1000 + 19 * 50 + 2));
}

#[test]
fn a_refusal_upstream_makes_all_pause_and_go_on_at_half_the_rate_until_it_recovers() {
    let (mut window, start) = window(20);
    let refused = spend(&mut window, start);
    window.handed_over(refused, start);

    window.refused_upstream(refused, start);

    assert_eq!(next_grant(&mut window, Pace::AtOnce, start), Some(ms(1000)), "nobody goes in the pause");
    let slowly = next_grant(&mut window, Pace::AtOnce, start + ms(1000)).expect("it goes on");
    assert!((ms(95)..=ms(100)).contains(&slowly), "{slowly:?}");
    let recovered = start + Duration::from_secs(10);
    assert!(window.grant(Pace::AtOnce, recovered).is_some());
    assert!(window.grant(Pace::AtOnce, recovered).is_some(), "and at once again");
}

#[test]
fn a_bucket_of_one_call_a_second_pauses_too() {
    let (mut window, start) = window(1);
    let refused = spend(&mut window, start);

    window.refused_upstream(refused, start + ms(500));
    window.ended(refused, start + ms(500));

    let pause = next_grant(&mut window, Pace::AtOnce, start + ms(500));
    assert_eq!(pause, Some(ms(1000)));
}

#[test]
fn refusals_of_one_burst_teach_once_and_repeated_ones_leave_one_call_a_second() {
    let (mut window, start) = window(20);
    let burst: Vec<Token> = (0..20).map(|_| spend(&mut window, start)).collect();
    for &token in &burst {
        window.refused_upstream(token, start + ms(20));
    }
    assert!((window.share_of_rate(start + ms(20)) - 0.5).abs() < f64::EPSILON);

    let mut now = start;
    for _ in 0..10 {
        now = now.max(window.next_due().expect("tokens return"));
        let token = window.grant(Pace::Spaced, now).expect("it is due");
        window.refused_upstream(token, now);
    }

    let pause_and_one_call = next_grant(&mut window, Pace::Spaced, now).zip(next_grant(&mut window, Pace::Spaced, now));
    let (pause, next) = pause_and_one_call.expect("calls go on");
    assert_eq!(pause, ms(1000));
    assert!(next - pause <= ms(1000), "{next:?}");
}

#[test]
fn the_expected_wait_counts_the_tokens_and_the_distance_between_grants() {
    let (mut window, start) = window(20);
    for _ in 0..20 {
        let token = spend(&mut window, start);
        window.handed_over(token, start);
        window.answered(token, start + ms(10));
    }
    let now = start + ms(10);

    let waits = [0, 1, 19, 20].map(|before| window.expected_wait(before, now));

    assert_eq!(waits, [ms(1000), ms(1050), ms(1950), ms(2010)]);
}

#[test]
fn the_expected_wait_counts_a_pause() {
    let (mut window, start) = window(20);
    let token = spend(&mut window, start);
    window.refused_upstream(token, start);

    let wait = window.expected_wait(0, start + ms(200));

    assert_eq!(wait, ms(800));
}

proptest! {
    #[test]
    fn whatever_is_said_in_whatever_order_no_token_is_lost_or_made(
        tokens in 1..6_u32,
        steps in prop::collection::vec((0..6_u8, any::<prop::sample::Index>(), 0..400_u64), 0..200),
    ) {
        let (mut window, start) = window(tokens);
        let mut now = start;
        let mut granted: Vec<Token> = Vec::new();

        for (step, which, millis) in steps {
            now += ms(millis);
            let token = (!granted.is_empty()).then(|| granted[which.index(granted.len())]);
            match (step, token) {
                (0, Some(token)) => window.handed_over(token, now),
                (1, Some(token)) => window.connecting(token),
                (2, Some(token)) => window.answered(token, now),
                (3, Some(token)) => window.ended(token, now),
                (4, Some(token)) => window.refused_upstream(token, now),
                _ => granted.extend(window.grant(Pace::AtOnce, now)),
            }
        }
        granted.iter().for_each(|&token| window.ended(token, now));

        let later = now + Duration::from_secs(60);
        let free = std::iter::from_fn(|| window.grant(Pace::AtOnce, later)).take(100).count();
        prop_assert_eq!(free, tokens as usize);
    }
}
