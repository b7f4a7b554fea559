//! Logs that are cut, foreign, hostile or large: what can be read is used, and what can't is counted and named.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use simulator::incident::{Key, Recording, record};

use crate::log::line;

const CONFIG: &str = r#"{ "upstream_proxies": [{ "url": "http://a:1" }, { "url": "http://b:1" }] }"#;

fn finished(request: u64, millis: u64, target: &str) -> String {
    let fields = json!({
        "event": "finished", "request": request, "client": "127.0.0.1:5", "method": "CONNECT", "target": target, "status": 200, "outcome": "ok",
        "id": "u0", "upstream": "http://a:1", "attempts": 1, "failed": "", "failed_ids": "", "bytes_up": 10, "bytes_down": 100,
        "tcp_ms": 1.0, "reply_ms": 2.0, "latency_ms": 3.0, "duration_ms": 5.0,
    });
    line(Duration::from_millis(millis), fields)
}

/// The process has stopped accepting, and so many connections are open.
fn draining(millis: u64, open: u64) -> String {
    line(Duration::from_millis(millis), json!({ "event": "drain_started", "open": open }))
}

fn drained(millis: u64) -> String {
    line(Duration::from_millis(millis), json!({ "event": "drained", "reset": 0 }))
}

/// What was done to the proxy on the day of that log.
fn done(log: String) -> Vec<String> {
    let scenario = recorded(&[("a.log", log.into_bytes())], 1000).unwrap().scenario;
    let entries = scenario.timeline.iter().map(|entry| serde_json::to_value(entry).unwrap());
    entries.map(|entry| format!("{} at {}", entry["do"].as_str().unwrap(), entry["at"].as_str().unwrap())).collect()
}

struct Logs(tempfile::TempDir);

impl Logs {
    fn of(files: &[(&str, Vec<u8>)]) -> (Logs, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let write = |(name, bytes): &(&str, Vec<u8>)| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let paths = files.iter().map(write).collect();
        (Logs(folder), paths)
    }
}

fn recorded(files: &[(&str, Vec<u8>)], most: usize) -> Result<Recording, String> {
    let (_folder, paths) = Logs::of(files);
    record(&paths, CONFIG.as_bytes(), &Key::random().unwrap(), most, |_| {})
}

#[test]
fn what_cannot_be_read_is_counted_and_its_first_place_is_named() {
    let good = finished(1, 1000, "x:1");
    let mut bytes = good.clone().into_bytes();
    bytes.extend_from_slice(&good.as_bytes()[..good.len() / 2]);
    bytes.extend_from_slice(b"\nnginx: 1.2.3.4 GET / 200\n\xff\xfe\n");
    bytes.extend_from_slice(line(Duration::from_secs(2), json!({ "message": "a remark" })).as_bytes());
    bytes.extend_from_slice(line(Duration::from_secs(2), json!({ "event": "teleported" })).as_bytes());
    bytes
        .extend_from_slice(line(Duration::from_secs(2), json!({ "event": "finished", "request": "seven" })).as_bytes());
    bytes.extend_from_slice(
        line(Duration::from_secs(2), json!({ "event": "log_lines_dropped", "lines": 12 })).as_bytes(),
    );
    bytes.extend_from_slice(finished(5, 3000, "x:1").as_bytes());
    let recording = recorded(&[("a.log", bytes)], 100).unwrap();
    let seen = recording.scenario.seen.unwrap();
    assert_eq!(seen.requests, 2);
    let notes = seen.guessed.join("\n");
    for told in [
        "lines no JSON, such as lines that were cut: 2, first at log 1, line 2",
        "lines no text: 1, first at log 1, line 4",
        "lines without an event, such as remarks: 1, first at log 1, line 5",
        "lines of an event that this version does not know: 1, first at log 1, line 6",
        "lines of an event whose fields are not as they should be: 1, first at log 1, line 7",
        "lines that the proxy could not write in time: 12, first at log 1, line 8",
        "requests that were numbered and whose end is not in the log: 3",
        "the log tells of no single attempts",
    ] {
        assert!(notes.contains(told), "{told}\n{notes}");
    }
}

