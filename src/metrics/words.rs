//! Counters by words of closed sets that other rooms know: resolved once, found without a lock.

use prometheus::{IntCounter, IntCounterVec};

/// The counters of a family whose last label is a word, for each value of the labels before it.
pub(super) struct Counters<const LABELS: usize> {
    family: IntCounterVec,
    resolved: Vec<([&'static str; LABELS], IntCounter)>,
}

impl<const LABELS: usize> Counters<LABELS> {
    /// All of `values`, at zero.
    pub(super) fn new(family: IntCounterVec, values: impl IntoIterator<Item = [&'static str; LABELS]>) -> Self {
        let resolved = values.into_iter().map(|values| (values, family.with_label_values(&values))).collect();
        Self { family, resolved }
    }

    /// Adds one. Values that were not announced count all the same, but the first of them is lost to `increase`, which
    /// knows no series that was not there before.
    pub(super) fn inc(&self, values: [&'static str; LABELS]) {
        match self.resolved.iter().find(|(known, _)| *known == values) {
            Some((_, counter)) => counter.inc(),
            None => self.family.with_label_values(&values).inc(),
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Opts;

    use super::*;

    #[test]
    fn what_was_announced_is_there_at_zero_and_what_was_not_counts_all_the_same() {
        let family = IntCounterVec::new(Opts::new("f", "h"), &["action", "outcome"]).unwrap();
        let counters = Counters::new(family.clone(), [["a", "ok"], ["a", "timeout"]]);

        counters.inc(["a", "ok"]);
        counters.inc(["b", "ok"]);
        counters.inc(["b", "ok"]);
        let mut counts: Vec<_> = prometheus::core::Collector::collect(&family)
            .iter()
            .flat_map(|family| family.get_metric())
            .map(|metric| metric.get_counter().get_value())
            .collect();
        counts.sort_by(f64::total_cmp);

        assert_eq!(counts, [0.0, 1.0, 2.0]);
    }
}
