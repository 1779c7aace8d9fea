use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::domain::{Clock, clock::from_unix_seconds};

const HOUR: Duration = Duration::from_secs(3600);

struct Scene {
    clock: Clock,
    readers: WideReaders,
}

fn scene() -> Scene {
    let clock = Clock::manual(from_unix_seconds(0));
    let readers = WideReaders::new(clock.monotonic());
    Scene { clock, readers }
}

impl Scene {
    fn reads(&self, subject: &str, backups: impl IntoIterator<Item = u32>) -> Vec<Breadth> {
        let (region, instance) = (Region::try_from("ap-chengdu").unwrap(), InstanceId::try_from("crs-1").unwrap());
        let note = |number: u32| {
            let backup = BackupId::try_from(number.to_string().as_str()).unwrap();
            let counts = self.readers.reading(&Caller::plain("sso", subject), (&region, &instance, &backup));
            self.readers.note(counts, self.clock.monotonic())
        };
        backups.into_iter().flat_map(note).collect()
    }

    /// How many marks a caller has.
    fn marked(&self, subject: &str) -> u32 {
        let caller = Caller::plain("sso", subject);
        let key = self.readers.hash((&caller.issuer, &caller.subject));
        self.readers.readers.lock().unwrap().get(&key).map_or(0, |reader| reader.marked)
    }
}

#[test]
fn each_breadth_is_told_once_when_it_is_passed() {
    let scene = scene();

    let told = scene.reads("alice", 0..1200);

    assert_eq!(told, Breadth::ALL);
}

#[test]
fn a_breadth_is_passed_within_a_few_in_a_hundred_of_its_number() {
    for breadth in Breadth::ALL {
        let scene = scene();
        let number = u32::from(breadth.backups());

        let at = (0..).find(|backup| scene.reads("alice", [*backup]).contains(&breadth)).unwrap() + 1;

        let tolerance = 2 + number / 12;
        assert!(at.abs_diff(number + 1) <= tolerance, "beyond {number} was told at {at}");
    }
}

#[test]
fn the_same_backup_counts_once_however_often_it_is_read() {
    let scene = scene();

    let told = scene.reads("alice", (0..10_000).map(|time| time % 20));

    assert_eq!(told, []);
}

#[test]
fn what_two_callers_read_is_not_added_up() {
    let scene = scene();

    let told = [scene.reads("alice", 0..20), scene.reads("olga", 20..40)];

    assert_eq!(told, [[], []]);
}

#[test]
fn a_backup_that_was_read_an_hour_ago_counts_no_more() {
    let scene = scene();
    let slowly = |from: u32| {
        let mut told = Vec::new();
        for backup in from..from + 100 {
            told.extend(scene.reads("alice", [backup]));
            scene.clock.advance(Duration::from_secs(150));
        }
        told
    };

    let told = [slowly(0), slowly(100), slowly(200)].concat();

    assert_eq!(told, [], "twenty-four an hour are not more than twenty-five");
}

#[test]
fn whoever_goes_on_is_told_once_an_hour() {
    let scene = scene();
    let mut told = Vec::new();

    for minute in 0..180 {
        told.extend(scene.reads("alice", minute * 2..minute * 2 + 2).into_iter().map(|breadth| (minute, breadth)));
        scene.clock.advance(Duration::from_secs(60));
    }

    let narrow: Vec<_> = told.iter().filter(|(_, breadth)| *breadth == Breadth::Over25).map(|(at, _)| *at).collect();
    assert_eq!(narrow.len(), 3, "{told:?}");
    assert!(narrow.windows(2).all(|pair| pair[1] - pair[0] == 60), "{told:?}");
}

#[test]
fn whoever_comes_back_after_a_pause_starts_anew() {
    let scene = scene();

    let before = scene.reads("alice", 0..40);
    scene.clock.advance(HOUR * 5);
    let after = scene.reads("alice", 0..40);

    assert_eq!([before, after], [[Breadth::Over25], [Breadth::Over25]]);
}