#[test]
fn a_log_of_another_program_is_refused_and_says_what_was_found() {
    let error = recorded(&[("a.log", b"GET / 200\nGET / 200\n".to_vec())], 100).unwrap_err();
    assert_eq!(
        error,
        "no event of the proxy in any log (lines no JSON, such as lines that were cut: 2, first at log 1, line 1)"
    );
    assert!(recorded(&[("a.log", Vec::new())], 100).unwrap_err().contains("they are empty"));
}

#[test]
fn rotated_files_restarts_and_a_clock_that_is_set_back_are_one_day() {
    let started = |seconds| line(Duration::from_secs(seconds), json!({ "event": "started" }));
    let old = started(0) + &finished(1, 1000, "x:1") + &finished(2, 2000, "x:1");
    // The process is started again, and then the clock is set back by an hour.
    let new = started(3603) + &finished(1, 3_604_000, "x:1") + &finished(2, 5000, "x:1");
    let recording = recorded(&[("a.log", new.into_bytes()), ("a.log.1", old.into_bytes())], 100).unwrap();
    let names: Vec<_> = recording.logs.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.log.1", "a.log"]);
    let scenario = recording.scenario;
    let seen = scenario.seen.unwrap();
    assert_eq!(seen.requests, 4);
    assert!(scenario.duration.get() < Duration::from_secs(3610), "{}", scenario.duration);
    let timeline: Vec<String> = scenario.timeline.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
    let wanted = [r#"{"at":"2s","do":"crash","host":"proxy"}"#, r#"{"at":"1h 3s","do":"restart","host":"proxy"}"#];
    assert_eq!(timeline, wanted);
    assert!(
        seen.guessed
            .iter()
            .any(|note| note.starts_with("steps of the clock back") && note.ends_with(": 1, first at log 2, line 3"))
    );
    let arrivals = scenario.clients.iter().flat_map(|client| &client.arrivals).count();
    assert_eq!(arrivals, 4);
}

#[test]
fn logs_of_several_processes_at_once_are_refused_by_name() {
    let of = |from: u64, step: u64| -> String {
        (0..60).map(|number| finished(number + 1, from + number * step, "x:1")).collect()
    };
    // Of two proxies, in two files.
    let files = [("a.log", of(0, 1000).into_bytes()), ("b.log", of(30_000, 1000).into_bytes())];
    let error = recorded(&files, 100).unwrap_err();
    assert!(error.contains("a.log ends at 2023-11-14T22:14:19Z, and ") && error.contains("b.log begins at"), "{error}");
    // In one file, line by line.
    let mut lines: Vec<String> = (of(0, 1000) + &of(10, 900)).lines().map(|line| format!("{line}\n")).collect();
    lines.sort_by_key(|line| line.split("timestamp\":\"").nth(1).unwrap()[..27].to_owned());
    let error = recorded(&[("a.log", lines.concat().into_bytes())], 100).unwrap_err();
    assert!(error.starts_with("several processes have written into one log at once"), "{error}");
    // One behind the other is a rotation.
    let files = [("a.log", of(0, 1000).into_bytes()), ("b.log", of(60_000, 1000).into_bytes())];
    assert!(recorded(&files[1..], 100).is_ok());
}

#[test]
fn a_hand_over_is_no_crash_and_the_former_process_ends_what_it_had() {
    let said = |millis, event| line(Duration::from_millis(millis), json!({ "event": event }));
    let mut text = said(0, "started");
    (0..50).for_each(|number| text.push_str(&finished(number + 1, 1000 + number * 100, "x:1")));
    text.push_str(
        &(said(7000, "started") + &draining(7010, 50) + &said(7020, "handed_over") + &said(7020, "took_over")),
    );
    for number in 0..50 {
        text.push_str(&finished(number + 1, 8000 + number * 100, "x:1"));
        // Tunnels that stood since.
        let mut old: serde_json::Value =
            serde_json::from_str(&finished(51 + number, 8010 + number * 100, "x:1")).unwrap();
        old["duration_ms"] = json!(2500.0 + number as f64 * 100.0);
        text.push_str(&format!("{old}\n"));
    }
    text.push_str(&drained(14_000));
    let recording = recorded(&[("a.log", text.clone().into_bytes())], 1000).unwrap();
    assert!(recording.scenario.timeline.is_empty(), "{:?}", recording.scenario.timeline);
    let seen = recording.scenario.seen.unwrap();
    assert_eq!(seen.requests, 150);
    let notes = seen.guessed.join("\n");
    assert!(notes.contains("1 hand-overs") && notes.contains("50 requests of the former ones"), "{notes}");
    assert!(!notes.contains("whose end is not in the log"), "{notes}");
    // The successor runs on when the former process is done: its own death is one.
    text.push_str(&(finished(51, 15_000, "x:1") + &said(16_000, "started")));
    assert_eq!(done(text), ["crash at 15s", "restart at 16s"]);
}

/// Each process writes its log by a thread of its own, so that the lines of a hand-over come in any order.
#[test]
fn a_hand_over_is_one_in_whatever_order_its_lines_are_written() {
    let said = |millis, event| line(Duration::from_millis(millis), json!({ "event": event }));
    let (takes, drains, ends) = (said(7020, "took_over"), draining(7010, 0), drained(7015));
    let orders = [[&drains, &takes, &ends], [&drains, &ends, &takes], [&takes, &drains, &ends]];
    for order in orders.map(|lines| lines.map(String::as_str).concat()) {
        let text = said(0, "started") + &finished(1, 1000, "x:1") + &said(7000, "started") + &order;
        let text =
            text + &finished(1, 9000, "x:1") + &draining(10_000, 0) + &drained(10_100) + &said(11_000, "started");
        assert_eq!(done(text), ["drain at 10s", "restart at 11s"], "{order}");
    }
}

/// A second stop is what a service manager sends that waits for the former process no longer.
#[test]
fn a_process_that_is_stopped_behind_its_hand_over_is_no_drain_of_the_next() {
    let said = |millis, pid: u64, event| {
        line(Duration::from_millis(millis), json!({ "event": event, "pid": pid, "open": 1, "reset": 0 }))
    };
    let text = said(0, 10, "started") + &finished(1, 1000, "x:1");
    let text = text + &said(7000, 20, "started") + &said(7010, 10, "drain_started") + &said(7020, 20, "took_over");
    let text = text + &finished(1, 9000, "x:1");
    let former = said(9500, 10, "drain_started") + &said(9600, 10, "drained") + &finished(2, 9700, "x:1");
    assert_eq!(done(text.clone() + &former), [""; 0]);
    // The present one may be stopped while the former has tunnels left.
    let present = said(9500, 20, "drain_started") + &said(9600, 20, "drained") + &said(9700, 10, "drained");
    assert_eq!(done(text + &present + &said(11_000, 30, "started")), ["drain at 9s 500ms", "restart at 11s"]);
}

/// Whoever reads the successor's log alone finds no former process in it.
#[test]
fn the_log_of_a_successor_by_itself_has_its_own_drain() {
    let said = |millis, event| line(Duration::from_millis(millis), json!({ "event": event }));
    let text = said(0, "started") + &said(10, "took_over") + &finished(1, 5000, "x:1") + &draining(6000, 0);
    assert_eq!(done(text + &drained(6100)), ["drain at 6s"]);
}

#[test]
fn a_kept_connection_that_asks_the_former_process_once_more_does_not_make_two_of_one_log() {
    let said = |millis, event| line(Duration::from_millis(millis), json!({ "event": event }));
    let mut text = said(0, "started");
    (1..=5000).for_each(|number| text.push_str(&finished(number, 1000 + number, "x:1")));
    text.push_str(
        &(said(7000, "started") + &finished(5001, 7005, "x:1") + &draining(7010, 2) + &said(7020, "took_over")),
    );
    // The one is in flight, and the other asks once more.
    text.push_str(&finished(5003, 7030, "x:1"));
    for number in 1..=3000 {
        text.push_str(&finished(number, 7100 + number * 5, "x:1"));
        if number == 400 {
            text.push_str(&finished(5002, 9100, "x:1"));
        }
    }
    text.push_str(&drained(23_000));
    let recording = recorded(&[("a.log", text.into_bytes())], 1000).unwrap();
    let notes = recording.scenario.seen.unwrap().guessed.join("\n");
    assert!(notes.contains("1 hand-overs"), "{notes}");
    assert!(!notes.contains("whose end is not in the log"), "{notes}");
}

#[test]
fn a_hundred_thousand_targets_are_no_more_to_keep_than_one_and_rates_stay() {
    let mut text = String::new();
    for number in 0..100_000_u64 {
        text.push_str(&finished(number + 1, number * 6, &format!("host-{number}.example:443")));
    }
    let recording = recorded(&[("a.log", text.into_bytes())], 1000).unwrap();
    let scenario = recording.scenario;
    let arrivals: Vec<_> = scenario.clients.iter().flat_map(|client| &client.arrivals).collect();
    assert_eq!((arrivals.len(), scenario.clients.len()), (1000, 1));
    assert_eq!(scenario.seen.unwrap().one_in.round(), 100.0);
    let early = arrivals.iter().filter(|at| at.get() < Duration::from_secs(300)).count();
    assert!((495..=505).contains(&early), "{early}");
    assert!(recording.text.len() < 100_000, "{}", recording.text.len());
}

#[test]
fn hostile_strings_do_no_harm_and_never_reach_a_terminal() {
    let evil = "\u{1b}[2J\u{7}<script>\"}\r\n{{id}},for=9y:\u{202e}";
    let mut text = String::new();
    for (request, field) in
        (1..).zip(["client", "user", "method", "target", "upstream", "failed", "blame", "outcome", "id", "end"])
    {
        let mut line: serde_json::Value = serde_json::from_str(&finished(request, request * 1000, "x:1")).unwrap();
        line[field] = json!(evil);
        text.push_str(&format!("{line}\n"));
    }
    text.push_str(&finished(20, 20_000, "x:1"));
    for number in [u64::MAX, 1 << 62] {
        let mut line: serde_json::Value = serde_json::from_str(&finished(number, 21_000, "x:1")).unwrap();
        (line["bytes_up"], line["duration_ms"], line["latency_ms"]) = (json!(number), json!(1e300), json!(-5.0));
        text.push_str(&format!("{line}\n"));
        // Figures that no sum and no percentile can hold.
        (line["request"], line["latency_ms"]) =
            (json!(21 + (number >> 63)), json!(if number == u64::MAX { 1e300 } else { 1e18 }));
        text.push_str(&format!("{line}\n"));
        let dropped = json!({ "timestamp": line["timestamp"], "event": "log_lines_dropped", "lines": u64::MAX });
        text.push_str(&format!("{dropped}\n"));
    }
    for year in ["1970", "9999", "1970", "9999"] {
        let mut line: serde_json::Value = serde_json::from_str(&finished(30, 22_000, "x:1")).unwrap();
        line["timestamp"] = json!(format!("{year}-01-01T00:00:00.000000Z"));
        text.push_str(&format!("{line}\n"));
    }
    let (folder, paths) = Logs::of(&[("a.log", text.into_bytes()), ("config.json", CONFIG.into())]);
    let out = folder.0.path().join("out.json");
    let told = Command::new(env!("CARGO_BIN_EXE_simulator"))
        .args(["record", "--out"])
        .args([&out, &paths[0]])
        .arg("--config")
        .arg(&paths[1])
        .output()
        .unwrap();
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let shown = [told.stdout, told.stderr, fs::read(out).unwrap()].concat();
    let shown = String::from_utf8(shown).unwrap();
    for part in ["\u{1b}", "script", "\u{202e}", "for=9y", "\u{7}"] {
        assert!(!shown.contains(part), "{part:?}");
    }
}
