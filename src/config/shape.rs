//! Whether what was written stands under names that exist. It looks at names and tables, never at values.

use super::{
    field::found,
    keys::{self, Kind},
    problem::{Notes, Problem, join},
    raw::{Node, Table, Value},
};

/// Notes every unknown name, and every section that is no table, and takes them out of the tree, so that what follows
/// does not trip over them again.
pub(super) fn check(root: &mut Table, notes: &Notes) {
    check_table(root, "", "", notes);
}

/// `path` names the table to people (`auth.issuers[0]`), `pattern` names it in the list of keys (`auth.issuers[]`).
fn check_table(table: &mut Table, path: &str, pattern: &str, notes: &Notes) {
    table.retain(|name, node| {
        let path = join(path, name);
        let inner_pattern = join(pattern, name);
        match keys::find(&inner_pattern).map(|key| &key.kind) {
            Some(Kind::Tables(_)) => {
                check_list(node, &path, &inner_pattern, notes);
                true
            }
            Some(_) => true,
            None if keys::is_section(&inner_pattern) => match &mut node.value {
                Value::Table(inner) => {
                    check_table(inner, &path, &inner_pattern, notes);
                    true
                }
                _ => refuse(node, &path, format!("must be a table, [{path}], not {}", found(node)), notes),
            },
            None => {
                let message = format!("is not known to this version; {}", suggestion(name, pattern));
                refuse(node, &path, message, notes)
            }
        }
    });
}

/// What is no list, and what is no table in it, is left to the reader of the section.
fn check_list(node: &mut Node, path: &str, pattern: &str, notes: &Notes) {
    let Value::List(items) = &mut node.value else { return };
    for (index, item) in items.iter_mut().enumerate() {
        if let Value::Table(table) = &mut item.value {
            check_table(table, &format!("{path}[{index}]"), &format!("{pattern}[]"), notes);
        }
    }
}

fn refuse(node: &Node, path: &str, message: String, notes: &Notes) -> bool {
    notes.add(Problem::new(Some(path.to_owned()), Some(node.origin.clone()), message));
    false
}

/// What may have been meant: a name like it, the same name elsewhere, or one of the names that are known here.
fn suggestion(name: &str, pattern: &str) -> String {
    let known = keys::names_in(pattern);
    if let Some(near) = nearest(name, &known) {
        return format!("did you mean {near}?");
    }
    if let Some(section) = keys::section_with(name) {
        return format!("{name} stands in {section}");
    }
    format!("known here: {}", known.join(", "))
}

/// The candidate with the fewest typing mistakes between it and `name`, if those are few enough to be typing mistakes.
fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (typing_mistakes(name, candidate), *candidate))
        .filter(|(mistakes, candidate)| *mistakes <= (candidate.len() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The distance of Damerau and Levenshtein (optimal string alignment): letters added, left out, changed, or swapped.
fn typing_mistakes(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().take(64).collect(), right.chars().collect());
    let width = right.len() + 1;
    let mut cost: Vec<usize> = vec![0; (left.len() + 1) * width];
    for row in 0..=left.len() {
        for column in 0..=right.len() {
            let at = row * width + column;
            if row == 0 || column == 0 {
                cost[at] = row + column;
                continue;
            }
            let changed = usize::from(left[row - 1] != right[column - 1]);
            cost[at] = (cost[at - width] + 1).min(cost[at - 1] + 1).min(cost[at - width - 1] + changed);
            let swapped =
                row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1];
            if swapped {
                cost[at] = cost[at].min(cost[at - 2 * width - 2] + 1);
            }
        }
    }
    cost[cost.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_an_omission_an_addition_and_a_change_count_one_each() {
        for (left, right, mistakes) in [
            ("listen", "listen", 0),
            ("lsiten", "listen", 1),
            ("listn", "listen", 1),
            ("listenn", "listen", 1),
            ("lister", "listen", 1),
            ("", "listen", 6),
            ("max_queue", "max_wait", 5),
        ] {
            assert_eq!(typing_mistakes(left, right), mistakes, "{left} {right}");
        }
    }

    #[test]
    fn a_name_that_is_like_nothing_is_like_nothing() {
        assert_eq!(nearest("colour", &["listen", "workers"]), None);
        assert_eq!(nearest("worker", &["listen", "workers"]), Some("workers"));
    }
}
