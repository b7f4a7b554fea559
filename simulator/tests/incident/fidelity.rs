//! What was recorded of a run replays as the run was.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use simulator::incident::{Fidelity, Key, Recording, record};
use simulator::record::Trace;
use simulator::scenario::{self, ConfigFile, PROXY, Scenario};
use simulator::world::EngineKind;

use crate::log;

/// Too costly to be played twice more in every gate, and to a log like others: `make fidelity` plays them.
const COSTLY: [&str; 2] = ["thundering-herd", "tls-targets"];

fn shipped(name: &str) -> Scenario {
    scenario::load(&log::scenarios().join(name).with_extension("json")).unwrap()
}

/// What happens in a run, which nobody judges here: tests/shipped.rs does.
fn played(scenario: &Scenario, seed: u64) -> Trace {
    EngineKind::default().play(scenario, seed).unwrap().trace
}

/// Plays a scenario, records its log, and plays the recording with another seed.
fn replayed(scenario: &Scenario, debug: bool) -> (Recording, Fidelity) {
    replayed_of(scenario, debug, 5000)
}

/// The same with at most so many requests.
fn replayed_of(scenario: &Scenario, debug: bool, most: usize) -> (Recording, Fidelity) {
    let day = played(scenario, scenario.seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.log");
    fs::write(&path, log::of(scenario, &day, debug)).unwrap();
    let config = ConfigFile::first(scenario, PROXY).text;
    // With another key upstreams would have other names, and draws would be others.
    let key = Key::new(b"the key of these tests").unwrap();
    let recording = record(&[path], config.as_bytes(), &key, most, |_| {}).unwrap();
    let replay = played(&recording.scenario, 7);
    let fidelity = Fidelity::of(recording.scenario.seen.as_ref().unwrap(), &replay);
    (recording, fidelity)
}

/// What is not the same, for people.
fn differences(fidelity: &Fidelity) -> Vec<String> {
    fidelity
        .differences()
        .map(|one| format!("{}: {} recorded, {} replayed", one.what, one.recorded, one.replayed))
        .collect()
}

fn all_names() -> Vec<String> {
    let files = fs::read_dir(log::scenarios()).unwrap().map(|entry| entry.unwrap().path());
    let scenarios = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let mut names: Vec<String> = scenarios.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.retain(|name| Path::new(name) != Path::new("schema"));
    names.sort();
    names
}

/// Which of these scenarios differ in their replays, and how.
fn differing(names: &[String], debug: bool) -> BTreeMap<String, Vec<String>> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (_, fidelity) = replayed(&shipped(name), debug);
                    let told = differences(&fidelity);
                    if !told.is_empty() {
                        found.lock().unwrap().insert(name.clone(), told);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn a_complete_log_of_each_shipped_scenario_replays_as_it_was() {
    let mut names = all_names();
    names.retain(|name| !COSTLY.contains(&name.as_str()) && shipped(name).replay_differs.is_none());
    assert!(names.len() > 50, "{}", names.len());
    let differing = differing(&names, true);
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
fn a_log_at_level_info_replays_ejections_and_failures_as_well() {
    let names =
        ["all-down-then-back", "black-hole", "one-refuses", "flapping", "proxy-restart", "reload-adds", "upstream-407"];
    let differing = differing(&names.map(str::to_owned), false);
    assert!(differing.is_empty(), "{differing:#?}");
}

/// One upstream of four refuses for a while, and 150 requests come a second: three failures in a row take no time.
const BUSY: &str = r#"{ "name": "busy", "story": "One upstream refuses.", "duration": "30s",
    "upstreams": [{ "name": "a", "plan": { "faults": [{ "fault": "refuse", "when": { "from": "10s", "until": "20s" } }] } },
        { "name": "b" }, { "name": "c" }, { "name": "d" }],
    "clients": [{ "name": "busy", "do": "connect", "rate": 150, "until": "29s" }] }"#;

/// With one request in fifty the three would take four seconds.
#[test]
fn a_thinned_day_ejects_when_the_day_did() {
    let scenario = scenario::parse(BUSY).unwrap();
    let (recording, fidelity) = replayed_of(&scenario, true, 29 * 150 / 50);
    let seen = recording.scenario.seen.as_ref().unwrap();
    assert!((seen.one_in - 50.0).abs() < 1.0, "{}", seen.one_in);
    assert!(seen.turns.len() >= 2, "it is ejected and comes back: {:?}", seen.turns);
    assert_eq!(differences(&fidelity), [""; 0], "{:?}", seen.guessed);
}

/// All upstreams are gone at once, at any moment of a tenth of a second: some of the failures that eject them share it with successes, and
/// others with what fails behind the ejection.
#[test]
fn a_day_on_which_all_upstreams_were_gone_at_once_ejects_none_before() {
    for crash in (1200..1300).step_by(10) {
        let upstream = |name: &str| {
            let when = format!(r#""from": "{crash}ms", "until": "3500ms""#);
            format!(
                r#"{{ "name": "{name}", "plan": {{ "faults": [{{ "fault": "refuse", "when": {{ {when} }} }}] }} }}"#
            )
        };
        let scenario = format!(
            r#"{{ "name": "gone", "story": "All refuse.", "duration": "10s", "upstreams": [{}],
                "proxy": {{ "health_check": {{ "backoff_base": "500ms", "backoff_max": "2500ms" }} }},
                "clients": [{{ "name": "client", "do": "echo", "requests": 300, "rate": 40 }}] }}"#,
            ["a", "b", "c"].map(upstream).join(", ")
        );
        let (recording, fidelity) = replayed(&scenario::parse(&scenario).unwrap(), true);
        assert_eq!(differences(&fidelity), [""; 0], "gone at {crash} ms: {:?}", recording.scenario.upstreams);
    }
}

#[test]
fn a_replay_that_is_not_the_day_is_told_from_it() {
    let scenario = shipped("one-refuses");
    let (recording, _) = replayed(&scenario, true);
    let mut other = recording.scenario;
    let seen = other.seen.take().unwrap();
    other.upstreams.iter_mut().for_each(|upstream| upstream.plan = serde_json::Value::Null);
    let fidelity = Fidelity::of(&seen, &played(&other, 7));
    let told = differences(&fidelity);
    assert!(told.iter().any(|one| one.starts_with("ejections of ")), "{told:?}");
}
