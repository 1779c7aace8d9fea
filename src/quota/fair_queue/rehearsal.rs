//! The turns to come, played through without touching the lines.
//!
//! A formula would do if each fetch stood in one line. As it is, a turn taken in one line shortens others.

use std::collections::VecDeque;

use super::{arena::Key, lines::Lines};

struct Rehearsal<'lines> {
    lines: &'lines Lines,
    /// By the index of the fetch.
    served: Vec<bool>,
    turns: usize,
}

/// How many fetches are served before `awaited`; `None` where it stands in no line.
///
/// `fetches` is more than the index of any fetch.
pub(super) fn turns_before(lines: &Lines, awaited: Key, fetches: usize) -> Option<usize> {
    let mut rehearsal = Rehearsal { lines, served: vec![false; fetches], turns: 0 };
    let mut round: VecDeque<VecDeque<Key>> = lines.first_places().map(Iterator::collect).collect();
    while let Some(mut callers) = round.pop_front() {
        // The first caller with something left has the issuer's turn; the others drop out as they would in truth.
        while let Some(first) = callers.pop_front() {
            let Some((place, fetch)) = rehearsal.serve_from(first) else { continue };
            if fetch == awaited {
                return Some(rehearsal.turns - 1);
            }
            callers.extend(lines.behind(place));
            break;
        }
        if !callers.is_empty() {
            round.push_back(callers);
        }
    }
    let mut next = lines.first_in_background();
    while let Some((place, fetch)) = next.and_then(|first| rehearsal.serve_from(first)) {
        if fetch == awaited {
            return Some(rehearsal.turns - 1);
        }
        next = lines.behind(place);
    }
    None
}

impl Rehearsal<'_> {
    /// Serves the first fetch, from `place` on along its line, that has not been served through another line.
    fn serve_from(&mut self, place: Key) -> Option<(Key, Key)> {
        let mut next = Some(place);
        while let Some(place) = next {
            let fetch = self.lines.place(place)?.fetch;
            if !std::mem::replace(self.served.get_mut(fetch.index())?, true) {
                self.turns += 1;
                return Some((place, fetch));
            }
            next = self.lines.behind(place);
        }
        None
    }
}
