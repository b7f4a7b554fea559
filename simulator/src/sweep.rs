//! A sweep: made-up scenarios on several threads, for as long as it may last.
//!
//! Which scenario run number N plays follows from the master seed and N alone, so that only how many are played depends
//! on the machine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::run::{Report, Verdict, run};
use crate::scenario::Scenario;
use crate::swarm;

/// What a sweep is to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Every run follows from it and its number.
    pub seed: u64,
    /// So many runs at most.
    pub runs: Option<u64>,
    /// No run begins after so long.
    pub time: Option<Duration>,
    /// Runs at once.
    pub threads: usize,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Runs that have ended.
    pub runs: u64,
    /// Those of them that did not pass.
    pub failed: u64,
    /// Real time since its begin.
    pub elapsed: Duration,
}

/// What a sweep tells as it goes.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// This run did not pass.
    Failed(&'a Scenario, &'a Report),
    /// Some time has passed.
    Progress(Progress),
}

impl Progress {
    /// Runs for each second of real time.
    pub fn runs_a_second(&self) -> f64 {
        self.runs as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Sweeps. `hear` is told of each failure at once and of the progress after every `every`.
///
/// # Errors
/// The first that `hear` returns ends the sweep.
pub fn sweep<E>(plan: &Plan, every: Duration, mut hear: impl FnMut(News<'_>) -> Result<(), E>) -> Result<Progress, E> {
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
                    let report = run(&scenario, seed);
                    let failed = (report.verdict != Verdict::Passed).then(|| Box::new((scenario, report)));
                    if tell.send(failed).is_err() {
                        // Nobody wants to hear more.
                        return;
                    }
                }
            });
        }
        // Those of the threads remain, and go with them.
        drop(tell);
        let told = told;
        let mut progress = Progress::default();
        let mut due = every;
        loop {
            progress.elapsed = begun.elapsed();
            if progress.elapsed >= due {
                due = progress.elapsed + every;
                hear(News::Progress(progress))?;
            }
            match told.recv_timeout(due - progress.elapsed) {
                Ok(failed) => {
                    progress.runs += 1;
                    if let Some(failed) = failed {
                        progress.failed += 1;
                        hear(News::Failed(&failed.0, &failed.1))?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(progress),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(plan: &Plan) -> u64 {
        sweep(plan, Duration::MAX / 2, |_| Ok::<_, ()>(())).unwrap().runs
    }

    #[test]
    fn no_run_begins_when_the_runs_or_the_time_are_over() {
        let plan = Plan { seed: 1, runs: Some(3), time: None, threads: 2 };
        assert_eq!(count(&plan), 3);
        assert_eq!(count(&Plan { time: Some(Duration::ZERO), ..plan }), 0);
        // Longer than a run takes, and no run begins behind it.
        assert!(count(&Plan { runs: None, time: Some(Duration::from_millis(1)), ..plan }) <= 2);
    }

    #[test]
    fn progress_is_told_and_whoever_hears_can_end_it() {
        let plan = Plan { seed: 1, runs: Some(1000), time: None, threads: 2 };
        let mut heard = 0;
        let ended = sweep(&plan, Duration::ZERO, |news| {
            heard += u64::from(matches!(news, News::Progress(_)));
            if heard < 3 { Ok(()) } else { Err("enough") }
        });
        assert_eq!(ended, Err("enough"));
    }
}