#[test]
fn memory_has_an_end_and_a_wide_reader_keeps_its_place() {
    let scene = scene();
    let mut told = Vec::new();

    for round in 0..30 {
        told.extend(scene.reads("alice", [round]));
        for stranger in 0..MOST_CALLERS / 2 {
            scene.clock.advance(Duration::from_millis(1));
            scene.reads(&format!("{round}-{stranger}"), [0]);
        }
    }

    assert_eq!(told, [Breadth::Over25]);
    let watched = scene.readers.readers.lock().unwrap().len();
    assert!((MOST_CALLERS * 7 / 8..=MOST_CALLERS).contains(&watched), "{watched}");
}

#[test]
fn the_eighth_that_was_given_nothing_for_the_longest_time_makes_room() {
    let scene = scene();
    for caller in 0..MOST_CALLERS {
        scene.clock.advance(Duration::from_millis(1));
        scene.reads(&caller.to_string(), [0]);
    }
    scene.reads("0", [0]);

    scene.reads("a newcomer", [0]);

    let forgotten: Vec<_> = (0..MOST_CALLERS).filter(|caller| scene.marked(&caller.to_string()) == 0).collect();
    assert_eq!(forgotten, (1..=MOST_CALLERS / 8).collect::<Vec<_>>());
    assert_eq!(scene.marked("a newcomer"), 1);
}

#[test]
fn those_whose_hour_is_over_are_forgotten_though_they_are_more_than_an_eighth() {
    let scene = scene();
    for stranger in 0..MOST_CALLERS {
        if stranger == MOST_CALLERS / 2 {
            scene.clock.advance(HOUR);
        }
        scene.reads(&stranger.to_string(), [0]);
    }

    scene.reads("alice", [0]);

    assert_eq!(scene.readers.readers.lock().unwrap().len(), MOST_CALLERS / 2 + 1);
}

#[test]
fn those_who_read_at_the_same_moment_are_not_all_forgotten() {
    let scene = scene();
    for stranger in 0..MOST_CALLERS {
        scene.reads(&stranger.to_string(), [0]);
    }

    scene.reads("alice", [0]);

    assert_eq!(scene.readers.readers.lock().unwrap().len(), MOST_CALLERS * 7 / 8 + 1);
}

proptest! {
    /// Against a list of what was read when: the marks are those of the last hour, to the minute.
    #[test]
    fn marks_are_those_of_the_last_hour(reads in proptest::collection::vec((0_u64..5000, 0_u32..30), 1..200)) {
        let scene = scene();
        let born = scene.clock.monotonic();
        let mut visits: Vec<(u64, u32)> = Vec::new();
        for (pause, backup) in reads {
            scene.clock.advance(Duration::from_secs(pause));
            scene.reads("alice", [backup]);
            visits.push(((scene.clock.monotonic() - born).as_secs() / 60, backup));
        }

        let now = visits.last().unwrap().0;
        let fresh: BTreeSet<u32> =
            visits.iter().filter(|(minute, _)| now - minute < WINDOW_MINUTES).map(|(_, backup)| *backup).collect();
        // Backups share marks by chance, but marks come from nowhere else.
        let marked = scene.marked("alice");
        prop_assert!(marked as usize <= fresh.len());
        prop_assert!(marked as usize + 4 >= fresh.len(), "{} of {}", marked, fresh.len());
    }
}

#[test]
fn callers_of_two_issuers_are_two() {
    let scene = scene();
    let mut other = Caller::plain("sso", "alice");
    other.issuer = Arc::from("other");
    let region = Region::try_from("ap-chengdu").unwrap();
    let instance = InstanceId::try_from("crs-1").unwrap();
    scene.reads("alice", 0..20);

    let told: Vec<_> = (20..40)
        .flat_map(|number: u32| {
            let backup = BackupId::try_from(number.to_string().as_str()).unwrap();
            scene.readers.note(scene.readers.reading(&other, (&region, &instance, &backup)), scene.clock.monotonic())
        })
        .collect();

    assert_eq!(told, []);
}
