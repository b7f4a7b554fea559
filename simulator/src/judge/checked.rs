//! What a law has checked in a run: how many cases, how many of them it excused and why, and what it found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::excuse::Excuse;
use super::violation::Violation;

/// What became of one case.
#[derive(Clone, Debug, PartialEq)]
pub enum Case {
    /// The law holds.
    Holds,
    /// The case says nothing, whatever was seen.
    Excused(Excuse),
    /// The law does not hold.
    Broken(Violation),
}

/// What a law has checked in a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// The cases, those that were excused included.
    pub cases: u64,
    /// The cases that were excused, by why.
    pub excused: BTreeMap<Excuse, u64>,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

impl Checked {
    /// Counts `case`.
    pub fn add(&mut self, case: Case) {
        self.cases += 1;
        match case {
            Case::Holds => {}
            Case::Excused(why) => *self.excused.entry(why).or_default() += 1,
            Case::Broken(violation) => self.violations.push(violation),
        }
    }

    /// How many cases were excused.
    pub fn excused(&self) -> u64 {
        self.excused.values().sum()
    }
}

impl FromIterator<Case> for Checked {
    fn from_iter<T: IntoIterator<Item = Case>>(cases: T) -> Self {
        let mut checked = Checked::default();
        cases.into_iter().for_each(|case| checked.add(case));
        checked
    }
}

impl Case {
    /// The case in which `violation` was found; it holds where nothing was.
    pub fn of(violation: Option<Violation>) -> Self {
        violation.map_or(Case::Holds, Case::Broken)
    }
}

/// Which witnesses a law believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Clients and upstreams alone, as for a proxy that tells nothing.
    BlackBox,
    /// What the proxy says of itself is held against clients and upstreams.
    Told,
    /// What the proxy says of itself is held against what else it says.
    Inside,
}

impl Kind {
    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::BlackBox => "black-box",
            Kind::Told => "told",
            Kind::Inside => "inside",
        }
    }
}

/// The counts of a law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LawCounts {
    /// Its name.
    pub law: String,
    /// Its kind.
    pub kind: Kind,
    /// The cases, those that were excused included.
    pub cases: u64,
    /// The cases that were excused, by why.
    pub excused: BTreeMap<Excuse, u64>,
    /// How often it did not hold.
    pub found: u64,
}

impl LawCounts {
    /// The share of cases that were excused, from 0 to 1.
    pub fn excused_share(&self) -> f64 {
        let excused: u64 = self.excused.values().sum();
        if self.cases == 0 { 0.0 } else { excused as f64 / self.cases as f64 }
    }
}

/// The share of its cases that a law may excuse over a sweep. One that excuses more hardly says anything.
pub const MOST_EXCUSED: f64 = 0.1;

/// The shares of fewer runs, or of fewer cases, say little of a law and much of these few.
const ENOUGH: u64 = 100;

/// The counts of all laws over many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LawTotals(Vec<LawCounts>);

impl LawTotals {
    /// Adds the counts of a run.
    pub fn add(&mut self, run: &[LawCounts]) {
        for counts in run {
            match self.0.iter_mut().find(|one| one.law == counts.law) {
                Some(total) => {
                    total.cases += counts.cases;
                    total.found += counts.found;
                    for (why, number) in &counts.excused {
                        *total.excused.entry(*why).or_default() += number;
                    }
                }
                None => self.0.push(counts.clone()),
            }
        }
    }

    /// The laws, in the order in which runs named them.
    pub fn laws(&self) -> &[LawCounts] {
        &self.0
    }

    /// The laws that excused more than [`MOST_EXCUSED`] of their cases in so many `runs`; none where these are too few to say.
    pub fn mostly_excused(&self, runs: u64) -> impl Iterator<Item = &LawCounts> {
        self.0.iter().filter(move |law| runs.min(law.cases) >= ENOUGH && law.excused_share() > MOST_EXCUSED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_runs_and_a_law_that_excuses_more_than_a_tenth_is_named() {
        let run = |excused: u64| {
            let excused = (excused > 0).then_some((Excuse::NoTime, excused)).into_iter().collect();
            [LawCounts { law: "x".to_owned(), kind: Kind::BlackBox, cases: 50, excused, found: 1 }]
        };
        let mut totals = LawTotals::default();
        totals.add(&run(10));
        assert_eq!(totals.mostly_excused(100).count(), 0, "too few cases to say anything");
        let mut totals = LawTotals::default();
        totals.add(&run(0));
        totals.add(&run(10));
        assert_eq!((totals.laws()[0].cases, totals.laws()[0].found), (100, 2));
        assert_eq!(totals.mostly_excused(100).count(), 0);
        totals.add(&run(10));
        let named: Vec<&str> = totals.mostly_excused(100).map(|law| law.law.as_str()).collect();
        assert_eq!(named, ["x"]);
        assert_eq!(totals.mostly_excused(99).count(), 0, "too few runs to say anything");
    }
}
