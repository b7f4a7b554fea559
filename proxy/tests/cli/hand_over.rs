//! Tests that one process takes over from another: no client is refused, nothing that is open is cut, and the files follow.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::service::{Manager, managed};
use crate::support::{Place, Running, WATCHDOG, address, assert_open, connect, echo, get, outcome, tunnel};

/// A process that takes over from the one that runs in `place`.
fn successor(place: &Place) -> Running {
    let mut command = Running::command(place.folder.path(), &place.file());
    command.arg("--take-over");
    Running::from(command)
}

/// The process that the PID file names.
fn named(place: &Place) -> u32 {
    fs::read_to_string(place.path("proxy.pid")).unwrap().trim().parse().unwrap()
}

fn is_healthy(place: &Place) -> bool {
    outcome(&mut place.command(&["healthcheck"])).0 == Some(0)
}

/// What the proxy says to `request` on the control connection.
fn say(control: &mut UnixStream, request: &str) -> String {
    writeln!(control, "{request}").unwrap();
    let mut answer = String::new();
    BufReader::new(control).read_line(&mut answer).unwrap();
    answer
}

fn control(place: &Place) -> UnixStream {
    let stream = UnixStream::connect(place.path("proxy.sock")).unwrap();
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    stream
}

/// One client after another, until `over`, and one more: each gets what it asked for.
fn load(address: SocketAddr, over: &AtomicBool) {
    loop {
        let last = over.load(Ordering::Acquire);
        assert_eq!(get(address, "/healthz").0, 200);
        assert_open(&mut tunnel(address));
        if last {
            return;
        }
    }
}

/// Raises the flag when it is dropped, so that a failed test does not wait for its load for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn under_load_no_client_is_refused_and_no_tunnel_is_cut() {
    let place = Place::before(echo());
    let mut running = place.start();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ends = Over(&over);
        for _ in 0..4 {
            scope.spawn(|| load(place.address, &over));
        }
        for _ in 0..3 {
            let mut held = tunnel(place.address);
            let mut next = successor(&place);
            next.line("took over from the process that ran before");
            running.line(&format!("handed over to process {}", next.child.id()));
            assert_eq!(named(&place), next.child.id(), "the PID file follows");
            assert!(is_healthy(&place), "commands reach the new one");
            assert_open(&mut held);
            drop(held);
            assert_eq!(running.end(), 0);
            assert!(running.lines.last().unwrap().contains("stopped reset=0"), "{:?}", running.lines);
            assert_eq!(named(&place), next.child.id(), "what is the new one's is not removed by the old one");
            running = next;
        }
        drop(ends);
    });
    assert!(is_healthy(&place));
    running.signal(Signal::TERM);
    assert_eq!(running.end(), 0);
    for file in ["proxy.pid", "proxy.sock", "proxy.sock.lock"] {
        assert!(!place.path(file).exists(), "{file}");
    }
}

#[test]
fn the_listener_of_the_own_pages_goes_with_it() {
    let mut place = Place::new();
    let admin = address();
    place.config["admin"] = json!({ "listen_address": admin.to_string() });
    let mut running = place.start();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ends = Over(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                assert_eq!(get(admin, "/readyz").0, 200);
            }
        });
        let mut next = successor(&place);
        next.line("took over from the process that ran before");
        assert_eq!(running.end(), 0);
        assert_eq!(get(admin, "/healthz").0, 200);
        drop(ends);
        running = next;
    });
    running.signal(Signal::TERM);
    assert_eq!(running.end(), 0);
}

#[test]
fn a_kept_connection_is_answered_once_more_and_told_to_close() {
    for path in ["/healthz", "/readyz"] {
        once_more_on_a_kept_connection(path);
    }
}

/// Whoever asks about readiness asks about the address, which the next process serves.
fn once_more_on_a_kept_connection(path: &str) {
    let place = Place::new();
    let mut first = place.start();
    let mut kept = connect(place.address);
    let mut next = None;
    for close in [false, true] {
        write!(kept, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", place.address).unwrap();
        let mut answer = [0; 4096];
        let count = kept.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..count]).to_lowercase();
        assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close") == close, "{answer}");
        if !close {
            next = Some(successor(&place));
            first.line("handed over");
        }
    }
    assert_eq!(kept.read(&mut [0]).unwrap(), 0);
    assert_eq!(first.end(), 0);
    drop(next);
}

