//! One run of a scenario, judged.

use serde::Serialize;

use crate::director::Played;
use crate::engine::{Engine, Kind, live, turmoil, turmoil_net};
use crate::history::History;
use crate::invariant::Violation;
use crate::scenario::Scenario;
use crate::trace::{ScenarioEvent, Trace, What};
use crate::{director, expect, invariant};

/// How a run ended, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A task panicked.
    Crashed,
    /// An invariant or an expectation does not hold.
    Violated,
    /// No progress once all was healed.
    Stuck,
    /// The engine can't do what the scenario asks.
    Unsupported,
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
    /// Where it was played.
    pub engine: Kind,
    /// How it ended.
    pub verdict: Verdict,
    /// Of its trace.
    pub digest: String,
    /// Requests that clients made.
    pub requests: usize,
    /// Time it took in its world, in milliseconds.
    pub virtual_ms: u64,
    /// Expectations of `sometimes`, by their places, that this run did not show; one of many runs may.
    pub unseen: Vec<usize>,
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// All that happened.
    #[serde(skip)]
    pub trace: Trace,
}

/// Plays `scenario` with `seed` on the default engine and judges it.
pub fn run(scenario: &Scenario, seed: u64) -> Report {
    run_on(Kind::default(), scenario, seed)
}

/// Plays `scenario` with `seed` on `engine` and judges it.
pub fn run_on(engine: Kind, scenario: &Scenario, seed: u64) -> Report {
    let lacks = engine.lacks(scenario);
    let played = match engine {
        _ if !lacks.is_empty() => Err(lacks),
        Kind::TurmoilNet => play::<turmoil_net::Sim>(scenario, seed),
        Kind::Turmoil => play::<turmoil::Sim>(scenario, seed),
        Kind::Live => play::<live::Live>(scenario, seed),
    };
    let mut report = Report {
        scenario: scenario.name.clone(),
        seed,
        engine,
        verdict: Verdict::Unsupported,
        digest: String::new(),
        requests: 0,
        virtual_ms: 0,
        unseen: Vec::new(),
        violations: Vec::new(),
        trace: Trace::default(),
    };
    match played {
        Ok(played) => report.judge(scenario, played),
        Err(lacks) => report.violations = lacks.into_iter().map(|text| unsupported(text, Vec::new())).collect(),
    }
    report
}

fn play<E: Engine>(scenario: &Scenario, seed: u64) -> Result<Played, Vec<String>> {
    director::play::<E>(scenario, seed).map_err(|error| vec![format!("this machine can't play it: {error}")])
}

fn unsupported(text: String, lines: Vec<usize>) -> Violation {
    Violation { of: "unsupported".to_owned(), text, lines }
}

impl Report {
    fn judge(&mut self, scenario: &Scenario, played: Played) {
        let lines = &played.trace.lines;
        self.digest = played.trace.digest().to_string();
        self.virtual_ms = lines.last().map_or(0, |line| line.at_us / 1000);
        let history = History::new(scenario, &played);
        self.requests = history.clients.keys().filter(|id| !History::is_own(id)).count();
        let asked = lines.iter().enumerate().filter_map(|(place, line)| match &line.what {
            What::Scenario(ScenarioEvent::Unsupported { what }) => Some(unsupported(what.clone(), vec![place])),
            _ => None,
        });
        self.violations = asked.collect();
        if self.violations.is_empty() {
            self.unseen = expect::unseen(&history);
            self.violations = invariant::check(&history);
            self.violations.extend(expect::check(&history));
            self.verdict = if !played.panics.is_empty() {
                Verdict::Crashed
            } else if self.violations.is_empty() {
                Verdict::Passed
            } else if self.violations.iter().all(|violation| violation.of == "liveness") {
                Verdict::Stuck
            } else {
                Verdict::Violated
            };
        }
        self.trace = played.trace;
    }
}
