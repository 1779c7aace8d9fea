//! What the process may hold at once, and what the system lets it. The numbers and their reasons are also told in
//! `docs/operations.md`.

mod cgroup;

use std::{io, thread::available_parallelism, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections that a worker holds; further ones wait in the kernel. Each has buffers of its own, so this is what
/// strangers can make a worker hold.
const MAX_CONNECTIONS: usize = 4096;

/// What a connection costs at the most, as measured: the largest head without an end, whose buffer has grown by
/// doubling, and TLS. One that was used and is idle costs a quarter of it.
const CONNECTION_BYTES: u64 = 80 << 10;

/// Connections of the listener for health checks, which nobody but machines of the operator uses. None is kept, so these
/// are probes and scrapes that are under way, and whoever connects and says nothing, for a moment.
pub(super) const MAX_ADMIN_CONNECTIONS: usize = 256;

/// Files that are not connections of callers: listeners, event queues, the log, the audit, files that are read anew,
/// connections to the cloud and to issuers, and those of the listener for health checks.
const OTHER_FILES: u64 = 512;

/// What a connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connections {
    /// How many a worker holds at once.
    pub(super) most: usize,
    /// How long an idle one is kept; zero is not at all.
    pub(super) keep_alive: Duration,
    /// How long a client may take over the head of a request.
    pub(super) request_head: Duration,
    /// How long a client may take nothing of an answer.
    pub(super) unread: Duration,
    /// How long one that is being closed may take to do so.
    pub(super) disconnect: Duration,
}

impl Connections {
    /// Connections of which a worker holds at most so many.
    pub(super) fn at_most(most: usize) -> Self {
        Self {
            most,
            // Longer than load balancers keep theirs (a minute, mostly), so that no request of theirs meets a
            // connection that is just being closed.
            keep_alive: Duration::from_secs(75),
            // A head comes in one segment or a few. Whoever takes longer holds a place on purpose.
            request_head: Duration::from_secs(5),
            // A network that loses packets is silent for seconds, not for half a minute.
            unread: Duration::from_secs(30),
            disconnect: Duration::from_secs(2),
        }
    }

    /// The same for machines that ask one thing now and then. A connection that is held open without asking must not
    /// take the place of a probe, for who is not answered is restarted: none is kept after its answer, and a head has
    /// less time.
    pub(super) fn of_machines(most: usize) -> Self {
        Self {
            most,
            keep_alive: Duration::ZERO,
            request_head: Duration::from_secs(2),
            unread: Duration::from_secs(2),
            disconnect: Duration::from_secs(1),
        }
    }
}

/// The number of workers: `configured`, or where that is zero one for each processor that the process may use, which the
/// standard library counts from the affinity mask and from the quota of the control group.
///
/// A quota of two and a half processors is two workers: what is over is for the threads beside them (the quota's clock,
/// the audit, the acceptor). Three would be throttled whenever all are busy, and a throttled worker is a tail latency.
pub(super) fn workers(configured: usize) -> usize {
    match configured {
        0 => available_parallelism().map_or(1, usize::from),
        some => some,
    }
}

/// Raises the limit of open files as far as it goes, and says how many connections a worker can hold under it and under
/// the limit of memory: with fewer than it could otherwise, connections wait in the kernel rather than find no file
/// descriptor, or end the process.
pub(super) fn connections(workers: usize) -> Connections {
    let files = raise_open_files().unwrap_or_else(|error| {
        tracing::warn!(%error, "the limit of open files cannot be raised");
        getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
    });
    let memory = cgroup::memory_limit();
    let (by_files, by_memory) = (most_by_files(files, workers), most_by_memory(memory, workers));
    let most = by_files.min(by_memory);
    tracing::info!(
        connections_a_worker = most,
        workers,
        open_files = files,
        memory_limit_bytes = memory,
        "connections beyond so many wait until others end"
    );
    if by_files < MAX_CONNECTIONS {
        let needed = MAX_CONNECTIONS as u64 * workers as u64 + OTHER_FILES;
        tracing::warn!(
            open_files = files,
            needed,
            connections_a_worker = most,
            "the limit of open files is low; connections beyond it wait until others end"
        );
    }
    Connections::at_most(most)
}

/// What the soft limit of open files is from now on: as much as the hard one allows.
fn raise_open_files() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum.unwrap_or(u64::MAX))
}

/// Connections that each worker may hold where the process may have so many files; at least one.
fn most_by_files(files: u64, workers: usize) -> usize {
    let others = OTHER_FILES.min(files / 2);
    share(files - others, workers)
}

/// Connections that each worker may hold where the process may have so many bytes; at least one. Half of them are for
/// connections, whatever those are made to cost; the cache, the keys and the program have the other half.
fn most_by_memory(limit: Option<u64>, workers: usize) -> usize {
    share(limit.unwrap_or(u64::MAX) / 2 / CONNECTION_BYTES, workers)
}

fn share(all: u64, workers: usize) -> usize {
    let each = all / workers.max(1) as u64;
    usize::try_from(each).unwrap_or(usize::MAX).clamp(1, MAX_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn connections_leave_room_for_other_files() {
        for (files, workers, most) in [
            (1 << 20, 8, 4096),
            (u64::MAX, 64, 4096),
            (8192 + 512, 2, 4096),
            (1024, 2, 256),
            (1024, 8, 64),
            (64, 2, 16),
            (4, 16, 1),
            (0, 0, 1),
        ] {
            assert_eq!(most_by_files(files, workers), most, "{files} files, {workers} workers");
        }
    }

    #[test]
    fn connections_leave_half_of_the_memory_to_the_rest() {
        for (limit, workers, most) in [
            (None, 8, 4096),
            (Some(64 << 30), 8, 4096),
            (Some(512 << 20), 2, 1638),
            // What the chart gives by default.
            (Some(256 << 20), 2, 819),
            (Some(1 << 20), 2, 3),
            (Some(0), 0, 1),
        ] {
            assert_eq!(most_by_memory(limit, workers), most, "{limit:?}, {workers} workers");
        }
    }

    proptest! {
        #[test]
        fn whatever_connections_cost_they_never_take_more_than_half(limit in 0_u64..1 << 50, workers in 1_usize..512) {
            let most = most_by_memory(Some(limit), workers);

            let cost = most as u64 * workers as u64 * CONNECTION_BYTES;
            prop_assert!(cost <= limit / 2 || most == 1);
            prop_assert!(most == MAX_CONNECTIONS || cost + workers as u64 * CONNECTION_BYTES > limit / 2);
        }
    }

    #[test]
    fn open_files_are_raised_to_what_is_allowed() {
        let allowed = getrlimit(Resource::Nofile).maximum;

        let raised = raise_open_files().unwrap();

        assert_eq!(getrlimit(Resource::Nofile).current, allowed);
        assert_eq!(raised, allowed.unwrap_or(u64::MAX));
    }

    #[test]
    fn what_is_configured_is_the_number_of_workers() {
        assert_eq!(workers(3), 3);
        assert!(workers(0) >= 1);
    }
}
