//! Everything that keeps the gateway from starting, told at once: whoever mends a start wants to mend it once.

use std::fmt;

/// One thing that keeps the gateway from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The configuration key that it is about, a dotted path; nothing where the system itself fails.
    pub key: Option<&'static str>,
    /// What is wrong, in one line.
    pub reason: String,
}

/// What has failed so far. A start goes on to its end all the same, and then looks here.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<Failure>);

impl Failure {
    pub(super) fn of(key: &'static str, error: impl fmt::Display) -> Self {
        Self { key: Some(key), reason: error.to_string() }
    }

    pub(super) fn of_system(error: impl fmt::Display) -> Self {
        Self { key: None, reason: error.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Some(key) => write!(f, "{key}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl Failures {
    /// What was to be had, unless it has failed; `tell` says of what.
    pub(super) fn keep<T, E>(&mut self, outcome: Result<T, E>, tell: impl FnOnce(E) -> Failure) -> Option<T> {
        outcome.map_err(|error| self.0.push(tell(error))).ok()
    }

    /// The same for what can fail in several ways at once.
    pub(super) fn keep_all<T, E>(
        &mut self,
        outcome: Result<T, impl IntoIterator<Item = E>>,
        tell: impl FnMut(E) -> Failure,
    ) -> Option<T> {
        outcome.map_err(|errors| self.0.extend(errors.into_iter().map(tell))).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<Failure> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_gathered_and_what_does_not_is_handed_out() {
        let mut failures = Failures::default();

        let kept = failures.keep(Ok::<_, &str>(1), |error| Failure::of("a.key", error));
        let failed = failures.keep(Err::<(), _>("is taken"), |error| Failure::of("server.listen", error));
        let several = failures.keep_all(Err::<(), _>(["is one", "is another"]), Failure::of_system);

        assert_eq!((kept, failed, several), (Some(1), None, None));
        let told: Vec<_> = failures.into_list().iter().map(ToString::to_string).collect();
        assert_eq!(told, ["server.listen: is taken", "is one", "is another"]);
    }
}
