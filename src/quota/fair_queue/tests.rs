use super::*;
use crate::domain::Clock;
use proptest::{prelude::*, sample::Index};
use std::time::SystemTime;

fn now() -> Instant {
    Clock::manual(SystemTime::UNIX_EPOCH).monotonic()
}

fn line(issuer: &str, caller: &str) -> Line {
    Line::Caller { issuer: issuer.into(), caller: caller.into() }
}

fn queue() -> FairQueue {
    FairQueue::new(Bounds { total: 1000, per_caller: 1000 })
}

/// Serves all, and says who was served in the words that `names` has for the fetches.
fn order(queue: &mut FairQueue, names: &[(FetchId, &str)]) -> String {
    let mut order = Vec::new();
    while let Some(served) = queue.serve_next() {
        order.extend(names.iter().filter(|(fetch, _)| *fetch == served.fetch).map(|(_, name)| *name));
    }
    order.join(" ")
}

/// A fetch of its own for each of the lines, named as given.
fn stand<'name>(queue: &mut FairQueue, lines: &[(&'name str, Line)]) -> Vec<(FetchId, &'name str)> {
    lines
        .iter()
        .map(|(name, line)| {
            let fetch = queue.open(now());
            queue.take_place(fetch, line, now()).expect("a new fetch takes places");
            (fetch, *name)
        })
        .collect()
}

#[test]
fn callers_of_an_issuer_take_turns_and_each_is_served_first_come() {
    let mut queue = queue();
    let names = stand(
        &mut queue,
        &[
            ("batch-1", line("corp", "batch")),
            ("batch-2", line("corp", "batch")),
            ("batch-3", line("corp", "batch")),
            ("ada-1", line("corp", "ada")),
            ("bob-1", line("corp", "bob")),
            ("ada-2", line("corp", "ada")),
        ],
    );

    let order = order(&mut queue, &names);

    assert_eq!(order, "batch-1 ada-1 bob-1 batch-2 ada-2 batch-3");
}

#[test]
fn an_issuer_with_many_subjects_has_one_share() {
    let mut queue = queue();
    let names = stand(
        &mut queue,
        &[
            ("job-1", line("ci", "1")),
            ("job-2", line("ci", "2")),
            ("job-3", line("ci", "3")),
            ("ada-1", line("corp", "ada")),
            ("ada-2", line("corp", "ada")),
        ],
    );

    let order = order(&mut queue, &names);

    assert_eq!(order, "job-1 ada-1 job-2 ada-2 job-3");
}

#[test]
fn the_same_subject_of_two_issuers_is_two_callers() {
    let mut queue = FairQueue::new(Bounds { total: 9, per_caller: 1 });
    stand(&mut queue, &[("ada", line("corp", "ada"))]);

    let room = (queue.room_in(&line("corp", "ada")), queue.room_in(&line("partner", "ada")));

    assert_eq!(room, (Err(Full::Caller), Ok(())));
}

#[test]
fn the_background_comes_last_of_all() {
    let mut queue = queue();
    let names = stand(
        &mut queue,
        &[("refresh-1", Line::Background), ("refresh-2", Line::Background), ("ada-1", line("corp", "ada"))],
    );

    let order = order(&mut queue, &names);

    assert_eq!(order, "ada-1 refresh-1 refresh-2");
}

#[test]
fn a_shared_fetch_goes_when_the_first_of_its_places_comes_up_and_then_leaves_every_line() {
    let mut queue = queue();
    let names = stand(
        &mut queue,
        &[("batch-1", line("corp", "batch")), ("batch-2", line("corp", "batch")), ("shared", line("corp", "batch"))],
    );
    let (shared, _) = names[2];
    queue.take_place(shared, &line("corp", "ada"), now());
    queue.take_place(shared, &Line::Background, now());

    let order = order(&mut queue, &names);

    assert_eq!(order, "batch-1 shared batch-2");
    assert!(queue.is_empty());
}

