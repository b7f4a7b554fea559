//! A comparison puts the outcomes of several engines side by side; a scenario may explain why they differ.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::figures::Figures;
use crate::explore::batch::{Job, run_all};
use crate::judge::{RunReport, Verdict};
use crate::record::micros;
use crate::scenario::{Aspect, Scenario};
use crate::subject::Subject;
use crate::world::EngineKind;

/// Shares further apart than this differ: of successes among requests, and of an upstream among first picks while nobody
/// was out.
const APART: f64 = 0.05;

/// Counts further apart than this differ, or than a third of the larger: how often an upstream is ejected, comes back or is
/// failed over from follows from the proxy's random back-offs, which are others in each engine.
const COUNTS_APART: u64 = 3;

/// Latencies further apart than this differ, or than a third of the larger: real machines add their own scheduling.
const LATENCY_APART: Duration = Duration::from_millis(250);

/// A scenario to compare engines by.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its file.
    pub file: PathBuf,
    /// What is in it.
    pub scenario: Arc<Scenario>,
    /// Why its times are not scaled, though that was asked for.
    pub unscaled: Option<String>,
}

/// What came of a scenario in an engine.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineOutcome {
    /// The engine can't play it. The text says why.
    Cant(String),
    /// The engine has played it.
    Played(Figures),
}

/// A scenario in all engines.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub scenario: String,
    /// In the order of the engines.
    pub outcomes: Vec<(EngineKind, EngineOutcome)>,
    /// Where engines differ.
    pub differences: Vec<Difference>,
    /// Why its times are not scaled, though that was asked for.
    pub unscaled: Option<String>,
}

/// Where an engine differs from the first that has played a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In what.
    pub aspect: Aspect,
    /// How.
    pub text: String,
    /// Why it may, in the scenario's own words.
    pub explained: Option<String>,
}

/// All scenarios in all engines.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The engines.
    pub engines: Vec<EngineKind>,
    /// By scenario, in their order.
    pub rows: Vec<Row>,
}

/// Plays every scenario with its own seed in every engine that can, one engine after the other, so that none disturbs
/// another's clock; `jobs` at once. `told` hears of each run as it ends.
pub fn compare(
    stories: &[Story],
    engines: &[EngineKind],
    jobs: usize,
    told: impl Fn(EngineKind, &RunReport) + Sync,
) -> Comparison {
    let mut rows: Vec<Row> = stories
        .iter()
        .map(|story| Row {
            scenario: story.scenario.name.clone(),
            outcomes: Vec::new(),
            differences: Vec::new(),
            unscaled: story.unscaled.clone(),
        })
        .collect();
    for engine in engines {
        let mut played = play(stories, *engine, jobs, &told);
        for (row, story) in rows.iter_mut().zip(stories) {
            let unsupported = engine.unsupported(&story.scenario);
            let outcome = match played.remove(&story.file) {
                Some(figures) if figures.verdict != Verdict::Unsupported => EngineOutcome::Played(figures),
                Some(figures) => EngineOutcome::Cant(figures.first_violation.unwrap_or_default()),
                None => EngineOutcome::Cant(unsupported.join("; ")),
            };
            row.outcomes.push((*engine, outcome));
        }
    }
    for (row, story) in rows.iter_mut().zip(stories) {
        row.differences = differences(&row.outcomes, &story.scenario.parity);
    }
    Comparison { engines: engines.to_vec(), rows }
}

