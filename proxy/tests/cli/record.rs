//! Tests the flight recorder: the last events of a running proxy, written when somebody asks and when something has gone wrong.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Place, Running, control, echo, outcome, tunnel, tunnel_with};

fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn count(events: &[Value], word: &str) -> usize {
    events.iter().filter(|event| event["event"] == word).count()
}

#[test]
fn the_last_events_are_written_as_the_log_at_level_debug_has_them() {
    let mut place = Place::before(echo());
    place.config["flight_recorder"] = json!({ "memory": "2MB" });
    let mut proxy = place.start();
    for _ in 0..3 {
        drop(tunnel(place.address));
        proxy.line("event=\"finished\"");
    }
    let (code, out, err) = outcome(&mut place.command(&["record", "--out", "last.jsonl"]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let file = place.path("last.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let told = events(&text);
    assert_eq!(out, format!("last.jsonl: {} events\n", told.len()));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    for word in ["pick_made", "attempt_ended", "verdict", "finished"] {
        assert_eq!(count(&told, word), 3, "{word}: {text}");
    }
    assert_eq!(count(&told, "epoch_started"), 1, "from the first event on: {text}");
    let finished = told.iter().find(|event| event["event"] == "finished").unwrap();
    assert_eq!((&finished["target"], &finished["request"]), (&json!("a.test:80"), &json!(1)));
    let own = |line: &String| line.contains("pick_made") || line.starts_with('{');
    assert!(!proxy.lines.iter().any(own), "the log is as it was: {:?}", proxy.lines);

    let (code, _, err) = outcome(&mut place.command(&["record", "--out", "last.jsonl"]));
    assert!(code == Some(1) && err.contains("last.jsonl: File exists"), "{err}");
    let (code, out, err) = outcome(&mut place.command(&["record"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with(&text), "{out}");
}

#[test]
fn where_it_is_off_that_is_said_and_no_file_is_made() {
    let place = Place::new();
    let _proxy = place.start();
    let (code, out, err) = outcome(&mut place.command(&["record", "--out", "last.jsonl"]));
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1));
    assert!(err.contains("the flight recorder is off"), "{err}");
    assert!(!place.path("last.jsonl").exists());
    assert_eq!(control(&place, b"{\"command\":\"record\",\"out\":\"/etc/passwd\"}\n")["result"], "error");
}

/// The record that the log of `proxy` tells of, and why it was written.
fn written(proxy: &mut Running, why: &str) -> (String, Vec<Value>) {
    let line = proxy.line("event=\"flight_recorded\"");
    assert!(line.contains(&format!("why=\"{why}\"")) && line.contains("missed=0"), "{line}");
    let path = line.split("path=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let text = std::fs::read_to_string(&path).unwrap();
    (path, events(&text))
}

#[test]
fn an_ejection_and_a_burst_of_failures_have_a_record_written_with_what_came_of_them() {
    for (field, value, why) in [("on_ejection", json!(true), "ejection"), ("on_failures", json!(2), "failures")] {
        let mut place = Place::new();
        let records = place.path("records");
        std::fs::create_dir(&records).unwrap();
        place.config["health_check"] = json!({ "failure_threshold": 2 });
        place.config["flight_recorder"] = json!({ "directory": records, field: value });
        let mut proxy = place.start();
        for _ in 0..2 {
            assert_eq!(tunnel_with(place.address, "").0, 502);
        }
        let (path, told) = written(&mut proxy, why);
        assert!(Path::new(&path).starts_with(&records), "{path}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!((count(&told, "ejected"), count(&told, "finished")), (1, 2), "{told:?}");
    }
}

/// As `proxy record` does, where nobody can say where to.
#[test]
fn the_signal_writes_a_record_as_often_as_it_comes_and_during_a_drain() {
    let mut place = Place::before(echo());
    let records = place.path("records");
    std::fs::create_dir(&records).unwrap();
    place.config["flight_recorder"] = json!({ "directory": records });
    let mut proxy = place.start();
    let _held = tunnel(place.address);
    drop(tunnel(place.address));
    proxy.line("event=\"finished\"");
    for draining in [false, false, true] {
        if draining {
            proxy.signal(Signal::TERM);
            proxy.line("draining");
        }
        let (_, by_command, _) = outcome(&mut place.command(&["record"]));
        proxy.signal(Signal::USR2);
        let (path, told) = written(&mut proxy, "signal");
        assert!(Path::new(&path).starts_with(&records) && path.ends_with("-signal.jsonl"), "{path}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(told, events(&by_command));
        assert_eq!((count(&told, "verdict"), count(&told, "finished")), (2, 1), "{told:?}");
    }
    assert_eq!(std::fs::read_dir(&records).unwrap().count(), 3);
}

#[test]
fn where_a_signal_can_have_no_record_written_one_line_says_what_to_set() {
    for (recorder, expected) in [
        (Value::Null, "the flight recorder is off; flight_recorder in the configuration turns it on"),
        (json!({}), "SIGUSR2 needs flight_recorder.directory in the configuration"),
    ] {
        let mut place = Place::new();
        if !recorder.is_null() {
            place.config["flight_recorder"] = recorder;
        }
        let mut proxy = place.start();
        proxy.signal(Signal::USR2);
        let line = proxy.line("flight_record_failed");
        assert!(line.contains("WARN") && line.contains("why=\"signal\"") && line.contains(expected), "{line}");
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.end(), 0);
        assert_eq!(proxy.lines.iter().filter(|line| line.contains("flight_record")).count(), 1, "{:?}", proxy.lines);
    }
}

#[test]
fn a_directory_that_is_none_is_an_error_at_the_start() {
    let mut place = Place::new();
    place.config["flight_recorder"] = json!({ "directory": "missing", "on_ejection": true });
    place.write();
    let (code, _, err) = outcome(&mut place.command(&[]));
    assert!(code == Some(1) && err.contains("flight_recorder.directory: missing: No such file"), "{err}");
}