#[test]
fn a_person_who_wants_what_the_background_refreshes_lends_it_their_turn() {
    let mut queue = queue();
    let names = stand(&mut queue, &[("refresh", Line::Background), ("batch-1", line("corp", "batch"))]);
    queue.take_place(names[0].0, &line("corp", "ada"), now());
    let later = stand(&mut queue, &[("batch-2", line("corp", "batch"))]);

    let order = order(&mut queue, &[names, later].concat());

    assert_eq!(order, "batch-1 refresh batch-2");
}

#[test]
fn a_retry_goes_back_to_where_its_arrival_puts_it() {
    let mut queue = queue();
    let names = stand(&mut queue, &[("first", line("corp", "ada")), ("second", line("corp", "ada"))]);
    let served = [queue.serve_next(), queue.serve_next()];
    let later = stand(&mut queue, &[("third", line("corp", "ada"))]);

    // The later of the two fails first.
    for served in served.into_iter().rev().flatten() {
        assert!(queue.requeue(served.fetch, now()));
    }

    let order = order(&mut queue, &[names, later].concat());
    assert_eq!(order, "first second third");
}

#[test]
fn a_fetch_is_counted_as_waiting_while_somebody_stands_for_it() {
    let mut queue = queue();
    let fetch = queue.open(now());
    let mut counts = vec![queue.fetches_waiting()];
    let mut count = |queue: &FairQueue| counts.push(queue.fetches_waiting());

    let place = queue.take_place(fetch, &line("corp", "alice"), now()).expect("it is new");
    count(&queue);
    queue.serve_next();
    count(&queue);
    queue.requeue(fetch, now());
    count(&queue);
    queue.leave(place);
    count(&queue);
    let other = queue.open(now());
    queue.take_place(other, &line("corp", "bob"), now()).expect("it is new");
    count(&queue);
    queue.close(other);
    count(&queue);

    assert_eq!(counts, [0, 1, 0, 1, 0, 1, 0]);
}

#[test]
fn the_queue_is_bounded_and_the_background_takes_nobodys_place() {
    let mut queue = FairQueue::new(Bounds { total: 2, per_caller: 2 });
    stand(&mut queue, &[("refresh-1", Line::Background), ("refresh-2", Line::Background)]);
    assert_eq!(queue.room_in(&Line::Background), Err(Full::Caller));

    stand(&mut queue, &[("ada", line("corp", "ada")), ("bob", line("corp", "bob"))]);

    assert_eq!(queue.room_in(&line("corp", "eve")), Err(Full::Queue));
    assert_eq!(queue.len(), 4);
}

#[test]
fn a_closed_fetch_takes_no_places_and_its_old_places_change_nothing() {
    let mut queue = queue();
    let fetch = queue.open(now());
    let place = queue.take_place(fetch, &line("corp", "ada"), now()).expect("it is open");

    queue.close(fetch);
    let other = queue.open(now());
    queue.take_place(other, &line("corp", "ada"), now()).expect("it is open");

    assert_eq!(queue.leave(place), None);
    assert_eq!(queue.take_place(fetch, &line("corp", "ada"), now()), None);
    assert_eq!(queue.len(), 1);
}

type ModelLine = Vec<(usize, PlaceId)>;

/// The rules again, as plainly as they can be said and with no care for time: vectors, searched from the front.
#[derive(Default)]
struct Model {
    /// Issuers in turn, each with its callers in turn, each with its places in order.
    round: Vec<(u8, Vec<(u8, ModelLine)>)>,
    background: ModelLine,
}

impl Model {
    fn stand(&mut self, who: Option<(u8, u8)>, fetch: usize, place: PlaceId) {
        let Some((issuer, caller)) = who else { return self.background.push((fetch, place)) };
        if !self.round.iter().any(|(name, _)| *name == issuer) {
            self.round.push((issuer, Vec::new()));
        }
        let (_, callers) = self.round.iter_mut().find(|(name, _)| *name == issuer).expect("it was added");
        match callers.iter_mut().find(|(name, _)| *name == caller) {
            Some((_, places)) => places.push((fetch, place)),
            None => callers.push((caller, vec![(fetch, place)])),
        }
    }