#[test]
fn one_that_has_handed_over_drains_on_a_signal() {
    let mut place = Place::before(echo());
    place.config["server"]["drain_timeout"] = json!("1ms");
    let mut first = place.start();
    let mut held = tunnel(place.address);
    let _next = successor(&place);
    first.line("handed over");
    assert_open(&mut held);
    first.signal(Signal::TERM);
    assert_eq!(held.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(first.end(), 0);
    // In a log that both write, their lines are told apart by the process.
    let own = format!(" pid={} ", first.child.id());
    let told = first.lines.iter().filter(|line| {
        [" event=\"started\"", " event=\"drain_started\"", " event=\"drained\""]
            .iter()
            .any(|event| line.contains(event))
    });
    let told: Vec<&String> = told.collect();
    assert!(told.len() == 4 && told.iter().all(|line| line.contains(&own)), "{told:#?}");
    assert!(is_healthy(&place), "the new one is another process");
}

#[test]
fn a_hand_over_that_is_broken_off_changes_nothing() {
    let place = Place::new();
    let mut first = place.start();
    for farewell in ["", "{\"command\":\"health\"}\n", "nonsense\n"] {
        let mut breaking = control(&place);
        assert_eq!(say(&mut breaking, r#"{"command":"hand_over"}"#), "{\"result\":\"handed_over\",\"admin\":false}\n");
        let second = say(&mut control(&place), r#"{"command":"hand_over"}"#);
        assert!(second.contains("another process is taking over"), "{second}");
        breaking.write_all(farewell.as_bytes()).unwrap();
        drop(breaking);
        first.line("does not serve; this one serves on");
        assert_eq!(get(place.address, "/healthz").0, 200);
        assert_eq!(named(&place), first.child.id());
    }
    let stray = say(&mut control(&place), r#"{"command":"took_over"}"#);
    assert!(stray.contains("nothing was handed over"), "{stray}");
    let mut next = successor(&place);
    next.line("took over");
    assert_eq!(first.end(), 0);
}

#[test]
fn one_that_cannot_take_over_says_why_and_harms_nobody() {
    let mut place = Place::new();
    place.write();
    let (code, _, said) = outcome(&mut place.command(&["--take-over"]));
    assert!(code == Some(1) && said.contains("no proxy runs behind this control socket"), "{said}");

    let first = place.start();
    let there = place.address;
    for (what, value, code, expected) in [
        ("listen_address", "127.0.0.1:1", 1, format!("the socket that was passed listens on {there}")),
        ("listen_address", "nowhere", 78, "listen_address".to_owned()),
        ("control_socket", "", 1, "--take-over: without a control socket".to_owned()),
    ] {
        let before = place.config.clone();
        place.config["server"][what] = json!(value);
        fs::write(place.path("other.json"), place.config.to_string()).unwrap();
        let mut command = crate::support::proxy(&["--take-over", "--config", "other.json"]);
        let (ended, _, said) = outcome(command.current_dir(place.folder.path()));
        assert!(ended == Some(code) && said.contains(&expected), "{what}: {ended:?} {said}");
        place.config = before;
        assert_eq!(get(there, "/healthz").0, 200);
        assert_eq!(named(&place), first.child.id());
        assert!(is_healthy(&place));
    }
}

/// Kills the process that the PID file names by then, so that none outlives a test that fails.
struct Last<'a>(&'a Place);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        let named = fs::read_to_string(self.0.path("proxy.pid")).ok();
        if let Some(pid) = named.and_then(|text| text.trim().parse().ok()).and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// As deploy/debian/postinst does behind a new binary.
#[test]
fn an_upgrade_starts_the_next_process_and_the_service_manager_follows() {
    let place = Place::before(echo());
    let _last = Last(&place);
    let manager = Manager::of(&place);
    let mut proxy = Running::from(managed(&place));
    manager.wait_for("READY=1");
    let mut held = tunnel(place.address);
    let (code, out, err) = outcome(&mut place.command(&["upgrade"]));
    let next = named(&place);
    assert_eq!((code, out, err.as_str()), (Some(0), format!("process {next} has taken over\n"), ""));
    let told = manager.wait_for("MAINPID=");
    manager.wait_for("READY=1");
    assert!(next != proxy.child.id() && told.contains(&format!("MAINPID={next}\n")), "{next}: {told}");
    assert_open(&mut held);
    drop(held);
    assert!(proxy.child.wait().unwrap().success());
    assert_eq!(get(place.address, "/healthz").0, 200);
    // It shares the log of the first one, which is over when both have ended.
    kill_process(Pid::from_raw(next as i32).unwrap(), Signal::TERM).unwrap();
    proxy.end();
    assert!(!place.path("proxy.pid").exists());
}

#[test]
fn whoever_asks_for_an_upgrade_is_told_even_where_nothing_else_is_open() {
    let place = Place::new();
    let _last = Last(&place);
    let mut proxy = place.start();
    let (code, out, err) = outcome(&mut place.command(&["upgrade"]));
    let next = named(&place);
    assert_eq!((code, out, err.as_str()), (Some(0), format!("process {next} has taken over\n"), ""));
    assert!(proxy.child.wait().unwrap().success());
    kill_process(Pid::from_raw(next as i32).unwrap(), Signal::TERM).unwrap();
    proxy.end();
}

#[test]
fn an_upgrade_to_a_process_that_cannot_start_says_so_and_nothing_else_happens() {
    let place = Place::before(echo());
    let mut proxy = place.start();
    let mut held = tunnel(place.address);
    let socket = place.path("proxy.sock");
    for _ in 0..2 {
        fs::write(place.file(), "{").unwrap();
        let (code, out, err) =
            outcome(&mut crate::support::proxy(&["upgrade", "--control-socket", socket.to_str().unwrap()]));
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1));
        assert!(err.contains("the process that was to take over has ended (exit status: 78)"), "{err}");
        proxy.line("the process that was to take over has ended (exit status: 78); this one serves on");
    }
    assert_open(&mut held);
    assert_eq!(named(&place), proxy.child.id());
}

#[test]
fn an_upgrade_while_the_next_process_starts_or_the_proxy_drains_says_why_not() {
    let place = Place::before(echo());
    let mut proxy = place.start();
    let _held = tunnel(place.address);
    // The next process waits for its configuration, which nobody writes.
    fs::remove_file(place.file()).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, place.file(), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let mut first = control(&place);
    writeln!(first, r#"{{"command":"upgrade"}}"#).unwrap();
    let line = proxy.line("was started to take over");
    let next = line.split("pid=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let second = say(&mut control(&place), r#"{"command":"upgrade"}"#);
    assert!(second.contains(&format!("process {next} was started to take over already")), "{second}");
    proxy.signal(Signal::TERM);
    let mut answer = String::new();
    BufReader::new(first).read_line(&mut answer).unwrap();
    assert!(answer.contains("the proxy is stopping"), "{answer}");
    kill_process(Pid::from_raw(next.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    let late = say(&mut control(&place), r#"{"command":"upgrade"}"#);
    assert!(late.contains("the proxy is stopping"), "{late}");
}

#[test]
fn whoever_asks_for_an_upgrade_is_told_where_somebody_else_has_taken_over() {
    let place = Place::before(echo());
    let mut proxy = place.start();
    // The process that is started waits for its configuration, and another one, which has its own, comes before it.
    fs::rename(place.file(), place.path("other.json")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, place.file(), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let mut asked = control(&place);
    writeln!(asked, r#"{{"command":"upgrade"}}"#).unwrap();
    let line = proxy.line("was started to take over");
    let started = line.split("pid=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let mut command = Running::command(place.folder.path(), &place.path("other.json"));
    command.arg("--take-over");
    let mut other = Running::from(command);
    other.line("took over");
    let mut answer = String::new();
    BufReader::new(asked).read_line(&mut answer).unwrap();
    let wanted = format!("process {} has taken over, which was started by somebody else", other.child.id());
    assert!(answer.contains(&wanted), "{answer}");
    assert!(proxy.child.wait().unwrap().success());
    kill_process(Pid::from_raw(started.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(named(&place), other.child.id());
    other.signal(Signal::TERM);
    assert_eq!(other.end(), 0);
}
