//! A batch plays many runs on several threads and returns their reports in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{Context, SHA256};

use super::results::{Planned, Sometimes};
use crate::judge::{RunReport, Verdict, run_subject};
use crate::scenario::{Expectation, Scenario};
use crate::subject::Subject;
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
    /// The proxy.
    pub subject: Arc<Subject>,
}

/// All of `jobs`, before a shard takes its part of them.
pub fn planned(jobs: &[Job]) -> Planned {
    let mut digest = Context::new(&SHA256);
    let mut before: Option<&Job> = None;
    for job in jobs {
        // The seeds of a scenario come one behind the other.
        if before.is_none_or(|before| !Arc::ptr_eq(&before.scenario, &job.scenario)) {
            digest.update(&serde_json::to_vec(&*job.scenario).unwrap_or_default());
            digest.update(job.subject.digest().as_bytes());
        }
        digest.update(&job.seed.to_be_bytes());
        before = Some(job);
    }
    Planned::new(Some(jobs.len() as u64), digest)
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
                    let mut report = run_subject(job.engine, &job.subject, &job.scenario, job.seed);
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

/// How often what must sometimes come did so, in all runs of each scenario together. Runs that did not pass don't count.
pub fn sometimes(jobs: &[Job], reports: &[RunReport]) -> Vec<Sometimes> {
    // By the file and the place of the expectation.
    let mut seen: BTreeMap<(&Path, usize), Sometimes> = BTreeMap::new();
    for (job, report) in jobs.iter().zip(reports) {
        let expected = job.scenario.expect.iter().enumerate();
        let sometimes = expected.filter(|(_, one)| matches!(one, Expectation::Sometimes { .. }));
        for (index, expectation) in sometimes.filter(|_| report.verdict == Verdict::Passed) {
            let entry = seen.entry((&job.file, index)).or_insert_with(|| Sometimes {
                scenario: job.scenario.name.clone(),
                index,
                expected: serde_json::to_string(expectation).unwrap_or_default(),
                runs: 0,
                shown: 0,
            });
            entry.runs += 1;
            entry.shown += u64::from(!report.unseen.contains(&index));
        }
    }
    seen.into_values().collect()
}

/// Holds what must sometimes come against all runs of each scenario together. What came in none of them becomes a violation of the
/// scenario's last run that passed.
pub fn judge_sometimes(sometimes: &[Sometimes], reports: &mut [RunReport]) {
    for one in sometimes {
        let last = |report: &&mut RunReport| report.scenario == one.scenario && report.verdict != Verdict::Unsupported;
        if let Some(violation) = one.violation()
            && let Some(report) = reports.iter_mut().rev().find(last)
        {
            report.verdict = report.verdict.min(Verdict::Violated);
            report.violations.push(violation);
        }
    }
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
        let job = |seed| Job {
            file: "x".into(),
            scenario: Arc::clone(&scenario),
            seed,
            engine: EngineKind::default(),
            subject: Subject::netdrift(),
        };
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
        let counted = sometimes(&jobs, &reports);
        assert!(matches!(counted.as_slice(), [one] if one.runs == 19 && one.shown == shown as u64), "{counted:?}");
        judge_sometimes(&counted, &mut reports);
        assert!(reports.iter().all(|report| report.verdict == Verdict::Passed));
        let (jobs, mut reports) = runs(1..4, "drained");
        judge_sometimes(&sometimes(&jobs, &reports), &mut reports);
        assert_eq!(reports[2].verdict, Verdict::Violated);
        assert!(reports[2].violations[0].text.starts_with("in none of 3 runs"), "{:?}", reports[2].violations);
    }
}
