//! Tells when what is looked at again and again has changed and come to rest.
//!
//! Pure: whoever looks brings what was seen. A file that is being written, or a folder that is being copied, shows
//! another state at each look; only a state that two looks in a row have seen is worth taking. A policy that forbids
//! may be the one that has not arrived yet.

/// What was taken last, and what the last look saw instead.
#[derive(Debug)]
pub struct Steady<T> {
    taken: T,
    seen: Option<T>,
}

impl<T: PartialEq> Steady<T> {
    /// Somebody has taken this state.
    pub fn new(taken: T) -> Self {
        Self { taken, seen: None }
    }

    /// Whether to take `now`: it is not what was taken last, and the look before has seen it, too. From then on it
    /// counts as taken, whatever becomes of it: a bad state is tried once.
    pub fn look(&mut self, now: T) -> bool {
        if self.taken == now {
            self.seen = None;
            return false;
        }
        if self.seen.as_ref() != Some(&now) {
            self.seen = Some(now);
            return false;
        }
        self.take(now);
        true
    }

    /// Somebody takes this state without having waited for it to come to rest.
    pub fn take(&mut self, now: T) {
        self.taken = now;
        self.seen = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_once_and_only_when_two_looks_agree() {
        let mut steady = Steady::new('a');

        let taken: String = "aabbbcdccbca".chars().filter(|now| steady.look(*now)).collect();

        assert_eq!(taken, "bc");
    }

    #[test]
    fn what_went_back_to_what_was_taken_is_no_change() {
        let mut steady = Steady::new('a');

        let taken = ['b', 'a', 'b', 'a'].map(|now| steady.look(now));

        assert_eq!(taken, [false; 4]);
    }

    #[test]
    fn what_was_taken_in_a_hurry_is_not_taken_again() {
        let mut steady = Steady::new('a');

        steady.look('b');
        steady.take('b');

        assert!(!steady.look('b'));
    }
}