    fn remove(&mut self, goes: impl Fn(&(usize, PlaceId)) -> bool) {
        self.background.retain(|entry| !goes(entry));
        for (_, callers) in &mut self.round {
            for (_, places) in callers.iter_mut() {
                places.retain(|entry| !goes(entry));
            }
            callers.retain(|(_, places)| !places.is_empty());
        }
        self.round.retain(|(_, callers)| !callers.is_empty());
    }

    fn serve_next(&mut self) -> Option<usize> {
        let fetch = if self.round.is_empty() {
            self.background.first()?.0
        } else {
            self.round.rotate_left(1);
            let (_, callers) = self.round.last_mut().expect("it is not empty");
            callers.rotate_left(1);
            callers.last().expect("issuers without callers leave").1[0].0
        };
        self.remove(|entry| entry.0 == fetch);
        Some(fetch)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Stand { who: Option<(u8, u8)>, shares: Option<Index> },
    Leave(Index),
    Serve,
}

fn step() -> impl Strategy<Value = Step> {
    let who = prop_oneof![4 => (0..3_u8, 0..4_u8).prop_map(Some), 1 => Just(None)];
    let shares = prop_oneof![2 => Just(None), 1 => any::<Index>().prop_map(Some)];
    prop_oneof![
        5 => (who, shares).prop_map(|(who, shares)| Step::Stand { who, shares }),
        1 => any::<Index>().prop_map(Step::Leave),
        2 => Just(Step::Serve),
    ]
}

proptest! {
    #[test]
    fn the_queue_follows_the_plain_rules_and_foretells_every_turn(steps in prop::collection::vec(step(), 0..80)) {
        let mut queue = queue();
        let mut model = Model::default();
        let mut fetches: Vec<FetchId> = Vec::new();
        let mut places: Vec<(usize, PlaceId)> = Vec::new();

        for step in steps {
            match step {
                Step::Stand { who, shares } => {
                    let shared = shares.filter(|_| !places.is_empty()).map(|index| index.get(&places).0);
                    let fetch = shared.unwrap_or_else(|| {
                        fetches.push(queue.open(now()));
                        fetches.len() - 1
                    });
                    let line = who.map_or(Line::Background, |(issuer, caller)| line(&issuer.to_string(), &caller.to_string()));
                    let place = queue.take_place(fetches[fetch], &line, now()).expect("it waits or is new");
                    places.push((fetch, place));
                    model.stand(who, fetch, place);
                }
                Step::Leave(index) if !places.is_empty() => {
                    let (_, place) = places.swap_remove(index.index(places.len()));
                    queue.leave(place);
                    model.remove(|entry| entry.1 == place);
                }
                Step::Leave(_) => {}
                Step::Serve => {
                    let served = queue.serve_next().map(|served| served.fetch);
                    let expected = model.serve_next();
                    prop_assert_eq!(served, expected.map(|fetch| fetches[fetch]));
                    places.retain(|(fetch, _)| Some(*fetch) != expected);
                    served.into_iter().for_each(|fetch| queue.close(fetch));
                }
            }
            prop_assert_eq!(queue.len(), places.len());
            let waiting = fetches.iter().filter(|fetch| queue.stage(**fetch) == Some(Stage::Waiting));
            prop_assert_eq!(queue.fetches_waiting(), waiting.count());
        }

        let foretold: Vec<_> = places.iter().map(|&(fetch, place)| (fetch, queue.turns_before(place))).collect();
        let order: Vec<usize> = std::iter::from_fn(|| model.serve_next()).collect();
        for (fetch, turns) in foretold {
            prop_assert_eq!(turns, order.iter().position(|&served| served == fetch));
        }
        for fetch in order {
            prop_assert_eq!(queue.serve_next().map(|served| served.fetch), Some(fetches[fetch]));
        }
        fetches.into_iter().for_each(|fetch| queue.close(fetch));
        prop_assert!(queue.holds_nothing());
    }
}
