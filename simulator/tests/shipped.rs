//! Every shipped scenario holds, and gives the same run twice: on two threads of this process, and in another process.

#![expect(clippy::unwrap_used, reason = "a test that can't read its files fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use simulator::batch::{Job, run_all};
use simulator::engine::Kind;
use simulator::run::Verdict;
use simulator::scenario;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

fn shipped() -> Vec<Job> {
    let mut files: Vec<PathBuf> = directory().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let job = |file: PathBuf| {
        let scenario = scenario::load(&file).unwrap_or_else(|problems| panic!("{}: {problems:?}", file.display()));
        let seed = scenario.seed;
        Job { file, scenario: Arc::new(scenario), seed, engine: Kind::default() }
    };
    files.into_iter().map(job).collect()
}

#[test]
fn every_shipped_scenario_holds_and_repeats_on_another_thread_and_in_another_process() {
    let jobs = shipped();
    assert!(jobs.len() >= 30, "{}", jobs.len());
    let here = run_all(&jobs, 2, |_, _| {});
    for report in &here {
        assert_eq!(report.verdict, Verdict::Passed, "{report:#?}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let simulator = Command::new(env!("CARGO_BIN_EXE_simulator"))
        .args(["run", "--jobs", "1", "--json"])
        .args([file.path(), &directory()])
        .output()
        .unwrap();
    assert!(simulator.status.success(), "{}", String::from_utf8_lossy(&simulator.stdout));
    let there: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
    let there: Vec<_> = there.iter().map(|report| report["digest"].as_str().unwrap()).collect();
    let here: Vec<_> = here.iter().map(|report| report.digest.as_str()).collect();
    assert_eq!(here, there);
}

#[test]
fn a_file_is_named_like_its_scenario() {
    for job in shipped() {
        assert_eq!(job.file.file_stem().unwrap().to_str().unwrap(), job.scenario.name);
    }
}
