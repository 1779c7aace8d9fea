//! Where the tokens of a bucket come from: this process alone, or the store that replicas share.

use std::time::{Duration, Instant};

use super::{
    shared::ledger::{self, Ledger},
    window::{self, Pace, Window},
};

/// The tokens of one bucket, as far as this process knows them.
#[derive(Debug)]
pub(super) enum Tokens {
    /// All of them are this process's.
    Local(Box<Window>),
    /// They are granted by the store, or a share of them by nobody.
    Shared(Box<Ledger>),
}

/// The right to make one call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Local(window::Token),
    Shared(ledger::Token),
}

impl Tokens {
    /// See [`Window::grant`]. With a shared store it is the store that keeps the pace.
    pub(super) fn grant(&mut self, pace: Pace, now: Instant) -> Option<Token> {
        match self {
            Self::Local(window) => window.grant(pace, now).map(Token::Local),
            Self::Shared(ledger) => ledger.grant(pace, now).map(Token::Shared),
        }
    }

    /// When there may be something to grant, or to ask for, without any further word; a moment in the past means now.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Local(window) => window.next_due(),
            Self::Shared(ledger) => ledger.next_due(now),
        }
    }

    /// Whether the call of `token`, if it has not left, still may.
    pub(super) fn may_leave(&self, token: Token, now: Instant) -> bool {
        match (self, token) {
            (Self::Shared(ledger), Token::Shared(token)) => ledger.may_leave(token, now),
            _ => true,
        }
    }

    /// See [`Window::handed_over`].
    pub(super) fn handed_over(&mut self, token: Token, now: Instant) {
        match (self, token) {
            (Self::Local(window), Token::Local(token)) => window.handed_over(token, now),
            (Self::Shared(ledger), Token::Shared(token)) => ledger.handed_over(token, now),
            _ => {}
        }
    }

    /// See [`Window::connecting`].
    pub(super) fn connecting(&mut self, token: Token) {
        match (self, token) {
            (Self::Local(window), Token::Local(token)) => window.connecting(token),
            (Self::Shared(ledger), Token::Shared(token)) => ledger.connecting(token),
            _ => {}
        }
    }

    /// See [`Window::answered`].
    pub(super) fn answered(&mut self, token: Token, now: Instant) {
        match (self, token) {
            (Self::Local(window), Token::Local(token)) => window.answered(token, now),
            (Self::Shared(ledger), Token::Shared(token)) => ledger.answered(token, now),
            _ => {}
        }
    }

    /// See [`Window::ended`].
    pub(super) fn ended(&mut self, token: Token, now: Instant) {
        match (self, token) {
            (Self::Local(window), Token::Local(token)) => window.ended(token, now),
            (Self::Shared(ledger), Token::Shared(token)) => ledger.ended(token, now),
            _ => {}
        }
    }

    /// See [`Window::refused_upstream`].
    pub(super) fn refused_upstream(&mut self, token: Token, now: Instant) {
        match (self, token) {
            (Self::Local(window), Token::Local(token)) => window.refused_upstream(token, now),
            (Self::Shared(ledger), Token::Shared(token)) => ledger.refused_upstream(token, now),
            _ => {}
        }
    }

    /// See [`Window::expected_wait`].
    pub(super) fn expected_wait(&self, grants_before: usize, now: Instant) -> Duration {
        match self {
            Self::Local(window) => window.expected_wait(grants_before, now),
            Self::Shared(ledger) => ledger.expected_wait(grants_before, now),
        }
    }

    /// What is kept for the store, where there is one.
    pub(super) fn ledger(&mut self) -> Option<&mut Ledger> {
        match self {
            Self::Local(_) => None,
            Self::Shared(ledger) => Some(ledger),
        }
    }
}
