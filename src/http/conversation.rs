//! Whose turn it is on a connection. What reads it, beneath the parser, bounds what a client may say before it is
//! answered, and ends the connection after the last answer; both need to know what only the layers above know.

use std::{cell::Cell, rc::Rc};

/// Kept with a connection and beneath it. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Conversation(Rc<State>);

#[derive(Debug, Default)]
struct State {
    turn: Cell<Turn>,
    asked: Cell<u32>,
    is_of_one_request: bool,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// The client's: nothing that it has asked is without an answer.
    #[default]
    Client,
    /// Ours: a request is being answered.
    Gateway,
    /// Nobody's: the last answer has been given, and it said so. What comes is read for the client's sake, who might
    /// miss the answer otherwise.
    Nobody,
    /// Nobody's, and the client has asked on.
    Over,
}

impl Conversation {
    /// One whose first answer is the last.
    pub fn of_one_request() -> Self {
        Self(Rc::new(State { is_of_one_request: true, ..State::default() }))
    }

    /// Whose turn it is.
    pub fn turn(&self) -> Turn {
        self.0.turn.get()
    }

    /// How many requests have come.
    pub fn asked(&self) -> u32 {
        self.0.asked.get()
    }

    /// A request has come; whether it is to be answered. None is after the last answer (RFC 9112, section 9.6).
    pub(super) fn asks(&self) -> bool {
        let is_over = matches!(self.0.turn.get(), Turn::Nobody | Turn::Over);
        self.0.turn.set(if is_over { Turn::Over } else { Turn::Gateway });
        self.0.asked.set(self.0.asked.get().wrapping_add(1));
        !is_over
    }

    /// A request has been answered.
    pub(super) fn answered(&self, is_last: bool) {
        self.0.turn.set(if is_last || self.0.is_of_one_request { Turn::Nobody } else { Turn::Client });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_answered_after_the_last_answer() {
        let beneath = Conversation::default();
        let above = beneath.clone();

        for asked in 0..2 {
            assert_eq!((beneath.turn(), beneath.asked()), (Turn::Client, asked));
            assert!(above.asks());
            assert_eq!(beneath.turn(), Turn::Gateway);
            above.answered(false);
        }
        assert!(above.asks());
        above.answered(true);
        assert_eq!(beneath.turn(), Turn::Nobody);

        assert!(!above.asks() && !above.asks());
        assert_eq!(beneath.turn(), Turn::Over);
    }

    #[test]
    fn where_one_request_is_all_its_answer_is_the_last() {
        let conversation = Conversation::of_one_request();

        assert!(conversation.asks());
        conversation.answered(false);

        assert!(!conversation.asks());
    }
}
