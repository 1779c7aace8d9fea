//! What a run is made of, and what it leaves behind for the tests to judge.

use std::time::Duration;

use redis_backup_gateway::quota::Line;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What happens in a run.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub tokens: u32,
    pub guard: Duration,
    /// The least and the most between handing a call to an open connection and the first of its answer.
    pub latency: (Duration, Duration),
    /// How long the driver's timer may fire late.
    pub timer_lateness: Duration,
    /// Percent of the calls that open a connection, and the longest that such a call takes.
    pub cold: (u64, Duration),
    /// Percent of the calls that fail without an answer, and are tried again.
    pub failing: u64,
    /// Percent of the grants that are not used.
    pub unused: u64,
    /// Percent of the calls that the upstream refuses as one too many.
    pub refused: u64,
    /// Percent of those waiting who hang up after a while.
    pub impatient: u64,
    /// Percent of those coming who want what somebody else waits for.
    pub shared: u64,
    pub callers: Vec<Habit>,
    /// How long people come and go; then those who wait are served, and the run ends.
    pub open_for: Duration,
}

/// How a caller behaves.
#[derive(Clone, Debug)]
pub(crate) struct Habit {
    /// Numbers of the issuer and of the caller, unique over all issuers; `None` is the background.
    pub who: Option<(u64, u64)>,
    /// Connections, each with one request at a time.
    pub connections: u64,
    /// The mean time between an answer and the next request of the same connection.
    pub pause: Duration,
    /// When the caller starts.
    pub from: Duration,
}

impl Habit {
    pub(crate) fn new(issuer: u64, caller: u64, connections: u64, pause: Duration) -> Self {
        Self { who: Some((issuer, caller)), connections, pause, from: Duration::ZERO }
    }

    pub(crate) fn line(&self) -> Line {
        self.who.map_or(Line::Background, |(issuer, caller)| Line::Caller {
            issuer: issuer.to_string().into(),
            caller: caller.to_string().into(),
        })
    }
}

/// One request, from its arrival until it was served or left.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub habit: usize,
    pub arrived_at: Duration,
    /// Grants to anybody until then.
    pub turns_before_arrival: usize,
    /// Whether the fetch was under way or a token was free, so that there was nothing to wait for.
    pub at_once: bool,
    /// The callers of its own issuer who stood in line on its arrival, itself included.
    pub own_round: usize,
    /// Whether the caller had no other request standing.
    pub only_request: bool,
    /// The largest number of issuers that had somebody standing while it waited.
    pub issuers: usize,
    pub ended: Option<(Duration, End)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its fetch's turn came, after so many grants to anybody in all.
    Served {
        turns: usize,
    },
    HungUp,
}

/// What was foretold for somebody when the doors closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prediction {
    pub visit: usize,
    pub turns: usize,
    pub wait: Duration,
}

/// All that a run leaves behind.
#[derive(Debug, Default)]
pub(crate) struct Chronicle {
    /// When calls arrived upstream, in order.
    pub arrivals: Vec<Duration>,
    /// When grants were given that led to a call, in order.
    pub grants: Vec<Duration>,
    /// Spans in which somebody was standing all the time.
    pub contended: Vec<(Duration, Duration)>,
    pub visits: Vec<Visit>,
    pub predictions: Vec<Prediction>,
    pub closed_at: Duration,
    pub turns_at_closing: usize,
    /// Free tokens long after the end, and whether the queue is as empty as a new one.
    pub free_at_end: usize,
    pub queue_is_clean: bool,
}
