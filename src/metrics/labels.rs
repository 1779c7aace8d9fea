//! Labels whose values are words of a closed set.

/// What a look into the cache found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupResult {
    /// A fresh entry.
    Hit,
    /// An entry that is no longer fresh.
    Stale,
    /// The memory that there is no such thing.
    Negative,
    /// Nothing.
    Miss,
}

/// Whose limit turned a request away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The caller's own quota.
    Caller,
    /// The upstream's quota, shared by all.
    Upstream,
    /// An endpoint that is left alone for a moment.
    Circuit,
    /// The allowance of failed authentications of a client address.
    FailedAuth,
}

impl LookupResult {
    pub(super) const ALL: [Self; 4] = [Self::Hit, Self::Stale, Self::Negative, Self::Miss];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Negative => "negative",
            Self::Miss => "miss",
        }
    }
}

impl Scope {
    pub(super) const ALL: [Self; 4] = [Self::Caller, Self::Upstream, Self::Circuit, Self::FailedAuth];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Upstream => "upstream",
            Self::Circuit => "circuit",
            Self::FailedAuth => "failed_auth",
        }
    }
}

/// How many different backups a caller was given the URLs of within an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// More than a person needs who looks for the right one.
    Over25,
    /// More than a person asks for.
    Over100,
    /// A job over an estate of some size.
    Over250,
    /// A job over a large one, or all that there is.
    Over1000,
}

impl Breadth {
    /// All of them, the narrowest first: who goes beyond one has gone beyond those before it.
    pub const ALL: [Self; 4] = [Self::Over25, Self::Over100, Self::Over250, Self::Over1000];

    /// The number of backups that was exceeded.
    pub fn backups(self) -> u16 {
        match self {
            Self::Over25 => 25,
            Self::Over100 => 100,
            Self::Over250 => 250,
            Self::Over1000 => 1000,
        }
    }
}
