//! How much of a client is read before it is answered. Pure.
//!
//! The parser keeps up to 128 KiB of a head that does not end, and as many requests as stand in what it was given at
//! once; with thousands of connections that is more memory than a process is meant to have.

use crate::http::{LONGEST_UNANSWERED, Turn};

/// What the parser is given at once before it has to look at it: as much as its buffer holds when it is empty. Few heads
/// are longer, and not too many requests stand in it.
const AT_ONCE: usize = 8 << 10;

/// What is read after the last answer, so that whoever is still sending a body sees that answer and not a reset.
pub(super) const LONGEST_FAREWELL: usize = 1 << 20;

/// What has been read of a client.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Since it was last written to.
    unanswered: usize,
    /// Since the parser last looked at all of it.
    unparsed: usize,
    /// The last write found no room: the client does not read what it asked for.
    is_blocked: bool,
}

/// What happens with a connection that is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// So many bytes may be read.
    Read(usize),
    /// The parser looks at what it has first.
    Parse,
    /// Nothing is read until something has been written.
    Wait,
    /// What was read is the beginning of a head that is too large.
    Refuse,
    /// It is as if the client had closed it.
    End,
}

impl Intake {
    pub(super) fn next(&mut self, turn: Turn) -> Next {
        let most = match turn {
            Turn::Over => return if self.is_blocked { Next::Wait } else { Next::End },
            Turn::Nobody if self.is_blocked => return Next::Wait,
            Turn::Nobody => LONGEST_FAREWELL,
            Turn::Client | Turn::Gateway => LONGEST_UNANSWERED,
        };
        let room = most.saturating_sub(self.unanswered).min(AT_ONCE.saturating_sub(self.unparsed));
        if room > 0 {
            return Next::Read(room);
        }
        if self.unparsed > 0 {
            // It may have been a request, and then the turn is another when this is asked again.
            self.unparsed = 0;
            return Next::Parse;
        }
        match turn {
            Turn::Client if !self.is_blocked => Next::Refuse,
            Turn::Client | Turn::Gateway => Next::Wait,
            Turn::Nobody | Turn::Over => Next::End,
        }
    }

    pub(super) fn has_read(&mut self, count: usize) {
        self.unanswered += count;
        self.unparsed += count;
    }

    /// Whether the client has yet to take what it was answered.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Nothing more was there, so the parser looks at what it has.
    pub(super) fn has_parsed(&mut self) {
        self.unparsed = 0;
    }

    pub(super) fn has_written(&mut self, count: usize) {
        self.is_blocked = false;
        if count > 0 {
            self.unanswered = 0;
        }
    }

    pub(super) fn blocks(&mut self) {
        self.is_blocked = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads until something else is to be done, and says what and how much was read.
    fn drain(intake: &mut Intake, turn: Turn) -> (usize, Next) {
        let mut read = 0;
        loop {
            match intake.next(turn) {
                Next::Read(room) => {
                    intake.has_read(room);
                    read += room;
                }
                Next::Parse => {}
                next => return (read, next),
            }
        }
    }

    #[test]
    fn a_head_without_an_end_is_refused_and_a_request_that_is_being_answered_only_waits() {
        for (turn, next) in [(Turn::Client, Next::Refuse), (Turn::Gateway, Next::Wait)] {
            let mut intake = Intake::default();

            assert_eq!(drain(&mut intake, turn), (LONGEST_UNANSWERED, next));

            intake.has_written(1);
            assert_eq!(drain(&mut intake, turn), (LONGEST_UNANSWERED, next), "an answer makes room");
        }
    }

    #[test]
    fn a_client_that_does_not_read_its_answers_is_not_refused_in_the_middle_of_one() {
        let mut intake = Intake::default();
        intake.blocks();

        assert_eq!(drain(&mut intake, Turn::Client), (LONGEST_UNANSWERED, Next::Wait));

        intake.has_written(0);
        assert_eq!(drain(&mut intake, Turn::Client), (0, Next::Refuse));
    }

    #[test]
    fn after_the_last_answer_a_farewell_is_read_and_after_a_further_question_nothing() {
        let mut intake = Intake::default();

        assert_eq!(drain(&mut intake, Turn::Nobody), (LONGEST_FAREWELL, Next::End));
        assert_eq!(Intake::default().next(Turn::Over), Next::End);
    }

    #[test]
    fn an_answer_is_written_to_its_end_before_the_connection_ends() {
        let mut intake = Intake::default();
        intake.blocks();

        assert_eq!([Turn::Nobody, Turn::Over].map(|turn| intake.next(turn)), [Next::Wait; 2]);
    }

    proptest! {
        #[test]
        fn no_more_than_the_longest_head_is_ever_unanswered_and_the_parser_looks_in_between(
            reads in proptest::collection::vec((1_usize..20_000, any::<bool>()), 1..200),
        ) {
            let (mut intake, mut unanswered, mut unparsed) = (Intake::default(), 0, 0);

            for (wanted, is_answered) in reads {
                match intake.next(Turn::Client) {
                    Next::Read(room) => {
                        let count = wanted.min(room);
                        intake.has_read(count);
                        unanswered += count;
                        unparsed += count;
                    }
                    Next::Parse => unparsed = 0,
                    next => prop_assert_eq!((next, unanswered), (Next::Refuse, LONGEST_UNANSWERED)),
                }
                prop_assert!(unanswered <= LONGEST_UNANSWERED && unparsed <= AT_ONCE);
                if is_answered {
                    intake.has_written(1);
                    unanswered = 0;
                }
            }
        }
    }
}
