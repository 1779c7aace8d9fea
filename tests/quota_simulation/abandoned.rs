//! A replica whose callers leave, and one whose callers wait: what the first was granted is not kept from the second.

use std::time::{Duration, Instant, SystemTime};

use redis_backup_gateway::{
    domain::Clock,
    quota::{
        shared::{
            Agreement,
            ledger::Ledger,
            membership::Lease,
            protocol::{Envelope, Known, Outcome, Purpose, Renewal, Take},
        },
        window::Pace,
    },
};

use crate::{
    fleet::agreement,
    ms,
    store::{Server, Store},
};

const RUN: &str = "a";
const BUCKET: u32 = 0;

/// A store and two members of one quota, whose trips take no time.
struct Scene {
    agreement: Agreement,
    store: Store,
    origin: Instant,
    now: Duration,
    abandoned: Ledger,
    wanted: Ledger,
}

impl Scene {
    /// Both have joined, and the silence of the new store is over.
    fn with(tokens: u32) -> Self {
        let agreement = Agreement { tokens, ..agreement(2) };
        let origin = Clock::manual(SystemTime::UNIX_EPOCH).monotonic();
        let lease = Lease { until: None, share_from: None, resumes_at: origin, term: 1 };
        let [abandoned, wanted] = [(); 2].map(|()| Ledger::new(agreement, lease, origin));
        let mut scene = Self { agreement, store: Store::default(), origin, now: Duration::ZERO, abandoned, wanted };
        scene.sign_of_life("abandoned", Purpose::Join, 0);
        scene.sign_of_life("wanted", Purpose::Join, 0);
        while scene.now < ms(5000) {
            scene.pass_100_ms(0);
        }
        scene
    }

    fn instant(&self) -> Instant {
        self.origin + self.now
    }

    fn envelope(&self, replica: &str) -> Envelope {
        let (run, replica) = (RUN.to_owned(), replica.to_owned());
        Envelope { run, void_after: u64::MAX, replica, agreement: self.agreement }
    }

    fn ledger(&mut self, replica: &str) -> &mut Ledger {
        if replica == "wanted" { &mut self.wanted } else { &mut self.abandoned }
    }

    fn sign_of_life(&mut self, replica: &str, purpose: Purpose, waiting: usize) {
        let (now, envelope, lease) = (self.instant(), self.envelope(replica), self.agreement.lease());
        let books = self.ledger(replica).books(waiting, now);
        let renewal = Renewal { purpose, known: Known::ALONE, books: vec![books.clone()] };
        let server = Server { run: RUN, now: self.now.as_micros() as u64 + 1_800_000_000_000_000 };
        let reply = self.store.renew(&server, &envelope, &[BUCKET], &renewal);
        assert!(matches!(reply.outcome, Outcome::Done(_)), "{reply:?}");
        let until = Some(now + lease);
        let ledger = self.ledger(replica);
        ledger.set_lease(Lease { until, share_from: None, resumes_at: now, term: 1 });
        ledger.booked(&books, now + lease);
    }

    /// Asks for tokens for so many; how many are granted.
    fn ask(&mut self, replica: &str, waiting: usize) -> usize {
        let (now, envelope) = (self.instant(), self.envelope(replica));
        let Some(take) = self.ledger(replica).wish(waiting, now) else { return 0 };
        let server = Server { run: RUN, now: self.now.as_micros() as u64 + 1_800_000_000_000_000 };
        let reply = self.store.take(&server, &envelope, BUCKET, &take);
        self.ledger(replica).took(&reply, now);
        match reply.outcome {
            Outcome::Done(granted) => granted.used_from.len(),
            other => panic!("{other:?} to {:?}", Take { ..take }),
        }
    }

    /// Spends what may be used by now on calls that arrive and are answered at once.
    fn spend(&mut self) -> usize {
        let (now, mut spent) = (self.instant(), 0);
        while let Some(token) = self.wanted.grant(Pace::Spaced, now) {
            self.wanted.handed_over(token, now);
            self.wanted.answered(token, now);
            spent += 1;
        }
        spent
    }

    /// Both give a sign of life, and so many wait where they are patient; the calls that leave there.
    fn pass_100_ms(&mut self, waiting: usize) -> usize {
        self.sign_of_life("abandoned", Purpose::Stay, 0);
        self.sign_of_life("wanted", Purpose::Stay, waiting);
        let mut calls = 0;
        for _ in 0..10 {
            self.now += ms(10);
            self.ask("wanted", waiting);
            calls += self.spend();
        }
        calls
    }
}

#[test]
fn what_an_abandoned_replica_was_granted_is_anothers_after_its_next_sign_of_life() {
    for tokens in [20, 1] {
        let mut scene = Scene::with(tokens);
        let granted = scene.ask("abandoned", 20);

        let calls: usize = (0..100).map(|_| scene.pass_100_ms(20)).sum();

        eprintln!("of {tokens} a second: {granted} abandoned, then {calls} used in ten seconds");
        assert_eq!(granted, tokens as usize);
        assert!(calls >= 10 * tokens as usize - 1, "{calls} of {tokens} a second");
    }
}

#[test]
fn a_replica_whose_callers_come_and_leave_all_the_time_does_not_starve_another() {
    for tokens in [20, 1] {
        let mut scene = Scene::with(tokens);

        let (mut abandoned, mut calls) = (0, 0);
        for tenth in 0..300 {
            abandoned += scene.ask("abandoned", 20);
            calls += scene.pass_100_ms(if tenth < 100 { 0 } else { 20 });
        }

        eprintln!("of {tokens} a second: {abandoned} abandoned, {calls} used in twenty seconds");
        assert!(abandoned >= 100, "{abandoned} were abandoned");
        assert!(calls >= 19 * tokens as usize, "{calls} of {tokens} a second in twenty seconds");
    }
}
