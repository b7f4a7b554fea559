//! A cell says what came of one trial with one subject.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use mock_upstreams::journal::Event;

use super::feature_story::COUNTED;
use super::story::{PLAIN, TUNNEL};
use crate::judge::{RunReport, Verdict};
use crate::record::{ClientEvent, What};

/// The most texts of violations that a cell keeps.
const TEXTS: usize = 2;

/// What came of one trial with one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// What was tried: a fault, or a feature.
    pub trial: String,
    /// The subject.
    pub subject: String,
    /// How its run ended.
    pub verdict: Verdict,
    /// How often each law was broken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub broken: BTreeMap<String, u64>,
    /// What the client saw that opens tunnels.
    pub tunnels: Tally,
    /// What the client saw that asks for pages.
    pub plain: Tally,
    /// How many of the counted requests reached each upstream, by the upstreams' journals.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counted: BTreeMap<String, u64>,
    /// The first violations, or why the cell could not be played.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<String>,
    /// In how many of its runs it came out like that.
    #[serde(default, skip_serializing_if = "Share::is_default")]
    pub share: Share,
}

/// A part of the runs of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// So many runs came out like the cell.
    pub runs: u64,
    /// Of so many.
    pub of: u64,
}

impl Default for Share {
    /// The one run that there is.
    fn default() -> Self {
        Share { runs: 1, of: 1 }
    }
}

impl Share {
    fn is_default(&self) -> bool {
        *self == Share::default()
    }
}

/// What a client saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Its requests that ended.
    pub asked: u64,
    /// Those that failed, by how.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, u64>,
}

/// What a cell shows, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// It could not be played.
    NotPlayed,
    /// Requests did not succeed again once the fault was over.
    Stuck,
    /// A law was broken.
    Broken,
    /// Some requests failed, and the laws demand nothing there.
    Excused,
    /// Every request of every client succeeded.
    Whole,
}

impl Tally {
    /// How many requests failed.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    fn of(report: &RunReport, client: &str) -> Self {
        let mut tally = Tally::default();
        for line in report.trace.lines.iter().filter(|line| line.host.as_str() == client) {
            if let What::Client(ClientEvent::Ended(result)) = &line.what {
                tally.asked += 1;
                if let Some(failure) = result.failure {
                    *tally.failed.entry(failure.to_string()).or_default() += 1;
                }
            }
        }
        tally
    }
}

impl Cell {
    /// The cell of `trial` by the report of its run.
    pub fn of(trial: &str, report: &RunReport) -> Self {
        let mut broken: BTreeMap<String, u64> = BTreeMap::new();
        if report.verdict != Verdict::Unsupported {
            for violation in &report.violations {
                *broken.entry(violation.of.clone()).or_default() += 1;
            }
        }
        let said = report.violations.iter().take(TEXTS).map(|one| match report.verdict {
            Verdict::Unsupported => one.text.clone(),
            _ => format!("{}: {}", one.of, one.text.lines().next().unwrap_or_default()),
        });
        Cell {
            trial: trial.to_owned(),
            subject: report.subject.clone(),
            verdict: report.verdict,
            broken,
            tunnels: Tally::of(report, TUNNEL),
            plain: Tally::of(report, PLAIN),
            counted: counted(report),
            said: said.collect(),
            share: Share::default(),
        }
    }

    /// The worst of the runs of one cell, with how many were no better; none where there are none.
    pub fn worst(runs: Vec<Cell>) -> Option<Self> {
        let of = runs.len() as u64;
        let kinds: Vec<Shown> = runs.iter().map(Cell::shown).collect();
        let failures = |cell: &Cell| cell.tunnels.failures() + cell.plain.failures();
        let worst = runs.into_iter().min_by_key(|cell| (cell.shown(), Reverse(failures(cell))))?;
        let runs = kinds.into_iter().filter(|shown| *shown == worst.shown()).count() as u64;
        Some(Cell { share: Share { runs, of }, ..worst })
    }

