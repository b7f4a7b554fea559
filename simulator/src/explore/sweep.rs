//! A sweep plays made-up scenarios on several threads, until their number or the time is reached.
//!
//! Which scenario run number N plays follows from the seed of the sweep, its shard and N alone, so that only how many are played depends
//! on the machine.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use ring::digest::{Context, SHA256};

use super::corpus::Corpus;
use super::coverage::{Item, Reached, reached};
use super::results::Planned;
use super::shard::Shard;
use super::swarm::{self, Genome};
use crate::judge::{LawTotals, RunReport, Verdict, Violation, run_on};
use crate::scenario::Scenario;
use crate::world::EngineKind;

/// One run in so many is played twice, and both must be the same event for event.
const REPEATED: u64 = 100;

/// The settings of a sweep.
#[derive(Clone, Copy, Debug)]
pub struct SweepPlan {
    /// Every run follows from it and its number.
    pub seed: u64,
    /// So many runs at most, over all shards.
    pub runs: Option<u64>,
    /// No run begins after so long.
    pub time: Option<Duration>,
    /// Runs at once.
    pub threads: usize,
    /// Where they are played.
    pub engine: EngineKind,
    /// Which part of them.
    pub shard: Shard,
    /// No run begins once one has failed.
    pub until_failure: bool,
}

impl SweepPlan {
    /// Its runs over all shards. Its seed and its engine are compared by themselves.
    pub fn planned(&self) -> Planned {
        let SweepPlan { runs, time, until_failure, .. } = *self;
        let ends_early = time.is_some() || until_failure;
        let mut digest = Context::new(&SHA256);
        digest.update(format!("{runs:?} {:?} {until_failure}", time.as_ref().map(Duration::as_millis)).as_bytes());
        Planned::new(runs.filter(|_| !ends_early), digest)
    }
}

/// What a sweep has played.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepTotals {
    /// Runs that have ended.
    pub runs: u64,
    /// Those of them that did not pass.
    pub failed: u64,
    /// What was reached, and in how many runs.
    pub reached: Reached,
    /// What the laws have checked in all of them.
    pub laws: LawTotals,
}

/// A run of a sweep that has ended.
#[derive(Clone, Debug)]
pub struct SweepRun {
    /// What was played.
    pub scenario: Scenario,
    /// What came of it. The trace is there only if the run did not pass.
    pub report: RunReport,
}

/// Sweeps. `hear` is told of each run as it ends.
///
/// # Errors
/// The first that `hear` returns ends the sweep.
pub fn sweep<E>(plan: &SweepPlan, mut hear: impl FnMut(&SweepRun) -> Result<(), E>) -> Result<SweepTotals, E> {
    #[expect(clippy::disallowed_methods, reason = "how long a sweep lasts is about real time")]
    let begun = std::time::Instant::now();
    let next = AtomicU64::new(0);
    let corpus = Corpus::new(plan.engine);
    let enough = AtomicBool::new(false);
    let (next, corpus, enough) = (&next, &corpus, &enough);
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            let tell = tell.clone();
            scope.spawn(move || {
                while plan.time.is_none_or(|limit| begun.elapsed() < limit) && !enough.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let place = plan.shard.place(number);
                    if plan.runs.is_some_and(|runs| place >= runs) {
                        return;
                    }
                    let seed = swarm::seed_of(plan.seed, place);
                    let mut ending =
                        Ending { corpus, number, genome: corpus.genome(number, seed), reached: BTreeSet::new() };
                    let scenario = swarm::scenario(&ending.genome);
                    let mut report = run_on(plan.engine, &scenario, scenario.seed);
                    ending.reached = reached(&scenario, &report.trace);
                    drop(ending);
                    if number % REPEATED == 0 {
                        repeat(plan.engine, &scenario, &mut report);
                    }
                    if report.verdict == Verdict::Passed {
                        report.trace = Default::default();
                    } else if plan.until_failure {
                        enough.store(true, Ordering::Relaxed);
                    }
                    if tell.send(Box::new(SweepRun { scenario, report })).is_err() {
                        // `hear` has ended the sweep.
                        return;
                    }
                }
            });
        }
        // The senders of the threads remain until the threads end.
        drop(tell);
        let mut totals = SweepTotals::default();
        // `told` is moved into the loop, so that the threads notice when `hear` ends it.
        for run in told {
            totals.laws.add(&run.report.laws);
            totals.runs += 1;
            totals.failed += u64::from(run.report.verdict != Verdict::Passed);
            hear(&run)?;
        }
        totals.reached = corpus.reached();
        Ok(totals)
    })
}

/// A run that will end, even by a panic: others may wait for it.
struct Ending<'a> {
    corpus: &'a Corpus,
    number: u64,
    genome: Genome,
    reached: BTreeSet<Item>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.corpus.ended(self.number, self.genome.clone(), std::mem::take(&mut self.reached));
    }
}

/// Plays a run again. If it is not the same event for event, that is a violation.
fn repeat(engine: EngineKind, scenario: &Scenario, report: &mut RunReport) {
    let again = run_on(engine, scenario, scenario.seed);
    if again.digest == report.digest {
        return;
    }
    let place = report.trace.lines.iter().zip(&again.trace.lines).position(|(one, other)| one != other);
    let place = place.unwrap_or_else(|| report.trace.lines.len().min(again.trace.lines.len()));
    let other = again.trace.lines.get(place).map_or_else(|| "nothing".to_owned(), |line| line.to_json());
    let text = format!("played again it differs from line {place} on, which is then {other}");
    report.violations.push(Violation { of: "repeat".to_owned(), text, lines: vec![place] });
    report.verdict = report.verdict.min(Verdict::Violated);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: SweepPlan = SweepPlan {
        seed: 1,
        runs: Some(3),
        time: None,
        threads: 2,
        engine: EngineKind::TurmoilNet,
        shard: Shard::WHOLE,
        until_failure: false,
    };

    fn count(plan: &SweepPlan) -> u64 {
        sweep(plan, |_| Ok::<_, ()>(())).unwrap().runs
    }

    #[test]
    fn no_run_begins_when_the_runs_or_the_time_are_over() {
        assert_eq!(count(&PLAN), 3);
        assert_eq!(count(&SweepPlan { time: Some(Duration::ZERO), ..PLAN }), 0);
        // Longer than a run takes, and no run begins behind it.
        assert!(count(&SweepPlan { runs: None, time: Some(Duration::from_millis(1)), ..PLAN }) <= 2);
    }

    #[test]
    fn each_run_is_told_of_and_whoever_hears_can_end_it() {
        let mut heard = 0;
        let ended = sweep(&SweepPlan { runs: Some(1000), ..PLAN }, |_| {
            heard += 1;
            if heard < 3 { Ok(()) } else { Err("enough") }
        });
        assert_eq!((ended, heard), (Err("enough"), 3));
    }

    #[test]
    fn shards_play_the_whole_between_them() {
        let seeds = |shard: &str| {
            let mut seeds = Vec::new();
            let plan = SweepPlan { runs: Some(5), shard: shard.parse().unwrap(), ..PLAN };
            let hear = |run: &SweepRun| {
                seeds.push(run.report.seed);
                Ok::<_, ()>(())
            };
            sweep(&plan, hear).unwrap();
            seeds
        };
        let mut all: Vec<u64> = [seeds("1/2"), seeds("2/2")].concat();
        let mut whole: Vec<u64> = (0..5).map(|place| swarm::seed_of(1, place)).collect();
        all.sort_unstable();
        whole.sort_unstable();
        assert_eq!(all, whole);
    }
}
