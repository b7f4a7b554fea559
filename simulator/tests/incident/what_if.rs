//! A recorded day under other settings, by the binary.

use std::fs;
use std::process::{Command, Output};

use simulator::judge::run;
use simulator::scenario::{self, ConfigFile, PROXY};

use crate::log;

fn simulator(folder: &std::path::Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_simulator")).args(args).current_dir(folder).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn from_a_log_to_what_another_setting_would_have_done() {
    let text = r#"{"name": "x", "story": "x", "duration": "12s",
        "proxy": {"failover": {"max_attempts": 1}, "health_check": {"failure_threshold": 3, "backoff_base": "1s", "backoff_max": "1s"}},
        "upstreams": [{"name": "a", "plan": {"faults": [{"fault": "refuse", "when": {"from": "3s", "until": "8s"}}]}}, {"name": "b"}],
        "clients": [{"name": "c", "do": "echo", "requests": 100, "rate": 10}]}"#;
    let scenario = scenario::parse(text).unwrap();
    let day = run(&scenario, 1);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("proxy.log"), log::of(&scenario, &day.trace, true)).unwrap();
    fs::write(folder.join("proxy.json"), ConfigFile::first(&scenario, PROXY).text).unwrap();
    fs::write(folder.join("candidate.json"), r#"{"failover": {"max_attempts": 2}}"#).unwrap();
    fs::write(folder.join("key"), "sixteen bytes or more").unwrap();

    let (code, told, _) = simulator(folder, &["record", "proxy.log", "--config", "proxy.json", "--key-file", "key"]);
    assert_eq!(code, Some(0));
    assert!(told.starts_with("incident.json: 100 requests in ") && told.contains("3 failed"), "{told}");

    let (code, told, _) = simulator(folder, &["fidelity", "incident.json"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("0 of ") && told.contains("requests that failed"), "{told}");
    // Whoever plays it is shown the same, once for all seeds.
    for (command, times) in [(&["run", "incident.json", "--seeds", "1..3"][..], 1), (&["replay", "incident.json"], 1)] {
        let (code, told, _) = simulator(folder, command);
        assert!(code == Some(0) && told.matches(" figures differ (").count() == times, "{command:?}: {told}");
    }

    let (what_if, tried) = (["what-if", "incident.json", "--config", "candidate.json", "--seeds", "1..8"], "--expect");
    let args = [&what_if[..], &[tried, "harmed<=0", tried, "failovers<=1", "--html", "days.html"]].concat();
    let (code, told, complaint) = simulator(folder, &args);
    assert_eq!((code, complaint.as_str()), (Some(1), "candidate.json: failovers<=1: the mean is 3.000\n"));
    let harmed = told.lines().find(|line| line.starts_with("harmed")).unwrap();
    let page = fs::read_to_string(folder.join("days.html")).unwrap();
    assert!(page.contains("<h2>as it was recorded</h2>\n<p>100 requests, 3 failed, 1 ejections</p>"), "{page}");
    assert!(page.contains("<h2>candidate.json</h2>\n<p>100 requests, 0 failed, 1 ejections</p>"), "{page}");
    assert!(harmed.contains("3.00 (") && harmed.ends_with("0.00 (0.00..0.00) *"), "{told}");
    // Upstreams are known by their addresses under the key of the recording.
    let (code, _, complaint) = simulator(
        folder,
        &["what-if", "incident.json", "--config", "proxy.json", "--key-file", "key", "--seeds", "1..1", "--json"],
    );
    assert_eq!(code, Some(0), "{complaint}");
    fs::write(folder.join("proxy.json"), r#"{"upstream_proxies": [{"url": "http://c:8080"}]}"#).unwrap();
    let (code, _, complaint) =
        simulator(folder, &["what-if", "incident.json", "--config", "proxy.json", "--key-file", "key"]);
    assert_eq!(code, Some(65));
    assert!(complaint.starts_with("proxy.json: 1 of its upstreams are not in the recording"), "{complaint}");
}

#[test]
fn two_traces_are_told_apart_by_the_binary() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = log::scenarios().join("disabled-upstream.json");
    let trace = |seed: &str| simulator(folder, &["trace", file.to_str().unwrap(), "--seed", seed]).1;
    fs::write(folder.join("1"), trace("1")).unwrap();
    fs::write(folder.join("2"), trace("2")).unwrap();
    assert_eq!(simulator(folder, &["diff", "1", "1"]).0, Some(0));
    let (code, told, _) = simulator(folder, &["diff", "1", "2"]);
    assert_eq!(code, Some(1));
    assert!(told.starts_with("the first difference is in line "), "{told}");
    assert_eq!(simulator(folder, &["diff", "1", "none"]).0, Some(65));
    let results = |seed: &str| {
        let json = format!("{seed}.json");
        assert_eq!(simulator(folder, &["run", file.to_str().unwrap(), "--seed", "1", "--json", &json]).0, Some(0));
        json
    };
    let (code, told, _) = simulator(folder, &["diff", "1", "2", "--results", &results("1"), &results("2")]);
    assert!(code == Some(1) && told.ends_with("every law found, counted and excused what it did before\n"), "{told}");
    // Where the traces are the same, what was judged decides.
    assert_eq!(simulator(folder, &["diff", "1", "1", "--results", "1.json", "2.json"]).0, Some(0));
    let judged = fs::read_to_string(folder.join("2.json")).unwrap().replace(r#""passed""#, r#""violated""#);
    fs::write(folder.join("2.json"), judged).unwrap();
    let (code, told, _) = simulator(folder, &["diff", "1", "1", "--results", "1.json", "2.json"]);
    assert!(code == Some(1) && told.ends_with("disabled-upstream seed 1: passed → violated\n"), "{told}");
}
