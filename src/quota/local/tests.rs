mod scene;

use std::time::SystemTime;

use tokio::time::timeout;

use super::*;
use scene::{LIMITS, Scene, admitted, line, ms, soon, still_waits};

#[tokio::test(start_paused = true)]
async fn an_idle_bucket_serves_all_its_tokens_at_once() {
    let scene = Scene::new(LIMITS);
    let fetches: Vec<_> = (0..21).map(|_| scene.bucket.open_fetch()).collect();

    let standings: Vec<_> = fetches.iter().map(|fetch| scene.stand(fetch, &line("ada"))).collect();

    assert!(standings[..20].iter().all(|standing| matches!(standing, Standing::Underway(_))));
    assert!(matches!(standings[20], Standing::Waiting(_)));
    assert_eq!(scene.bucket.queue_length(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_one_second_after_the_answer_that_frees_a_token() {
    let scene = Scene::new(LIMITS);
    scene.exhaust(ms(30)).await;
    let answered_at = scene.now();
    let (mut fetch, _place) = scene.wait(&line("ada"));

    let grant = soon(fetch.granted()).await.expect("somebody stands for it");

    let waited = scene.now() - answered_at;
    assert!((ms(1000)..=ms(1003)).contains(&waited), "{waited:?}");
    assert!(grant.waited() >= ms(1000));
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_a_token_of_an_open_connection_is_back_after_a_second_and_the_guard() {
    let scene = Scene::new(Limits { requests_per_second: 1, ..LIMITS });
    let (mut first, _ada) = scene.wait(&line("ada"));
    let mut unanswered = soon(first.granted()).await.expect("somebody stands for it");
    unanswered.handed_over(scene.now());
    let sent_at = scene.now();
    let (mut second, _bob) = scene.wait(&line("bob"));

    let _grant = soon(second.granted()).await.expect("somebody stands for it");

    let waited = scene.now() - sent_at;
    assert!((ms(1050)..=ms(1053)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_opens_its_connection_keeps_its_token_until_a_second_after_the_answer() {
    let scene = Scene::new(Limits { requests_per_second: 1, ..LIMITS });
    let (mut first, _ada) = scene.wait(&line("ada"));
    let mut cold = soon(first.granted()).await.expect("somebody stands for it");
    cold.handed_over(scene.now());
    cold.connecting(scene.now());
    let (mut second, _bob) = scene.wait(&line("bob"));
    assert!(still_waits(ms(2000), second.granted()).await);

    cold.answered(scene.now());
    let answered_at = scene.now();
    let _grant = soon(second.granted()).await.expect("somebody stands for it");

    let waited = scene.now() - answered_at;
    assert!((ms(1000)..=ms(1003)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_granted_and_not_used_goes_to_the_next_at_once() {
    let scene = Scene::new(Limits { requests_per_second: 1, ..LIMITS });
    let (mut first, _ada) = scene.wait(&line("ada"));
    let unused = soon(first.granted()).await.expect("somebody stands for it");
    let (mut second, _bob) = scene.wait(&line("bob"));
    tokio::time::sleep(ms(1500)).await;
    let before = scene.now();

    drop(unused);
    let _grant = soon(second.granted()).await.expect("somebody stands for it");

    assert!(scene.now() - before <= ms(2));
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_leaves_the_queue_and_costs_no_token() {
    let scene = Scene::new(Limits { requests_per_second: 1, ..LIMITS });
    scene.exhaust(ms(10)).await;
    let (mut first, hung_up) = scene.wait(&line("ada"));
    let (mut second, _bob) = scene.wait(&line("bob"));

    drop(hung_up);

    assert_eq!(scene.bucket.queue_length(), 1);
    assert_eq!(soon(first.granted()).await.err(), Some(Abandoned));
    assert!(matches!(scene.stand(&first, &line("eve")), Standing::Abandoned));
    let before = scene.now();
    let _grant = soon(second.granted()).await.expect("somebody stands for it");
    assert!(scene.now() - before <= ms(1003));
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_after_the_grant_and_before_the_call_costs_no_token() {
    let scene = Scene::new(Limits { requests_per_second: 1, ..LIMITS });
    let (mut fetch, place) = scene.wait(&line("ada"));

    drop(place);

    assert_eq!(soon(fetch.granted()).await.err(), Some(Abandoned));
    assert!(matches!(scene.stand(&scene.bucket.open_fetch(), &line("bob")), Standing::Underway(_)));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_goes_on_for_those_who_stay() {
    let scene = Scene::new(Limits { requests_per_second: 1, ..LIMITS });
    scene.exhaust(ms(10)).await;
    let (mut fetch, leader) = scene.wait(&line("ada"));
    let follower = scene.stand(&fetch, &line("bob"));
    assert!(matches!(follower, Standing::Waiting(_)));

    drop(leader);

    assert!(soon(fetch.granted()).await.is_ok());
    drop(follower);
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_maximum_is_refused_at_once_with_the_wait_that_is_predicted() {
    let scene = Scene::new(Limits { max_wait: ms(1200), ..LIMITS });
    scene.exhaust(ms(20)).await;

    let mut waiting = Vec::new();
    let refusal = loop {
        let fetch = scene.bucket.open_fetch();
        match scene.stand(&fetch, &line("batch")) {
            Standing::Waiting(place) => waiting.push((fetch, place)),
            Standing::Refused(refusal) => break refusal,
            other => panic!("{other:?}"),
        }
    };

    // A token at 1.0 s and one each 50 ms after it: the fifth at 1.2 s, the sixth too late.
    assert_eq!(waiting.len(), 5);
    assert_eq!(refusal, Refusal { retry_after: ms(1250), reason: RefusalReason::Wait });
    assert_eq!(scene.bucket.queue_length(), 5);
    assert!(matches!(scene.stand(&scene.bucket.open_fetch(), &line("click")), Standing::Waiting(_)));
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_deadline_is_refused_at_once() {
    let scene = Scene::new(LIMITS);
    scene.exhaust(ms(20)).await;
    let fetch = scene.bucket.open_fetch();

    let standing = fetch.handle().stand(&line("ada"), scene.now(), scene.now() + ms(900));

    let Standing::Refused(refusal) = standing else { panic!("{standing:?}") };
    assert_eq!(refusal, Refusal { retry_after: ms(1000), reason: RefusalReason::Wait });
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_waiters_own() {
    let scene = Scene::new(LIMITS);
    scene.exhaust(ms(20)).await;
    let (mut fetch, _place) = scene.wait(&line("ada"));

    let hurried = fetch.handle().stand(&line("bob"), scene.now(), scene.now() + ms(10));

    assert!(matches!(hurried, Standing::Refused(_)));
    assert!(soon(fetch.granted()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_refused_first_waiter_leaves_an_abandoned_fetch() {
    let scene = Scene::new(LIMITS);
    scene.exhaust(ms(20)).await;
    let mut fetch = scene.bucket.open_fetch();

    let hurried = fetch.handle().stand(&line("bob"), scene.now(), scene.now() + ms(10));

    assert!(matches!(hurried, Standing::Refused(_)));
    assert_eq!(soon(fetch.granted()).await.err(), Some(Abandoned));
}

#[tokio::test(start_paused = true)]
async fn queues_are_bounded_per_caller_and_in_total() {
    let scene = Scene::new(Limits { max_queue: 3, max_queue_per_caller: 2, ..LIMITS });
    scene.exhaust(ms(20)).await;
    let _ada = [scene.wait(&line("ada")), scene.wait(&line("ada"))];
    let reason = |standing| match standing {
        Standing::Refused(refusal) => Some(refusal.reason),
        _ => None,
    };

    let third_of_ada = scene.stand(&scene.bucket.open_fetch(), &line("ada"));
    let _bob = scene.wait(&line("bob"));
    let fourth_of_all = scene.stand(&scene.bucket.open_fetch(), &line("eve"));

    assert_eq!(reason(third_of_ada), Some(RefusalReason::CallerQueueFull));
    assert_eq!(reason(fourth_of_all), Some(RefusalReason::QueueFull));
}

#[tokio::test(start_paused = true)]
async fn who_is_overtaken_past_the_maximum_is_told_then() {
    let scene = Scene::new(Limits { requests_per_second: 1, max_wait: ms(2500), ..LIMITS });
    scene.exhaust(ms(0)).await;
    let arrived_at = scene.now();
    let (_ada, _first) = scene.wait(&line("ada"));
    let (_slow, second) = scene.wait(&line("ada"));
    let (_bob, _click) = scene.wait(&line("bob"));
    assert_eq!(second.give_up_at(), arrived_at + ms(2500));

    let refusal = soon(second.overtaken()).await;

    let told_after = scene.now() - arrived_at;
    assert!((ms(2500)..=ms(2502)).contains(&told_after), "{told_after:?}");
    assert_eq!(refusal.reason, RefusalReason::Wait);
    assert!(refusal.retry_after > ms(400), "{refusal:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_to_give_up_while_the_call_is_made() {
    let scene = Scene::new(LIMITS);
    let (mut fetch, place) = scene.wait(&line("ada"));
    let _grant = soon(fetch.granted()).await.expect("somebody stands for it");

    let told = !still_waits(Duration::from_secs(10), place.overtaken()).await;

    assert!(!told);
    assert_eq!(place.refusal(scene.now()), None);
}

#[tokio::test(start_paused = true)]
async fn a_retry_stands_before_those_who_came_later_and_for_those_who_came_meanwhile() {
    let scene = Scene::new(Limits { requests_per_second: 1, ..LIMITS });
    let (mut fetch, creator) = scene.wait(&line("ada"));
    let mut failed = soon(fetch.granted()).await.expect("somebody stands for it");
    failed.handed_over(scene.now());
    let (mut later, _place) = scene.wait(&line("ada"));
    let joined = scene.stand(&fetch, &line("bob"));
    assert!(matches!(joined, Standing::Underway(_)));
    drop(creator);
    drop(failed);

    fetch.requeue(scene.now()).expect("bob waits");
    assert_eq!(scene.bucket.queue_length(), 2);
    drop(joined);
    assert_eq!(soon(fetch.granted()).await.err(), Some(Abandoned));

    assert!(soon(later.granted()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_retry_takes_its_own_token() {
    let scene = Scene::new(Limits { requests_per_second: 2, ..LIMITS });
    let (mut fetch, _place) = scene.wait(&line("ada"));
    for _ in 0..2 {
        let mut failed = soon(fetch.granted()).await.expect("somebody stands for it");
        failed.handed_over(scene.now());
        drop(failed);
        fetch.requeue(scene.now()).expect("ada waits");
    }
    let before = scene.now();

    let _third = soon(fetch.granted()).await.expect("somebody stands for it");

    assert!(scene.now() - before >= ms(1050));
}

#[tokio::test(start_paused = true)]
async fn a_retry_for_nobody_is_abandoned() {
    let scene = Scene::new(LIMITS);
    let (mut fetch, place) = scene.wait(&line("ada"));
    let _grant = soon(fetch.granted()).await.expect("somebody stands for it");
    drop(place);

    assert_eq!(fetch.requeue(scene.now()), Err(Abandoned));
    assert!(matches!(scene.stand(&fetch, &line("bob")), Standing::Abandoned));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_in_the_background_waits_behind_every_person() {
    let scene = Scene::new(Limits { requests_per_second: 1, ..LIMITS });
    scene.exhaust(ms(0)).await;
    let (mut refresh, _background) = scene.wait(&Line::Background);
    let (mut person, _place) = scene.wait(&line("ada"));

    let mut grant = soon(person.granted()).await.expect("somebody stands for it");
    grant.handed_over(scene.now());

    assert!(still_waits(ms(900), refresh.granted()).await);
    assert!(soon(refresh.granted()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_refuses_makes_all_pause_and_then_go_slowly() {
    let scene = Scene::new(LIMITS);
    let (mut fetch, _place) = scene.wait(&line("ada"));
    let mut refused = soon(fetch.granted()).await.expect("somebody stands for it");
    refused.handed_over(scene.now());
    let refused_at = scene.now();

    refused.refused_upstream(refused_at);
    fetch.requeue(refused_at).expect("ada waits");
    let (mut other, _other_place) = scene.wait(&line("bob"));

    let _retry = soon(fetch.granted()).await.expect("somebody stands for it");
    let paused = scene.now() - refused_at;
    assert!((ms(1000)..=ms(1003)).contains(&paused), "{paused:?}");
    let _next = soon(other.granted()).await.expect("somebody stands for it");
    let apart = scene.now() - refused_at - paused;
    assert!((ms(95)..=ms(101)).contains(&apart), "half the rate: {apart:?}");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_dropped_leaves_nothing_behind() {
    let scene = Scene::new(Limits { requests_per_second: 2, ..LIMITS });
    let (unclaimed, unclaimed_place) = scene.wait(&line("ada"));
    let (mut called, called_place) = scene.wait(&line("ada"));
    let grant = soon(called.granted()).await.expect("somebody stands for it");
    let (waiting, waiting_place) = scene.wait(&line("bob"));
    let handle = waiting.handle();

    drop((unclaimed, called, waiting));
    let after = handle.stand(&line("eve"), scene.now(), scene.now() + ms(1));
    drop((waiting_place, called_place, unclaimed_place, grant));

    assert!(matches!(after, Standing::Abandoned));
    scene.assert_nothing_is_held();
}

#[tokio::test(start_paused = true)]
async fn the_driver_ends_with_the_last_handle() {
    let (bucket, driver) = Bucket::new(LIMITS, Clock::manual(SystemTime::UNIX_EPOCH));
    let driver = tokio::spawn(async move { driver.run().await });
    let fetch = bucket.open_fetch();
    let handle = fetch.handle();
    drop((bucket, fetch));
    assert!(!driver.is_finished());

    drop(handle);

    soon(driver).await.expect("it does not panic");
}

#[test]
fn what_crosses_threads_may() {
    fn crosses<T: Send + Sync>() {}
    fn is_sent<T: Send>(_: &T) {}

    crosses::<(Bucket, Fetch, FetchHandle, Place, Grant)>();
    let (bucket, driver) = Bucket::new(LIMITS, Clock::machine());
    is_sent(&driver.run());
    is_sent(&bucket.open_fetch().granted());
}

/// The one test that needs the machine's clock: the workers' threads race for real.
#[test]
fn workers_on_several_threads_strand_nobody() {
    const WORKERS: usize = 4;
    const FETCHES: usize = 150;
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let limits = Limits { requests_per_second: 400, guard: ms(1), ..LIMITS };
    let (bucket, driver) = Bucket::new(limits, Clock::machine());
    let driver = std::thread::spawn(move || runtime().block_on(driver.run()));

    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let bucket = bucket.clone();
            std::thread::spawn(move || {
                let clock = Clock::machine();
                runtime().block_on(async {
                    let calls = (0..FETCHES).map(|number| {
                        let (bucket, clock) = (bucket.clone(), clock.clone());
                        async move {
                            let mut fetch = bucket.open_fetch();
                            let now = clock.monotonic();
                            let standing = fetch.handle().stand(&line(&format!("{worker}")), now, now + ms(60_000));
                            if number % 7 == 0 {
                                drop(standing);
                                return fetch.granted().await.is_err();
                            }
                            let place = admitted(standing);
                            let mut grant = fetch.granted().await.expect("somebody stands for it");
                            grant.handed_over(clock.monotonic());
                            tokio::task::yield_now().await;
                            grant.answered(clock.monotonic());
                            drop(place);
                            true
                        }
                    });
                    let outcomes = timeout(Duration::from_secs(30), futures_util::future::join_all(calls)).await;
                    outcomes.expect("nobody is stranded").into_iter().all(|as_expected| as_expected)
                })
            })
        })
        .collect();

    for worker in workers {
        assert!(worker.join().expect("no worker panics"));
    }
    assert_eq!(bucket.queue_length(), 0);
    drop(bucket);
    driver.join().expect("the driver ends with the bucket");
}
