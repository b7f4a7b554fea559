//! Tests the PID file: when it is written, replaced, refused and removed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Place, Running, address, outcome};

#[test]
fn holds_the_id_while_the_proxy_runs_and_goes_with_it() {
    let place = Place::new();
    let mut proxy = place.start();
    assert_eq!(fs::read_to_string(place.path("proxy.pid")).unwrap(), format!("{}\n", proxy.child.id()));
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.end(), 0);
    assert!(!place.path("proxy.pid").exists());
}

#[test]
fn a_configured_path_is_used() {
    let mut place = Place::new();
    place.config["server"]["pid_file"] = json!("other.pid");
    let proxy = place.start();
    assert_eq!(fs::read_to_string(place.path("other.pid")).unwrap(), format!("{}\n", proxy.child.id()));
    assert!(!place.path("proxy.pid").exists());
}

#[test]
fn none_is_written_where_none_is_wanted() {
    let mut place = Place::new();
    place.config["server"]["pid_file"] = json!("");
    let _proxy = place.start();
    assert!(!place.path("proxy.pid").exists());
}

#[test]
fn one_left_by_a_crash_is_replaced() {
    let place = Place::new();
    let mut crashed = place.start();
    crashed.signal(Signal::KILL);
    assert_eq!(crashed.end(), -9);
    let proxy = place.start();
    assert_eq!(fs::read_to_string(place.path("proxy.pid")).unwrap(), format!("{}\n", proxy.child.id()));
}

#[test]
fn a_second_proxy_is_refused_and_harms_nothing() {
    let mut place = Place::new();
    let first = place.start();
    place.config["server"]["listen_address"] = json!(address().to_string());
    place.write();
    for path in [None, Some("proxy.pid")] {
        if let Some(path) = path {
            place.config["server"]["pid_file"] = json!(path);
            place.write();
        }
        let (code, _, err) = outcome(&mut place.command(&[]));
        let named = format!("already running (process {})", first.child.id());
        assert!(code == Some(1) && err.contains(&named), "{code:?} {err}");
        assert_eq!(fs::read_to_string(place.path("proxy.pid")).unwrap(), format!("{}\n", first.child.id()));
    }
}

#[test]
fn a_default_path_that_cannot_be_had_is_warned_about_and_a_configured_one_is_an_error() {
    let mut place = Place::new();
    // Not permissions: tests may run as root.
    fs::create_dir(place.path("proxy.pid")).unwrap();
    let mut proxy = place.start();
    assert!(proxy.lines.iter().any(|line| line.contains("WARN") && line.contains("no PID file")), "{:?}", proxy.lines);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.end(), 0);
    assert!(place.path("proxy.pid").is_dir(), "left alone");

    for path in ["proxy.pid", "missing/proxy.pid"] {
        place.config["server"]["pid_file"] = json!(path);
        place.write();
        let (code, _, err) = outcome(&mut place.command(&[]));
        assert!(code == Some(1) && err.contains(path), "{code:?} {err}");
    }
}

#[test]
fn others_may_read_it_and_not_write() {
    let place = Place::new();
    let _proxy = place.start();
    let mode = fs::metadata(place.path("proxy.pid")).unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0);
}

/// Whoever finds the PID file may signal at once, as a script does that starts and reloads. Without a handler it kills.
/// Handlers need the runtime, so that a runtime that takes long to start shows a file that was written before them.
#[test]
fn a_hangup_right_behind_the_pid_file_reloads() {
    let place = Place::new();
    place.write();
    let mut command = Running::command(place.folder.path(), &place.file());
    command.env("TOKIO_WORKER_THREADS", "500");
    let mut proxy = Running::from(command);
    while !place.path("proxy.pid").exists() {}
    proxy.signal(Signal::HUP);
    proxy.line("reloaded");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.end(), 0);
}
