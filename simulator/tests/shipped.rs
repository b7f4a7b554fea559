//! Tests that every shipped scenario holds, and gives the same run twice: on two threads of this process, and in another process.

#![expect(clippy::unwrap_used, reason = "a test that can't read its files fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use simulator::explore::batch::{Job, run_all};
use simulator::judge::Verdict;
use simulator::scenario::{self, Scenario};
use simulator::subject::Subject;
use simulator::world::EngineKind;

/// What turmoil plays here: resets, jitter and crashes. It takes too long without optimisation to play all;
/// `simulator run --engine turmoil scenarios` does.
const ON_TURMOIL: [&str; 3] = ["cut-mid-tunnel", "high-jitter", "proxy-restart"];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

fn shipped(engine: EngineKind) -> Vec<Job> {
    let mut files: Vec<PathBuf> = directory().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let job = |file: PathBuf| {
        let scenario = scenario::load(&file).unwrap_or_else(|problems| panic!("{}: {problems:?}", file.display()));
        let seed = scenario.seed;
        Job { file, scenario: Arc::new(scenario), seed, engine, subject: Subject::netdrift() }
    };
    files.into_iter().map(job).collect()
}

/// Each of `jobs` holds, and repeats on another thread and in another process.
fn hold_and_repeat(jobs: &[Job], engine: EngineKind) {
    let here = run_all(jobs, 2, |_, _| {});
    for report in &here {
        assert_eq!(report.verdict, Verdict::Passed, "{report:#?}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let simulator = Command::new(env!("CARGO_BIN_EXE_simulator"))
        .args(["run", "--jobs", "1", "--engine", &engine.to_string(), "--json"])
        .arg(file.path())
        .args(jobs.iter().map(|job| &job.file))
        .output()
        .unwrap();
    assert!(simulator.status.success(), "{}", String::from_utf8_lossy(&simulator.stdout));
    let there: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
    let there: Vec<_> =
        there["reports"].as_array().unwrap().iter().map(|report| report["digest"].as_str().unwrap()).collect();
    let here: Vec<_> = here.iter().map(|report| report.digest.as_str()).collect();
    assert_eq!(here, there);
}

#[test]
fn every_shipped_scenario_holds_and_repeats_on_another_thread_and_in_another_process() {
    let jobs = shipped(EngineKind::TurmoilNet);
    assert!(jobs.len() >= 30, "{}", jobs.len());
    hold_and_repeat(&jobs, EngineKind::TurmoilNet);
}

#[test]
fn turmoil_refuses_four_shipped_scenarios_and_repeats_what_it_plays() {
    let (jobs, refused): (Vec<Job>, Vec<Job>) = shipped(EngineKind::Turmoil)
        .into_iter()
        .partition(|job| EngineKind::Turmoil.unsupported(&job.scenario).is_empty());
    let refused: Vec<&str> = refused.iter().map(|job| job.scenario.name.as_str()).collect();
    assert_eq!(refused, ["black-hole", "loss", "one-way-partition", "reordering"]);
    let played = |job: &Job| ON_TURMOIL.contains(&job.scenario.name.as_str());
    let short: Vec<Job> = jobs.into_iter().filter(played).collect();
    assert_eq!(short.len(), ON_TURMOIL.len());
    hold_and_repeat(&short, EngineKind::Turmoil);
}

#[test]
fn a_file_is_named_like_its_scenario() {
    for job in shipped(EngineKind::default()) {
        assert_eq!(job.file.file_stem().unwrap().to_str().unwrap(), job.scenario.name);
    }
}

#[test]
fn every_story_names_mutations_that_it_catches_and_every_mutation_is_named() {
    let mutations = directory().join("../simulator/mutations");
    let mutations: BTreeSet<String> = mutations
        .read_dir()
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".patch")?.to_owned()))
        .collect();
    let mut named = BTreeSet::new();
    for job in shipped(EngineKind::TurmoilNet) {
        let Scenario { name, catches, .. } = &*job.scenario;
        assert!(!catches.is_empty(), "{name} catches nothing");
        // scripts/mutations.sh reads the names off one line.
        let text = std::fs::read_to_string(&job.file).unwrap();
        let line = text.lines().find(|line| line.starts_with("  \"catches\": [") && line.ends_with("],"));
        assert!(line.is_some(), "{name}: `catches` is not on one line of its own");
        for one in catches {
            assert!(mutations.contains(one), "{name} catches {one}, of which there is no patch");
            named.insert(one.clone());
        }
    }
    let unnamed: Vec<_> = mutations.difference(&named).collect();
    assert!(unnamed.is_empty(), "no story names {unnamed:?}");
}
