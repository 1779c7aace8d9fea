//! Slots that are addressed by key, and chains through them.
//!
//! A chain gives the queue what a `VecDeque` cannot: leaving from the middle in constant time, without leaving garbage
//! behind. It never hands out a slot under a key that belonged to an earlier tenant.

/// The address of a value; of no use once the value has left, even when another has moved into its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    index: usize,
    generation: u64,
}

impl Key {
    /// The slot's number: below [`Arena::width`], and unique among the values that are there at one time.
    pub(super) fn index(self) -> usize {
        self.index
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u64,
    before: Option<Key>,
    after: Option<Key>,
    value: Option<T>,
}

/// Values by key. A value can stand in one [`Chain`] at a time.
#[derive(Debug)]
pub(super) struct Arena<T> {
    slots: Vec<Slot<T>>,
    vacant: Vec<usize>,
}

/// A doubly linked list through the slots of one arena.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain {
    first: Option<Key>,
    last: Option<Key>,
}

impl Chain {
    pub(super) fn first(self) -> Option<Key> {
        self.first
    }

    pub(super) fn is_empty(self) -> bool {
        self.first.is_none()
    }
}

impl<T> Arena<T> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), vacant: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.vacant.len() == self.slots.len()
    }

    /// One more than the largest index in use.
    pub(super) fn width(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn insert(&mut self, value: T) -> Key {
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, before: None, after: None, value: None });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.value = Some(value);
        Key { index, generation: slot.generation }
    }

    /// Takes a value out. The caller has unlinked it from its chain.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slot_mut(key)?;
        let value = slot.value.take();
        slot.generation += 1;
        self.vacant.push(key.index);
        value
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        self.slot(key)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slot_mut(key)?.value.as_mut()
    }

    /// What follows `key` in its chain.
    pub(super) fn after(&self, key: Key) -> Option<Key> {
        self.slot(key)?.after
    }

    /// The members of a chain in order.
    pub(super) fn members(&self, chain: Chain) -> impl Iterator<Item = Key> {
        std::iter::successors(chain.first, |&key| self.after(key))
    }

    /// Puts a value that stands in no chain at the end of `chain`.
    pub(super) fn link_last(&mut self, chain: &mut Chain, key: Key) {
        self.link_between(chain, chain.last, key, None);
    }

    /// Puts a value that stands in no chain before `other`, a member of `chain`.
    pub(super) fn link_before(&mut self, chain: &mut Chain, key: Key, other: Key) {
        let before = self.slot(other).and_then(|slot| slot.before);
        self.link_between(chain, before, key, Some(other));
    }

    /// Takes a member out of `chain`.
    pub(super) fn unlink(&mut self, chain: &mut Chain, key: Key) {
        let Some(slot) = self.slot_mut(key) else { return };
        let (before, after) = (slot.before.take(), slot.after.take());
        match before {
            Some(before) => self.set_after(before, after),
            None => chain.first = after,
        }
        match after {
            Some(after) => self.set_before(after, before),
            None => chain.last = before,
        }
    }

    fn link_between(&mut self, chain: &mut Chain, before: Option<Key>, key: Key, after: Option<Key>) {
        self.set_before(key, before);
        self.set_after(key, after);
        match before {
            Some(before) => self.set_after(before, Some(key)),
            None => chain.first = Some(key),
        }
        match after {
            Some(after) => self.set_before(after, Some(key)),
            None => chain.last = Some(key),
        }
    }

    fn set_before(&mut self, key: Key, before: Option<Key>) {
        if let Some(slot) = self.slot_mut(key) {
            slot.before = before;
        }
    }

    fn set_after(&mut self, key: Key, after: Option<Key>) {
        if let Some(slot) = self.slot_mut(key) {
            slot.after = after;
        }
    }

    fn slot(&self, key: Key) -> Option<&Slot<T>> {
        self.slots.get(key.index).filter(|slot| slot.generation == key.generation)
    }

    fn slot_mut(&mut self, key: Key) -> Option<&mut Slot<T>> {
        self.slots.get_mut(key.index).filter(|slot| slot.generation == key.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(arena: &Arena<char>, chain: Chain) -> String {
        arena.members(chain).filter_map(|key| arena.get(key)).collect()
    }

    #[test]
    fn a_key_does_not_open_the_slot_of_a_later_tenant() {
        let mut arena = Arena::new();
        let old = arena.insert('a');
        arena.remove(old);

        let new = arena.insert('b');

        assert_eq!(old.index(), new.index());
        assert_eq!((arena.get(old), arena.get(new)), (None, Some(&'b')));
        assert_eq!(arena.remove(old), None);
    }

    #[test]
    fn a_member_can_leave_from_anywhere_and_come_in_before_another() {
        let mut arena = Arena::new();
        let mut chain = Chain::default();
        let [a, b, c, d] = ['a', 'b', 'c', 'd'].map(|value| arena.insert(value));
        for key in [a, b, c] {
            arena.link_last(&mut chain, key);
        }

        arena.unlink(&mut chain, b);
        arena.link_before(&mut chain, d, a);
        arena.link_before(&mut chain, b, c);
        arena.unlink(&mut chain, c);

        assert_eq!(values(&arena, chain), "dab");
    }

    proptest! {
        #[test]
        fn a_chain_behaves_like_a_vector(steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..60)) {
            let mut arena = Arena::new();
            let mut chain = Chain::default();
            let mut model: Vec<Key> = Vec::new();

            for (number, (goes, whom)) in steps.into_iter().enumerate() {
                if goes && !model.is_empty() {
                    let key = model.remove(whom.index(model.len()));
                    arena.unlink(&mut chain, key);
                    arena.remove(key);
                } else {
                    let key = arena.insert(char::from_u32(number as u32 + 97).unwrap_or('?'));
                    arena.link_last(&mut chain, key);
                    model.push(key);
                }
                prop_assert_eq!(arena.members(chain).collect::<Vec<_>>(), model.clone());
                prop_assert_eq!(chain.is_empty(), model.is_empty());
            }
        }
    }
}
