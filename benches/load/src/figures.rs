//! What is printed: a figure a line, with the spread of its rounds.

use std::fmt;

/// A figure: one value a round, and what it ought to be.
pub(crate) struct Figure {
    what: String,
    unit: &'static str,
    values: Vec<f64>,
    target: Target,
}

/// What the median ought to be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// It is there to read the others by.
    None,
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, values: Vec<f64>, target: Target) -> Self {
        Self { what: what.into(), unit, values, target }
    }

    /// One value for each pair of two measurements that took turns.
    pub(crate) fn ratio(what: impl Into<String>, of: &[f64], to: &[f64], target: Target) -> Self {
        let values = of.iter().zip(to).map(|(of, to)| of / to).collect();
        Self::new(what, "", values, target)
    }

    fn verdict(&self) -> String {
        let median = median(&self.values);
        let (sign, bound, holds) = match self.target {
            Target::AtMost(bound) => ("<=", bound, median <= bound),
            Target::AtLeast(bound) => (">=", bound, median >= bound),
            Target::None => return String::new(),
        };
        format!("{sign} {bound} {}", if holds { "yes" } else { "NO" })
    }
}

/// The head of the table.
pub(crate) fn header() -> String {
    line(["", "min", "median", "max", "unit", "target"])
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = sorted(&self.values);
        let ends = [sorted.first(), sorted.last()].map(|end| end.copied().unwrap_or(f64::NAN));
        let [min, median, max] = [ends[0], median(&self.values), ends[1]].map(number);
        f.write_str(&line([&self.what, &min, &median, &max, self.unit, &self.verdict()]))
    }
}

fn line(cells: [&str; 6]) -> String {
    let [what, min, median, max, unit, target] = cells;
    format!("{what:<64} {min:>10} {median:>10} {max:>10}  {unit:<9} {target}").trim_end().to_owned()
}

/// Three figures that mean something, or the whole number.
fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.3}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The middle one; of an even number the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// The round that others on the machine disturbed least.
pub(crate) fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_shows_its_spread_and_whether_its_median_will_do() {
        let line = |target| Figure::new("what", "us", vec![3.0, 1.0, 20.0], target).to_string();

        assert!(line(Target::AtMost(3.0)).ends_with("<= 3 yes"));
        assert!(line(Target::AtLeast(3.5)).ends_with(">= 3.5 NO"));
        assert_eq!(line(Target::None).split_whitespace().collect::<Vec<_>>(), ["what", "1.000", "3.000", "20.0", "us"]);
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let ratio = Figure::ratio("", &[2.0, 9.0], &[1.0, 3.0], Target::None);

        assert_eq!(ratio.values, [2.0, 3.0]);
        assert_eq!(median(&ratio.values), 2.5);
    }
}
