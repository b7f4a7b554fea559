//! One run of a scenario, judged.

use serde::Serialize;

use crate::history::History;
use crate::invariant::Violation;
use crate::scenario::Scenario;
use crate::trace::{ScenarioEvent, Trace, What};
use crate::{director, expect, invariant};

/// How a run ended, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The engine can't do what the scenario asks.
    Unsupported,
    /// A task panicked.
    Crashed,
    /// An invariant or an expectation does not hold.
    Violated,
    /// No progress once all was healed.
    Stuck,
    /// All holds.
    Passed,
}

impl Verdict {
    /// The exit code of a command that ends so.
    pub const fn exit_code(self) -> u8 {
        match self {
            Verdict::Passed => 0,
            Verdict::Violated => 1,
            Verdict::Stuck => 2,
            Verdict::Crashed => 3,
            Verdict::Unsupported => 69,
        }
    }

    /// In reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Violated => "violated",
            Verdict::Stuck => "stuck",
            Verdict::Crashed => "crashed",
            Verdict::Unsupported => "unsupported",
        }
    }
}

/// A run and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its scenario's name.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// Of its trace.
    pub digest: String,
    /// Requests that clients made.
    pub requests: usize,
    /// Virtual time it took, in milliseconds.
    pub virtual_ms: u64,
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// All that happened.
    #[serde(skip)]
    pub trace: Trace,
}

/// Plays `scenario` with `seed` and judges it.
pub fn run(scenario: &Scenario, seed: u64) -> Report {
    let played = director::play(scenario, seed);
    let history = History::new(scenario, &played);
    let unsupported: Vec<Violation> = played
        .trace
        .lines
        .iter()
        .enumerate()
        .filter_map(|(place, line)| match &line.what {
            What::Scenario(ScenarioEvent::Unsupported { what }) => {
                Some(Violation { of: "unsupported".to_owned(), text: what.clone(), lines: vec![place] })
            }
            _ => None,
        })
        .collect();
    let requests = history.clients.keys().filter(|id| !History::is_own(id)).count();
    let (verdict, violations) = if unsupported.is_empty() {
        let mut violations = invariant::check(&history);
        violations.extend(expect::check(&history));
        let verdict = if !played.panics.is_empty() {
            Verdict::Crashed
        } else if violations.is_empty() {
            Verdict::Passed
        } else if violations.iter().all(|violation| violation.of == "liveness") {
            Verdict::Stuck
        } else {
            Verdict::Violated
        };
        (verdict, violations)
    } else {
        (Verdict::Unsupported, unsupported)
    };
    Report {
        scenario: scenario.name.clone(),
        seed,
        verdict,
        digest: played.trace.digest().to_string(),
        requests,
        virtual_ms: played.trace.lines.last().map_or(0, |line| line.at_us / 1000),
        violations,
        trace: played.trace,
    }
}
