//! Holds netdrift's column of a matrix against an earlier one: no cell may get worse.

use super::cell::{Cell, Shown};
use super::play::Matrix;
use crate::subject::NETDRIFT;

/// A cell that is worse than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worse {
    /// What it tries.
    pub trial: String,
    /// What is worse.
    pub text: String,
}

/// The cells of netdrift in `now` that are worse than in `before`: a law is broken that held, requests don't succeed again, or it can't be played
/// any more. How many requests failed of which the laws demand nothing is a matter of chance, unless all of them did.
pub fn worse(now: &Matrix, before: &Matrix) -> Vec<Worse> {
    let own = now.cells.iter().filter(|cell| cell.subject == NETDRIFT);
    let pairs = own.filter_map(|cell| Some((cell, before.cell(&cell.trial, NETDRIFT)?)));
    pairs.filter_map(|(now, before)| Some(Worse { trial: now.trial.clone(), text: compare(now, before)? })).collect()
}

fn compare(now: &Cell, before: &Cell) -> Option<String> {
    let (is, was) = (now.shown(), before.shown());
    if was == Shown::NotPlayed {
        return None;
    }
    // One request that fails by chance makes a cell excused; that none succeeds does not come by chance.
    let failed = |cell: &Cell| cell.tunnels.failures() + cell.plain.failures();
    let all_fail = was == Shown::Whole && failed(now) == now.tunnels.asked + now.plain.asked && failed(now) > 0;
    if all_fail || is < was.min(Shown::Excused) {
        return Some(format!("was {was:?} and is {is:?}: {}", now.said.join("; ")));
    }
    let mut laws = now.broken.keys().filter(|law| !before.broken.contains_key(*law));
    laws.next().map(|law| format!("breaks the law {law}, which it did not: {}", now.said.join("; ")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Share, Tally, VERSION};
    use super::*;
    use crate::judge::Verdict;

    fn matrix(cells: &[(&str, Verdict, u64, &str)]) -> Matrix {
        let cell = |(trial, verdict, failed, law): &(&str, Verdict, u64, &str)| Cell {
            trial: (*trial).to_owned(),
            subject: NETDRIFT.to_owned(),
            verdict: *verdict,
            broken: law.split_whitespace().map(|law| (law.to_owned(), 1)).collect(),
            tunnels: Tally { asked: 9, failed: BTreeMap::from([("x".to_owned(), *failed)]) },
            plain: Tally::default(),
            counted: BTreeMap::new(),
            said: Vec::new(),
            share: Share::default(),
        };
        Matrix { version: VERSION, date: String::new(), columns: Vec::new(), cells: cells.iter().map(cell).collect() }
    }

    #[test]
    fn a_cell_that_got_worse_is_named_and_others_are_not() {
        let before = matrix(&[
            ("better", Verdict::Violated, 0, "answered"),
            ("same", Verdict::Passed, 0, ""),
            ("fails", Verdict::Passed, 0, ""),
            ("all-fail", Verdict::Passed, 0, ""),
            ("breaks", Verdict::Passed, 3, ""),
            ("another-law", Verdict::Violated, 0, "answered"),
            ("was-not-played", Verdict::Unsupported, 0, ""),
            ("gone", Verdict::Passed, 0, ""),
        ]);
        let now = matrix(&[
            ("better", Verdict::Passed, 0, ""),
            ("same", Verdict::Passed, 0, ""),
            ("fails", Verdict::Passed, 1, ""),
            ("all-fail", Verdict::Passed, 9, ""),
            ("breaks", Verdict::Violated, 3, "bytes"),
            ("another-law", Verdict::Violated, 0, "answered once"),
            ("was-not-played", Verdict::Violated, 0, "bytes"),
            ("new", Verdict::Violated, 0, "bytes"),
        ]);
        let found = worse(&now, &before);
        let trials: Vec<&str> = found.iter().map(|one| one.trial.as_str()).collect();
        assert_eq!(trials, ["all-fail", "breaks", "another-law"]);
        assert!(found[0].text.starts_with("was Whole and is Excused"), "{found:?}");
        assert!(found[1].text.starts_with("was Excused and is Broken"), "{found:?}");
        assert!(found[2].text.starts_with("breaks the law once"), "{found:?}");
        let refused = worse(&matrix(&[("same", Verdict::Unsupported, 0, "")]), &before);
        assert_eq!(refused[0].text, "was Whole and is NotPlayed: ");
    }
}
