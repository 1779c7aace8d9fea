//! The one room that asks the machine for random bits, as `clock` is for the time.
//!
//! Each thread asks for many at once: a system call for every id would be a twentieth of what a hit costs. They make ids,
//! never keys.

use std::cell::RefCell;

/// Ids of 128 bits that one system call is good for.
const IDS: usize = 64;

thread_local! {
    static FETCHED: RefCell<Vec<u128>> = const { RefCell::new(Vec::new()) };
}

/// 128 random bits. Where the system gives no randomness the process cannot promise unique ids, and says so by zeros
/// rather than by dying.
pub(super) fn bits() -> u128 {
    FETCHED.with_borrow_mut(|fetched| {
        if fetched.is_empty() {
            fetch(fetched);
        }
        fetched.pop().unwrap_or(0)
    })
}

fn fetch(into: &mut Vec<u128>) {
    let mut bytes = [[0; 16]; IDS];
    match getrandom::fill(bytes.as_flattened_mut()) {
        Ok(()) => into.extend(bytes.map(u128::from_ne_bytes)),
        Err(error) => tracing::error!(%error, "the system gives no randomness; ids are not unique"),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    #[test]
    fn no_bits_come_twice_on_any_thread() {
        const EACH: usize = 3 * IDS + 1;

        let threads: Vec<_> = (0..4).map(|_| thread::spawn(|| (0..EACH).map(|_| bits()).collect::<Vec<_>>())).collect();
        let seen: HashSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();

        assert_eq!(seen.len(), 4 * EACH);
    }
}
