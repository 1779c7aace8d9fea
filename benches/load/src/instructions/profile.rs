//! What callgrind writes: instructions by function, each function's own.

use std::collections::{BTreeMap, HashMap};

/// Instructions by function.
pub(super) struct Profile(BTreeMap<String, u64>);

impl Profile {
    /// Reads callgrind's format. A line of cost belongs to the function that was named last; behind `calls=` follows
    /// what the called function took, which is that one's own.
    pub(super) fn parse(text: &str) -> Self {
        let mut names = HashMap::new();
        let mut counts = BTreeMap::<String, u64>::new();
        let mut function = String::new();
        let mut is_of_a_call = false;
        for line in text.lines() {
            if let Some(named) = line.strip_prefix("fn=") {
                function = name(named, &mut names);
            } else if let Some(named) = line.strip_prefix("cfn=") {
                name(named, &mut names);
            } else if line.starts_with("calls=") {
                is_of_a_call = true;
            } else if let Some(count) = cost(line)
                && !std::mem::take(&mut is_of_a_call)
            {
                *counts.entry(function.clone()).or_default() += count;
            }
        }
        Self(counts)
    }

    /// What is here beyond what is there.
    pub(super) fn minus(self, other: &Self) -> BTreeMap<String, f64> {
        let there = |name: &str| other.0.get(name).copied().unwrap_or_default();
        self.0
            .into_iter()
            .map(|(name, count)| {
                let beyond = count as f64 - there(&name) as f64;
                (name, beyond)
            })
            .collect()
    }
}

/// `(7) name` gives number 7 a name, `(7)` stands for it from then on.
fn name(named: &str, names: &mut HashMap<String, String>) -> String {
    match named.split_once(' ') {
        Some((number, name)) => {
            names.insert(number.to_owned(), name.to_owned());
            name.to_owned()
        }
        None => names.get(named).cloned().unwrap_or_else(|| named.to_owned()),
    }
}

/// `+3 17`, `-2 17`, `* 17` or `40 17`: a line of the source, as far as it is known, and instructions.
fn cost(line: &str) -> Option<u64> {
    let (place, count) = line.split_once(' ')?;
    place.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)).then(|| count.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_called_function_took_is_not_its_callers() {
        let profile = Profile::parse(
            "events: Ir\n\nfn=(1) main\n10 5\ncfn=(2) work\ncalls=1 20\n+1 400\n* 2\n\nfn=(2)\n20 400\ntotals: 407\n",
        );

        assert_eq!(profile.0, [("main".to_owned(), 7), ("work".to_owned(), 400)].into());
    }

    #[test]
    fn two_runs_differ_by_what_only_one_of_them_did() {
        let [few, many] = ["fn=(1) a\n1 5\n", "fn=(1) a\n1 25\nfn=(2) b\n1 3\n"].map(Profile::parse);

        assert_eq!(many.minus(&few), [("a".to_owned(), 20.0), ("b".to_owned(), 3.0)].into());
    }
}
