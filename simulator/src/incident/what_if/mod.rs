//! What if the proxy had had other settings on that day? The same day is played under each, with many seeds.

mod candidate;
mod compare;
mod course;
mod measure;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

pub use candidate::Candidate;
pub use compare::{Bound, Compared, LEVEL, Spread, Under};
pub use course::Course;
pub use measure::{Figures, figures_of};

use crate::explore::batch::{Job, run_all};
use crate::judge::{RunReport, Verdict};
use crate::scenario::Scenario;
use crate::subject::Subject;
use crate::world::EngineKind;

/// The same day under several settings.
#[derive(Clone, Debug, Serialize)]
pub struct WhatIf {
    /// The names of the candidates.
    pub candidates: Vec<String>,
    /// The seeds, both ends included.
    pub seeds: (u64, u64),
    /// Each figure.
    pub figures: Vec<Compared>,
    /// The day as it was played with the first seed, and under each candidate; none where it could not be.
    #[serde(skip)]
    pub courses: Vec<Option<Course>>,
    /// Runs that could not be played to their end; their figures are missing.
    pub unplayed: usize,
}

/// Plays the day as it was, and under each of the candidates with its name, with each seed. `told` hears of each run as it ends.
pub fn what_if(
    incident: &Scenario,
    candidates: &[(String, Scenario)],
    seeds: RangeInclusive<u64>,
    threads: usize,
    told: impl Fn(&RunReport) + Sync,
) -> WhatIf {
    let scenarios: Vec<Arc<Scenario>> = std::iter::once(incident)
        .chain(candidates.iter().map(|(_, scenario)| scenario))
        .cloned()
        .map(Arc::new)
        .collect();
    let jobs: Vec<Job> = seeds
        .clone()
        .flat_map(|seed| {
            let job = move |(place, scenario): (usize, &Arc<Scenario>)| Job {
                // The place finds the figures again.
                file: PathBuf::from(place.to_string()),
                scenario: Arc::clone(scenario),
                seed,
                engine: EngineKind::default(),
                subject: Subject::netdrift(),
            };
            scenarios.iter().enumerate().map(job).collect::<Vec<_>>()
        })
        .collect();
    let found = Mutex::new(BTreeMap::new());
    let courses = Mutex::new(BTreeMap::new());
    let reports = run_all(&jobs, threads, |job, report| {
        if report.verdict != Verdict::Endless && report.verdict != Verdict::Unsupported {
            let figures = figures_of(&report.trace);
            if job.seed == *seeds.start() {
                let course = Course::played(&job.scenario, &report.trace);
                courses.lock().unwrap_or_else(PoisonError::into_inner).insert(job.file.clone(), course);
            }
            found.lock().unwrap_or_else(PoisonError::into_inner).insert((job.file.clone(), job.seed), figures);
        }
        told(report);
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let unplayed = reports.len() - found.len();
    let mut of = |place: usize| -> Vec<Figures> {
        let file = PathBuf::from(place.to_string());
        seeds.clone().map(|seed| found.remove(&(file.clone(), seed)).unwrap_or_default()).collect()
    };
    let mut courses = courses.into_inner().unwrap_or_else(PoisonError::into_inner);
    let courses = (0..scenarios.len()).map(|place| courses.remove(&PathBuf::from(place.to_string()))).collect();
    let was = of(0);
    let others: Vec<Vec<Figures>> = (1..scenarios.len()).map(&mut of).collect();
    WhatIf {
        candidates: candidates.iter().map(|(name, _)| name.clone()).collect(),
        seeds: (*seeds.start(), *seeds.end()),
        figures: compare::compare(&was, &others),
        courses,
        unplayed,
    }
}
