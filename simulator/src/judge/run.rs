//! A run is played in an engine and then judged; the report says what came of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::checked::LawCounts;
use super::expectations;
use super::history::History;
use super::laws::process::liveness;
use super::laws::{LAWS, Law, check};
use super::part::{Part, check_parts};
use super::skipped::{Skipped, judging, undecided};
use super::violation::Violation;
use super::witnesses::Witnesses;
use crate::record::{RunRecord, ScenarioEvent, Trace, What};
use crate::scenario::Scenario;
use crate::subject::Subject;
use crate::world::EngineKind;

/// How a run ended, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A task panicked.
    Crashed,
    /// It was given up: it spun, or lasted too long.
    Endless,
    /// A law or an expectation does not hold.
    Violated,
    /// The proxy made no progress once everything was healed.
    Stuck,
    /// The engine can't do what the scenario asks.
    Unsupported,
    /// All laws and expectations hold.
    Passed,
}

impl Verdict {
    /// The worst of `verdicts`. Its exit code is that of the command, not the greatest of the codes.
    pub fn worst(verdicts: impl Iterator<Item = Verdict>) -> Self {
        verdicts.min().unwrap_or(Verdict::Passed)
    }

    /// The exit code of a command whose worst run ends so.
    pub const fn exit_code(self) -> u8 {
        match self {
            Verdict::Passed => 0,
            Verdict::Violated => 1,
            Verdict::Stuck => 2,
            Verdict::Crashed => 3,
            Verdict::Endless => 4,
            Verdict::Unsupported => 69,
        }
    }

    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Violated => "violated",
            Verdict::Stuck => "stuck",
            Verdict::Crashed => "crashed",
            Verdict::Endless => "endless",
            Verdict::Unsupported => "unsupported",
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunReport {
    /// The name of the scenario.
    pub scenario: String,
    /// The seed of the run.
    pub seed: u64,
    /// The engine in which it was played.
    pub engine: EngineKind,
    /// The proxy under test.
    pub subject: String,
    /// How it ended.
    pub verdict: Verdict,
    /// The digest of its trace.
    pub digest: String,
    /// How many requests clients made.
    pub requests: usize,
    /// How long it took in the time of its engine, in milliseconds.
    pub virtual_ms: u64,
    /// The places of those `sometimes` expectations that this run did not show. It is enough if one of many runs shows each.
    pub unseen: Vec<usize>,
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// How many cases of each law were checked, and how many were excused and why.
    pub laws: Vec<LawCounts>,
    /// The laws and expectations by which it was not judged, and why not.
    pub skipped: Vec<Skipped>,
    /// Everything that happened.
    #[serde(skip)]
    pub trace: Trace,
}

/// Plays `scenario` with `seed` on the default engine and judges it.
pub fn run(scenario: &Scenario, seed: u64) -> RunReport {
    run_on(EngineKind::default(), scenario, seed)
}

/// Plays `scenario` with `seed` on `engine` and judges it.
pub fn run_on(engine: EngineKind, scenario: &Scenario, seed: u64) -> RunReport {
    run_with(engine, scenario, seed, &[])
}

/// Plays `scenario` with `seed` on `engine` and judges it by all laws of this crate and by `more`.
pub fn run_with(engine: EngineKind, scenario: &Scenario, seed: u64, more: &[Law]) -> RunReport {
    play(engine, &Subject::netdrift(), scenario, seed, more)
}

/// Plays `scenario` with `seed` on `engine`, with `subject` as the proxy, and judges it.
pub fn run_subject(engine: EngineKind, subject: &Arc<Subject>, scenario: &Scenario, seed: u64) -> RunReport {
    play(engine, subject, scenario, seed, &[])
}

fn play(engine: EngineKind, subject: &Arc<Subject>, scenario: &Scenario, seed: u64, more: &[Law]) -> RunReport {
    let mut report = RunReport {
        scenario: scenario.name.clone(),
        seed,
        engine,
        subject: subject.name().to_owned(),
        verdict: Verdict::Unsupported,
        digest: String::new(),
        requests: 0,
        virtual_ms: 0,
        unseen: Vec::new(),
        violations: Vec::new(),
        laws: Vec::new(),
        skipped: Vec::new(),
        trace: Trace::default(),
    };
    match engine.play_with(subject, scenario, seed) {
        Ok(record) => report.judge(scenario, record, &[LAWS, more].concat()),
        Err(why) => report.violations = why.into_iter().map(|text| unsupported(text, Vec::new())).collect(),
    }
    report
}

fn unsupported(text: String, lines: Vec<usize>) -> Violation {
    Violation { of: "unsupported".to_owned(), text, lines }
}

impl RunReport {
    fn judge(&mut self, scenario: &Scenario, record: RunRecord, laws: &[Law]) {
        let lines = &record.trace.lines;
        self.digest = record.trace.digest().to_string();
        self.virtual_ms = lines.last().map_or(0, |line| line.at_us / 1000);
        if let Some(why) = &record.gave_up {
            self.verdict = Verdict::Endless;
            self.violations = vec![Violation { of: why.name().to_owned(), text: why.to_string(), lines: Vec::new() }];
            self.trace = record.trace;
            return;
        }
        let history = History::new(scenario, &record);
        self.requests = history.witnesses.requests.keys().filter(|id| !Witnesses::is_own(id)).count();
        let asked = lines.iter().enumerate().filter_map(|(place, line)| match &line.what {
            What::Scenario(ScenarioEvent::Unsupported { what }) => Some(unsupported(what.clone(), vec![place])),
            _ => None,
        });
        self.violations = asked.collect();
        if self.violations.is_empty() {
            let (laws, skipped) = judging(laws, &record.subject);
            let undecided = undecided(scenario, &record.subject);
            self.skipped = [skipped, undecided.clone()].concat();
            let decided = |place: &str| !undecided.iter().any(|one| one.of == place);
            self.unseen = expectations::unseen(&history);
            self.unseen.retain(|index| decided(&format!("expect[{index}]")));
            let parts = Part::all(scenario, &record);
            (self.violations, self.laws) =
                if parts.is_empty() { check(&history, &laws) } else { check_parts(&parts, &laws) };
            self.violations.extend(expectations::check(&history, &parts).into_iter().filter(|one| decided(&one.of)));
            self.verdict = if !record.panics.is_empty() {
                Verdict::Crashed
            } else if self.violations.is_empty() {
                Verdict::Passed
            } else if self.violations.iter().all(|violation| violation.of == liveness::LAW.name) {
                Verdict::Stuck
            } else {
                Verdict::Violated
            };
        }
        self.trace = record.trace;
    }
}
