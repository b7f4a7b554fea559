//! A sweep plays made-up scenarios on several threads, until their number or the time is reached.
//!
//! Which scenario run number N plays follows from the master seed and N alone, so that only how many are played depends
//! on the machine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::swarm;
use crate::judge::{LawCounts, LawTotals, RunReport, Verdict, run};
use crate::scenario::Scenario;

/// The settings of a sweep.
#[derive(Clone, Copy, Debug)]
pub struct SweepPlan {
    /// Every run follows from it and its number.
    pub seed: u64,
    /// So many runs at most.
    pub runs: Option<u64>,
    /// No run begins after so long.
    pub time: Option<Duration>,
    /// Runs at once.
    pub threads: usize,
}

/// What a sweep has played.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepTotals {
    /// Runs that have ended.
    pub runs: u64,
    /// Those of them that did not pass.
    pub failed: u64,
    /// What the laws have checked in all of them.
    pub laws: LawTotals,
}

/// Sweeps. `hear` is told of each run as it ends: of one that did not pass with its scenario and report.
///
/// # Errors
/// The first that `hear` returns ends the sweep.
pub fn sweep<E>(
    plan: &SweepPlan,
    mut hear: impl FnMut(Option<(&Scenario, &RunReport)>) -> Result<(), E>,
) -> Result<SweepTotals, E> {
    #[expect(clippy::disallowed_methods, reason = "how long a sweep lasts is about real time")]
    let begun = std::time::Instant::now();
    let next = AtomicU64::new(0);
    let next = &next;
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            let tell = tell.clone();
            scope.spawn(move || {
                while plan.time.is_none_or(|limit| begun.elapsed() < limit) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if plan.runs.is_some_and(|runs| index >= runs) {
                        return;
                    }
                    let seed = swarm::seed_of(plan.seed, index);
                    let scenario = swarm::scenario(seed);
                    let mut report = run(&scenario, seed);
                    let laws: Vec<LawCounts> = std::mem::take(&mut report.laws);
                    let failed: Option<Box<(Scenario, RunReport)>> =
                        (report.verdict != Verdict::Passed).then(|| Box::new((scenario, report)));
                    if tell.send((failed, laws)).is_err() {
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
        for (failed, laws) in told {
            totals.laws.add(&laws);
            totals.runs += 1;
            totals.failed += u64::from(failed.is_some());
            hear(failed.as_deref().map(|(scenario, report)| (scenario, report)))?;
        }
        Ok(totals)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(plan: &SweepPlan) -> u64 {
        sweep(plan, |_| Ok::<_, ()>(())).unwrap().runs
    }

    #[test]
    fn no_run_begins_when_the_runs_or_the_time_are_over() {
        let plan = SweepPlan { seed: 1, runs: Some(3), time: None, threads: 2 };
        assert_eq!(count(&plan), 3);
        assert_eq!(count(&SweepPlan { time: Some(Duration::ZERO), ..plan }), 0);
        // Longer than a run takes, and no run begins behind it.
        assert!(count(&SweepPlan { runs: None, time: Some(Duration::from_millis(1)), ..plan }) <= 2);
    }

    #[test]
    fn each_run_is_told_of_and_whoever_hears_can_end_it() {
        let plan = SweepPlan { seed: 1, runs: Some(1000), time: None, threads: 2 };
        let mut heard = 0;
        let ended = sweep(&plan, |_| {
            heard += 1;
            if heard < 3 { Ok(()) } else { Err("enough") }
        });
        assert_eq!((ended, heard), (Err("enough"), 3));
    }
}