fn play(
    stories: &[Story],
    engine: EngineKind,
    jobs: usize,
    told: &(impl Fn(EngineKind, &RunReport) + Sync),
) -> BTreeMap<PathBuf, Figures> {
    let able = stories.iter().filter(|story| engine.unsupported(&story.scenario).is_empty());
    let able: Vec<Job> = able
        .map(|Story { file, scenario, .. }| Job {
            file: file.clone(),
            scenario: Arc::clone(scenario),
            seed: scenario.seed,
            engine,
            subject: Subject::netdrift(),
        })
        .collect();
    let played = Mutex::new(BTreeMap::new());
    run_all(&able, jobs, |job, report| {
        told(engine, report);
        let figures = Figures::of(report);
        played.lock().unwrap_or_else(PoisonError::into_inner).insert(job.file.clone(), figures);
    });
    played.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// How each engine differs from the first that has played the scenario.
fn differences(outcomes: &[(EngineKind, EngineOutcome)], explained: &BTreeMap<Aspect, String>) -> Vec<Difference> {
    let mut played = outcomes.iter().filter_map(|(engine, outcome)| match outcome {
        EngineOutcome::Played(figures) => Some((engine.to_string(), figures)),
        EngineOutcome::Cant(_) => None,
    });
    let Some((first, base)) = played.next() else { return Vec::new() };
    let mut found = Vec::new();
    for (engine, figures) in played {
        if figures.verdict != base.verdict {
            let why = [base, figures].into_iter().find_map(|one| one.first_violation.as_deref()).unwrap_or("");
            let (one, other) = (base.verdict.as_str(), figures.verdict.as_str());
            found.push((Aspect::Verdict, format!("{one} in {first}, {other} in {engine}: {why}")));
        }
        for (aspect, what, one, other) in [
            (Aspect::Ejections, "ejections", base.ejections, figures.ejections),
            (Aspect::Recoveries, "recoveries", base.recoveries, figures.recoveries),
            (Aspect::Failovers, "failovers", base.failovers, figures.failovers),
        ] {
            if one.abs_diff(other) > COUNTS_APART.max(one.max(other) / 3) {
                found.push((aspect, format!("{what}: {one} in {first}, {other} in {engine}")));
            }
        }
        for (what, one, other) in [("p50", base.p50_us, figures.p50_us), ("p99", base.p99_us, figures.p99_us)] {
            if one.abs_diff(other) > micros(LATENCY_APART).max(one.max(other) / 3) {
                let (one, other) = (one as f64 / 1e3, other as f64 / 1e3);
                found.push((Aspect::Latency, format!("{what}: {one:.1} ms in {first}, {other:.1} ms in {engine}")));
            }
        }
        let mut apart = |aspect: Aspect, what: &str, one: f64, other: f64| {
            if (one - other).abs() > APART {
                let (one, other) = (one * 100.0, other * 100.0);
                found.push((aspect, format!("{what}: {one:.1} % in {first}, {other:.1} % in {engine}")));
            }
        };
        apart(Aspect::Successes, "successes", base.success_share(), figures.success_share());
        let upstreams: std::collections::BTreeSet<_> =
            base.full_picks.keys().chain(figures.full_picks.keys()).collect();
        for upstream in upstreams.into_iter().filter(|_| base.has_picks() && figures.has_picks()) {
            let what = format!("first picks of {upstream}");
            apart(Aspect::Picks, &what, base.pick_share(upstream), figures.pick_share(upstream));
        }
    }
    let explain = |(aspect, text)| Difference { aspect, text, explained: explained.get(&aspect).cloned() };
    found.into_iter().map(explain).collect()
}

impl Row {
    /// Whether nothing that differs goes unexplained.
    pub fn is_explained(&self) -> bool {
        self.differences.iter().all(|one| one.explained.is_some())
    }

    /// What it came to in the engines that could play it.
    pub fn played(&self) -> impl Iterator<Item = &Figures> {
        self.outcomes.iter().filter_map(|(_, outcome)| match outcome {
            EngineOutcome::Played(figures) => Some(figures),
            EngineOutcome::Cant(_) => None,
        })
    }
}

impl Comparison {
    /// Scenarios in which engines differ in something of which they don't say why.
    pub fn unexplained(&self) -> usize {
        self.rows.iter().filter(|row| !row.is_explained()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(verdict: Verdict, ok: usize, picks: &[(&str, u64)]) -> EngineOutcome {
        let picks = picks.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        EngineOutcome::Played(Figures { verdict, requests: 100, ok, full_picks: picks, ..Figures::default() })
    }

    fn row(other: EngineOutcome, explained: Option<(Aspect, &str)>) -> Row {
        let first = figures(Verdict::Passed, 100, &[("a", 50), ("b", 50)]);
        let outcomes = vec![(EngineKind::TurmoilNet, first), (EngineKind::Live, other)];
        let explained = explained.map(|(aspect, why)| (aspect, why.to_owned())).into_iter().collect();
        let differences = differences(&outcomes, &explained);
        Row { scenario: "s".to_owned(), outcomes, differences, unscaled: None }
    }

    #[test]
    fn verdicts_and_shares_that_differ_are_told_and_small_ones_are_not() {
        assert_eq!(row(figures(Verdict::Passed, 96, &[("a", 52), ("b", 48)]), None).differences, []);
        for (other, told) in [
            (figures(Verdict::Violated, 100, &[("a", 50), ("b", 50)]), "passed in turmoil-net, violated in live"),
            (
                figures(Verdict::Passed, 90, &[("a", 50), ("b", 50)]),
                "successes: 100.0 % in turmoil-net, 90.0 % in live",
            ),
            (figures(Verdict::Passed, 100, &[("a", 100)]), "first picks of b: 50.0 % in turmoil-net, 0.0 % in live"),
        ] {
            let row = row(other, None);
            assert!(row.differences.iter().any(|one| one.text.starts_with(told)), "{told}: {:?}", row.differences);
        }
        assert_eq!(row(EngineOutcome::Cant("hold".to_owned()), None).differences, []);
        assert_eq!(row(figures(Verdict::Passed, 100, &[("a", 19)]), None).differences, [], "too few to tell");
    }

    #[test]
    fn a_difference_counts_unless_the_scenario_explains_it() {
        let other = || figures(Verdict::Passed, 50, &[("a", 50), ("b", 50)]);
        let retries = Some((Aspect::Successes, "retries are real here"));
        let elsewhere = Some((Aspect::Latency, "a real machine"));
        let rows = vec![row(other(), None), row(other(), retries), row(other(), elsewhere)];
        let report = Comparison { engines: vec![EngineKind::TurmoilNet, EngineKind::Live], rows };
        assert_eq!(report.unexplained(), 2);
    }

    #[test]
    fn counts_and_latencies_are_compared_within_their_bounds() {
        let other = |change: fn(&mut Figures)| {
            let EngineOutcome::Played(mut figures) = figures(Verdict::Passed, 100, &[]) else { unreachable!() };
            change(&mut figures);
            row(EngineOutcome::Played(figures), None).differences.iter().map(|one| one.aspect).collect::<Vec<_>>()
        };
        assert_eq!(other(|figures| (figures.ejections, figures.p99_us) = (3, 250_000)), []);
        assert_eq!(other(|figures| figures.ejections = 4), [Aspect::Ejections]);
        assert_eq!(other(|figures| figures.recoveries = 4), [Aspect::Recoveries]);
        assert_eq!(other(|figures| figures.failovers = 4), [Aspect::Failovers]);
        assert_eq!(other(|figures| figures.p50_us = 250_001), [Aspect::Latency]);
    }
}
