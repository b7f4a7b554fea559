//! A batch plays many runs on several threads and returns their reports in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::judge::{RunReport, Verdict, Violation, run_on};
use crate::scenario::{Expectation, Scenario};
use crate::world::EngineKind;

/// A scenario, where it comes from, and a seed.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its file.
    pub file: PathBuf,
    /// What is in it.
    pub scenario: Arc<Scenario>,
    /// The seed.
    pub seed: u64,
    /// Where it is played.
    pub engine: EngineKind,
}

/// Runs `jobs` on `threads` threads. `done` hears of each as it ends; the reports come back in the order of `jobs`,
/// without the traces of those that passed.
pub fn run_all(jobs: &[Job], threads: usize, done: impl Fn(&Job, &RunReport) + Sync) -> Vec<RunReport> {
    let next = AtomicUsize::new(0);
    let reports: Mutex<Vec<Option<RunReport>>> = Mutex::new(vec![None; jobs.len()]);
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

/// Holds what must sometimes come against all runs of each scenario together. What came in none of them is a violation of
/// its last run that passed; returns those, to be told of.
pub fn judge_sometimes<'a>(jobs: &'a [Job], reports: &mut [RunReport]) -> Vec<(&'a Job, String)> {
    // By the file and the place of the expectation: runs that could have shown it, whether one did, and the last.
    let mut seen: BTreeMap<(&Path, usize), (usize, bool, usize)> = BTreeMap::new();
    for (place, (job, report)) in jobs.iter().zip(reports.iter()).enumerate() {
        let expected = job.scenario.expect.iter().enumerate();
        let sometimes = expected.filter(|(_, one)| matches!(one, Expectation::Sometimes { .. }));
        for (index, _) in sometimes.filter(|_| report.verdict == Verdict::Passed) {
            let entry = seen.entry((&job.file, index)).or_default();
            *entry = (entry.0 + 1, entry.1 || !report.unseen.contains(&index), place);
        }
    }
    let mut told = Vec::new();
    for ((_, index), (runs, _, place)) in seen.into_iter().filter(|(_, (_, shown, _))| !shown) {
        let what = serde_json::to_string(&jobs[place].scenario.expect[index]).unwrap_or_default();
        let text = format!("in none of {runs} runs; expected {what}");
        let report = &mut reports[place];
        report.verdict = Verdict::Violated;
        report.violations.push(Violation { of: format!("expect[{index}]"), text: text.clone(), lines: Vec::new() });
        told.push((&jobs[place], text));
    }
    told
}

/// The part of `jobs` that shard `index` (from 1) of `of` runs.
pub fn shard(jobs: Vec<Job>, index: usize, of: usize) -> Vec<Job> {
    jobs.into_iter().enumerate().filter(|(place, _)| place % of + 1 == index).map(|(_, job)| job).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn runs(seeds: std::ops::Range<u64>, event: &str) -> (Vec<Job>, Vec<RunReport>) {
        // Half of what reaches one upstream is refused by chance, so whether one is depends on the seed.
        let text = format!(
            r#"{{"name": "x", "story": "x", "duration": "2s",
            "upstreams": [{{"name": "a", "plan": {{"faults": [
                {{"fault": "status-503", "when": {{"probability": 0.5}}}}]}}}}, {{"name": "b"}}],
            "clients": [{{"name": "c", "do": "connect", "requests": 2}}],
            "expect": [{{"what": "sometimes", "event": "{event}", "with": "status-503"}}]}}"#
        );
        let scenario = Arc::new(scenario::parse(&text).unwrap());
        let job = |seed| Job { file: "x".into(), scenario: Arc::clone(&scenario), seed, engine: EngineKind::default() };
        let jobs: Vec<Job> = seeds.map(job).collect();
        let reports = run_all(&jobs, 2, |_, _| {});
        assert!(reports.iter().all(|report| report.verdict == Verdict::Passed), "{reports:#?}");
        (jobs, reports)
    }

    #[test]
    fn what_must_come_sometimes_may_be_missing_in_a_run_but_not_in_all() {
        let (jobs, mut reports) = runs(1..20, "request");
        let shown = reports.iter().filter(|report| report.unseen.is_empty()).count();
        assert!((1..19).contains(&shown), "{shown} of 19");
        assert!(judge_sometimes(&jobs, &mut reports).is_empty());
        let (jobs, mut reports) = runs(1..4, "drained");
        assert_eq!(judge_sometimes(&jobs, &mut reports).len(), 1);
        assert_eq!(reports[2].verdict, Verdict::Violated);
        assert!(reports[2].violations[0].text.starts_with("in none of 3 runs"), "{:?}", reports[2].violations);
    }
}