    /// What it shows.
    pub fn shown(&self) -> Shown {
        match self.verdict {
            Verdict::Unsupported => Shown::NotPlayed,
            Verdict::Stuck => Shown::Stuck,
            Verdict::Crashed | Verdict::Endless | Verdict::Violated => Shown::Broken,
            Verdict::Passed if self.tunnels.failures() + self.plain.failures() > 0 => Shown::Excused,
            Verdict::Passed => Shown::Whole,
        }
    }
}

/// How many requests of [`COUNTED`] each upstream saw.
fn counted(report: &RunReport) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    for line in &report.trace.lines {
        if let What::Upstream(Event::Request(record)) = &line.what
            && let Some((client, _)) = record.id.as_deref().and_then(|id| id.rsplit_once('-'))
            && client == COUNTED
        {
            *counted.entry(line.host.as_str().to_owned()).or_default() += 1;
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use faulty_upstream::CATALOGUE;

    use super::super::{Trial, story};
    use super::*;
    use crate::judge::{Violation, run};
    use crate::subject::Subject;

    #[test]
    fn a_cell_counts_what_clients_saw_and_what_does_not_hold() {
        let of = |name: &str| {
            let fault = CATALOGUE.iter().find(|fault| fault.name == name).unwrap();
            run(&story(fault, &Subject::default()), 1)
        };
        let whole = of("refuse");
        let cell = Cell::of("refuse", &whole);
        assert_eq!((cell.shown(), cell.tunnels.failures(), cell.said.len()), (Shown::Whole, 0, 0), "{cell:?}");
        assert!(cell.tunnels.asked > 20 && cell.plain.asked > 20, "the run's own requests are nobody's: {cell:?}");
        let cut = Cell::of("cut", &of("cut"));
        assert_eq!(cut.shown(), Shown::Excused, "{cut:?}");
        assert!(cut.tunnels.failed.keys().all(|how| how.ends_with("in the data")), "{cut:?}");
        let weights = Trial::features().find(|trial| trial.name() == "weights").unwrap();
        let weights = Cell::of("weights", &run(&weights.story(&Subject::default()), 1));
        assert_eq!(weights.counted, BTreeMap::from([("a".to_owned(), 120), ("b".to_owned(), 40)]), "{weights:?}");
        let violation = |text: &str| Violation { of: "answered".to_owned(), text: text.to_owned(), lines: Vec::new() };
        let violations = ["one", "two", "three"].map(violation).to_vec();
        let broken = Cell::of("refuse", &RunReport { verdict: Verdict::Violated, violations, ..whole.clone() });
        assert_eq!((broken.shown(), broken.broken["answered"]), (Shown::Broken, 3));
        assert_eq!(broken.said, ["answered: one", "answered: two"]);
        let violations = vec![violation("no")];
        let refused = Cell::of("refuse", &RunReport { verdict: Verdict::Unsupported, violations, ..whole });
        assert_eq!((refused.shown(), refused.said), (Shown::NotPlayed, vec!["no".to_owned()]));
    }

    #[test]
    fn of_several_runs_the_worst_counts_with_its_share() {
        let cell = |verdict, failed: u64| Cell {
            trial: "x".to_owned(),
            subject: "y".to_owned(),
            verdict,
            broken: BTreeMap::new(),
            tunnels: Tally { asked: 9, failed: BTreeMap::from([("reset".to_owned(), failed)]) },
            plain: Tally::default(),
            counted: BTreeMap::new(),
            said: Vec::new(),
            share: Share::default(),
        };
        let (whole, bad, worse) = (cell(Verdict::Passed, 0), cell(Verdict::Violated, 2), cell(Verdict::Violated, 5));
        let found = Cell::worst(vec![whole.clone(), bad, worse.clone()]).unwrap();
        assert_eq!(found, Cell { share: Share { runs: 2, of: 3 }, ..worse });
        assert_eq!(Cell::worst(vec![whole.clone()]), Some(whole.clone()));
        let twice = Cell { share: Share { runs: 2, of: 2 }, ..whole.clone() };
        assert_eq!(Cell::worst(vec![whole.clone(), whole]), Some(twice));
        assert_eq!(Cell::worst(Vec::new()), None);
    }
}
