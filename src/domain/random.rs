//! The one room that asks the machine for random bits, as `clock` is for the time.
//!
//! Each thread asks for a key now and then, and makes many ids of it by AES: the system's own generator would take a
//! hundredth of a hit for its two ids, by system calls a twentieth. They make ids, never keys.

use std::cell::RefCell;

use aws_lc_rs::cipher::{AES_256, AES_256_KEY_LEN, EncryptingKey, EncryptionContext, UnboundCipherKey};

/// Ids of 128 bits that are made at once, of one key.
const IDS: usize = 256;

thread_local! {
    static MADE: RefCell<Vec<u128>> = const { RefCell::new(Vec::new()) };
}

/// 128 random bits. Where the system gives no randomness the process cannot promise unique ids, and says so by zeros
/// rather than by dying.
pub(super) fn bits() -> u128 {
    MADE.with_borrow_mut(|made| {
        if made.is_empty() {
            match make() {
                Some(ids) => made.extend(ids),
                None => tracing::error!("the system gives no randomness; ids are not unique"),
            }
        }
        made.pop().unwrap_or(0)
    })
}

/// The key stream of a random key that nothing else is ever encrypted with.
fn make() -> Option<impl Iterator<Item = u128>> {
    let mut key = [0; AES_256_KEY_LEN];
    getrandom::fill(&mut key).ok()?;
    let key = EncryptingKey::ctr(UnboundCipherKey::new(&AES_256, &key).ok()?).ok()?;
    let mut stream = [[0; 16]; IDS];
    key.less_safe_encrypt(stream.as_flattened_mut(), EncryptionContext::Iv128([0; 16].into())).ok()?;
    Some(stream.into_iter().map(u128::from_ne_bytes))
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
