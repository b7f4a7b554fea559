//! Many runs on several threads: each run on one, results in order.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::engine::Kind;
use crate::run::{Report, run_on};
use crate::scenario::Scenario;

/// A scenario, where it comes from, and a seed.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its file.
    pub file: PathBuf,
    /// What is in it.
    pub scenario: std::sync::Arc<Scenario>,
    /// The seed.
    pub seed: u64,
    /// Where it is played.
    pub engine: Kind,
}

/// Runs `jobs` on `threads` threads. `done` hears of each as it ends; the reports come back in the order of `jobs`,
/// without the traces of those that passed.
pub fn run_all(jobs: &[Job], threads: usize, done: impl Fn(&Job, &Report) + Sync) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let reports: Mutex<Vec<Option<Report>>> = Mutex::new(vec![None; jobs.len()]);
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { return };
                    let mut report = run_on(job.engine, &job.scenario, job.seed);
                    done(job, &report);
                    report.trace = Default::default();
                    reports.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(report);
                }
            });
        }
    });
    let reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.into_iter().flatten().collect()
}

/// The part of `jobs` that shard `index` (from 1) of `of` runs.
pub fn shard(jobs: Vec<Job>, index: usize, of: usize) -> Vec<Job> {
    jobs.into_iter().enumerate().filter(|(place, _)| place % of + 1 == index).map(|(_, job)| job).collect()
}
