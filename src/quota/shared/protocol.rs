//! What is asked of the store's scripts and what they answer, as they read and write it.
//!
//! The scripts are [`TAKE`] and [`RENEW`]; what their arguments mean stands in them. It sends nothing.

use std::time::Duration;

use super::Agreement;

/// Takes tokens of one bucket.
pub const TAKE: &str = concat!(include_str!("prelude.lua"), include_str!("take.lua"));

/// Renews the lease of a replica, and brings the books of its buckets up to date.
pub const RENEW: &str = concat!(include_str!("prelude.lua"), include_str!("renew.lua"));

/// What every request begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The run id of the server that the request is for; empty where none is known, which asks for no more than that.
    pub run: String,
    /// The time of that server, in microseconds, after which the request is void.
    pub void_after: u64,
    /// The name of the replica: another one for each process.
    pub replica: String,
    /// What all replicas agree on.
    pub agreement: Agreement,
}

/// A token whose return is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Its number.
    pub number: u64,
    /// When it is back, from the sending of the request on. Zero: it is back.
    pub back_in: Duration,
}

/// A wish for tokens of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// The number of the first token; the others follow.
    pub first: u64,
    /// How many are wanted.
    pub want: u32,
    /// How long ago the latest token was granted whose call the upstream refused as one too many.
    pub refused: Option<Duration>,
    /// What has settled since the store was told last.
    pub settled: Vec<Settled>,
}

/// What a sign of life is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To become a member, with nothing under way.
    Join,
    /// To stay one.
    Stay,
    /// Together with a look-up: to have a new beginning, since the server's clock was set ahead.
    Void,
    /// To be one no more: nothing will be granted here.
    Leave,
}

/// The state of a replica's tokens of one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Whether anybody waits there.
    pub waits: bool,
    /// What has settled since the store was told last.
    pub settled: Vec<Settled>,
    /// The numbers of those that are granted and have not settled.
    pub open: Vec<u64>,
}

/// How many replicas one knows of, itself included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Those that are there or may be drawing on their shares.
    pub all: u32,
    /// Those of them that were there a moment ago: with another server than now, they may be there still.
    pub recent: u32,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// What it is for.
    pub purpose: Purpose,
    /// How many replicas this one knew of.
    pub known: Known,
    /// For each bucket, in the order of the keys.
    pub books: Vec<Books>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<T> {
    /// The store's clock when it was looked at, in microseconds.
    pub now: u64,
    /// The run id of the server.
    pub run: String,
    /// What was found.
    pub outcome: Outcome<T>,
}

/// See [`Reply`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It was carried out.
    Done(T),
    /// It was for another server, and nothing was done.
    Moved,
    /// It came too late, and nothing was done.
    Late,
    /// The replica holds no lease, and nothing was done.
    Lapsed,
}

/// What a [`Take`] brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Replicas that may be drawing on their shares by themselves.
    pub missing: u32,
    /// Where nothing is granted: when to ask again, by the store's clock.
    pub ask_again_at: u64,
    /// For each token that was granted, when it may be used, by the store's clock.
    pub used_from: Vec<u64>,
}

/// What a [`Renewal`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Replicas that may be drawing on their shares by themselves.
    pub missing: u32,
    /// Replicas that are known of there.
    pub known: Known,
}

/// The reply is not one of the scripts'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store's answer is none of the quota's scripts'")]
pub struct Malformed;

impl Known {
    /// One that knows of no other.
    pub const ALONE: Self = Self { all: 1, recent: 1 };
}

impl Envelope {
    fn arguments(&self) -> Vec<String> {
        let Agreement { tokens, replicas, .. } = self.agreement;
        let spans = [self.agreement.arrival(), self.agreement.lease(), self.agreement.quiet()].map(micros);
        let [guard, lease, quiet] = spans.map(|span| span.to_string());
        let (run, replica) = (self.run.clone(), self.replica.clone());
        vec![run, self.void_after.to_string(), replica, tokens.to_string(), replicas.to_string(), guard, lease, quiet]
    }
}

impl Take {
    /// The arguments of [`TAKE`].
    pub fn arguments(&self, envelope: &Envelope) -> Vec<String> {
        let mut arguments = envelope.arguments();
        let refused = self.refused.map_or("-1".to_owned(), |ago| micros(ago).to_string());
        arguments.extend([self.first.to_string(), self.want.to_string(), refused]);
        write_settled(&mut arguments, &self.settled);
        arguments
    }
}

impl Renewal {
    /// The arguments of [`RENEW`].
    pub fn arguments(&self, envelope: &Envelope) -> Vec<String> {
        let mut arguments = envelope.arguments();
        let purpose = match self.purpose {
            Purpose::Join => "join",
            Purpose::Stay => "stay",
            Purpose::Void => "void",
            Purpose::Leave => "leave",
        };
        let Known { all, recent } = self.known;
        arguments.extend([purpose.to_owned(), all.to_string(), recent.to_string()]);
        for books in &self.books {
            arguments.extend([u8::from(books.waits).to_string(), books.settled.len().to_string()]);
            write_settled(&mut arguments, &books.settled);
            arguments.push(books.open.len().to_string());
            arguments.extend(books.open.iter().map(u64::to_string));
        }
        arguments
    }
}

fn write_settled(arguments: &mut Vec<String>, settled: &[Settled]) {
    for Settled { number, back_in } in settled {
        arguments.extend([number.to_string(), micros(*back_in).to_string()]);
    }
}

/// Whole microseconds, rounded up: what is waited for may be waited for longer.
fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

impl Reply<Granted> {
    /// Reads a reply of [`TAKE`].
    ///
    /// # Errors
    /// Where it is none.
    pub fn of_take(reply: &[String]) -> Result<Self, Malformed> {
        read(reply, |rest| {
            let [missing, ask_again_at, used_from @ ..] = rest else { return Err(Malformed) };
            let used_from = used_from.iter().map(|at| number(at)).collect::<Result<_, _>>()?;
            Ok(Granted { missing: small(missing)?, ask_again_at: number(ask_again_at)?, used_from })
        })
    }
}

impl Reply<Renewed> {
    /// Reads a reply of [`RENEW`].
    ///
    /// # Errors
    /// Where it is none.
    pub fn of_renewal(reply: &[String]) -> Result<Self, Malformed> {
        read(reply, |rest| {
            let [missing, all, recent] = rest else { return Err(Malformed) };
            let known = Known { all: small(all)?, recent: small(recent)? };
            Ok(Renewed { missing: small(missing)?, known })
        })
    }
}

fn read<T>(reply: &[String], done: impl FnOnce(&[String]) -> Result<T, Malformed>) -> Result<Reply<T>, Malformed> {
    let [outcome, now, run, rest @ ..] = reply else { return Err(Malformed) };
    let outcome = match (outcome.as_str(), rest) {
        ("ok", rest) => Outcome::Done(done(rest)?),
        ("moved", []) => Outcome::Moved,
        ("late", []) => Outcome::Late,
        ("lapsed", []) => Outcome::Lapsed,
        _ => return Err(Malformed),
    };
    Ok(Reply { now: number(now)?, run: run.clone(), outcome })
}

fn number(text: &str) -> Result<u64, Malformed> {
    text.parse().map_err(|_| Malformed)
}

fn small(text: &str) -> Result<u32, Malformed> {
    text.parse().map_err(|_| Malformed)
}
