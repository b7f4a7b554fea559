//! Tests what a running proxy's log can be told: its level, its file, and how many successes it tells of.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Signal, geteuid};
use serde_json::{Value, json};

use crate::support::{Place, Running, WATCHDOG, echo, outcome, page, tunnel, tunnel_with};

#[test]
fn the_level_is_changed_at_run_time_and_the_log_says_by_whom() {
    let place = Place::before(echo());
    let mut proxy = place.start();
    let level = |args: &[&str]| outcome(&mut place.command(&[&["log-level"], args].concat()));
    let said = |out: &str| (Some(0), format!("{out}\n"), String::new());
    assert_eq!(level(&[]), said("info"));
    drop(tunnel(place.address));
    proxy.line("event=\"finished\"");
    assert!(!proxy.lines.iter().any(|line| line.contains("event=\"verdict\"")), "{:?}", proxy.lines);
    assert_eq!(level(&["info,proxy=debug"]), said("info → info,proxy=debug"));
    let line = proxy.line("event=\"log_level_set\"");
    let who = format!("uid={} pid=", geteuid().as_raw());
    assert!(line.contains("before=\"info\" level=\"info,proxy=debug\"") && line.contains(&who), "{line}");
    drop(tunnel(place.address));
    proxy.line("event=\"verdict\"");
    for bad in ["loud", "info,=="] {
        let (code, out, err) = level(&[bad]);
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{bad:?}: {err}");
        assert!(err.contains("the level must be off, error, warn, info, debug, trace, or a filter"), "{err}");
    }
    assert_eq!(level(&[]), said("info,proxy=debug"), "what is refused changes nothing");
    assert_eq!(level(&["off"]), said("info,proxy=debug → off"));
    proxy.line("level=\"off\"");
    drop(tunnel(place.address));
    assert_eq!(level(&["error"]), said("off → error"));
    assert_eq!(level(&["warn"]), said("error → warn"));
    assert!(proxy.line("WARN").contains("before=\"error\" level=\"warn\""), "told where either of the two tells it");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.end(), 0);
    let off = proxy.lines.iter().position(|line| line.contains("level=\"off\"")).unwrap();
    assert_eq!(proxy.lines.len(), off + 2, "{:?}", &proxy.lines[off..]);
}

/// Lines that are written to a new pipe at `path`. A file can't be waited for.
fn pipe(path: &Path) -> Receiver<String> {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    // A reader that is a writer as well waits for nobody, and sees no end.
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let (send, lines) = channel();
    std::thread::spawn(move || BufReader::new(file).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    lines
}

fn wait(lines: &Receiver<String>, text: &str) -> String {
    loop {
        let line = lines.recv_timeout(WATCHDOG).unwrap_or_else(|_| panic!("no line with {text:?}"));
        if line.contains(text) {
            return line;
        }
    }
}

#[test]
fn the_log_goes_to_a_file_that_is_opened_again_on_sigusr1() {
    let mut place = Place::before(echo());
    place.config["logging"] = json!({ "file": "proxy.log" });
    place.write();
    let first = pipe(&place.path("proxy.log"));
    let mut proxy = Running::spawn(place.folder.path(), &place.file());
    wait(&first, "listen=");
    // As logrotate does.
    std::fs::rename(place.path("proxy.log"), place.path("proxy.log.1")).unwrap();
    drop(tunnel(place.address));
    wait(&first, "event=\"finished\"");
    let second = pipe(&place.path("proxy.log"));
    proxy.signal(Signal::USR1);
    wait(&second, "event=\"log_reopened\"");
    drop(tunnel(place.address));
    wait(&second, "event=\"finished\"");
    proxy.signal(Signal::TERM);
    wait(&second, "stopped reset=0");
    assert_eq!(proxy.end(), 0);
    assert_eq!(proxy.lines, [""; 0], "nothing of it goes to standard error");
    assert!(first.try_recv().is_err());
}

#[test]
fn a_file_that_cannot_be_had_is_an_error_at_the_start() {
    let mut place = Place::new();
    place.config["logging"] = json!({ "file": "missing/proxy.log" });
    place.write();
    let (code, _, err) = outcome(&mut place.command(&[]));
    assert!(code == Some(1) && err.contains("logging: missing/proxy.log: No such file"), "{err}");
    place.config["logging"] = json!({ "syslog": "missing/log" });
    place.write();
    let (code, _, err) = outcome(&mut place.command(&[]));
    assert!(code == Some(1) && err.contains("logging: missing/log: No such file"), "{err}");
}

#[test]
fn syslog_has_the_log_and_may_start_anew_and_what_it_missed_is_counted() {
    let mut place = Place::before(echo());
    place.config["logging"] = json!({ "syslog": "log", "format": "json" });
    place.write();
    let daemon = || {
        let daemon = UnixDatagram::bind(place.path("log")).unwrap();
        daemon.set_read_timeout(Some(WATCHDOG)).unwrap();
        daemon
    };
    let wait = |daemon: &UnixDatagram, event: &str| loop {
        let mut bytes = [0; 16 * 1024];
        let count = daemon.recv(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..count]).unwrap();
        let (head, json) = text.split_once(": ").unwrap();
        let line: Value = serde_json::from_str(json).unwrap();
        if line["event"] == event {
            return (head.to_owned(), line);
        }
    };
    let first = daemon();
    let mut proxy = Running::spawn(place.folder.path(), &place.file());
    let head = |priority: u8| format!("<{priority}>netdrift[{}]", proxy.child.id());
    assert_eq!(wait(&first, "started").0, head(30));
    drop(tunnel(place.address));
    assert_eq!(wait(&first, "finished").1["status"], 200);
    drop(first);
    std::fs::remove_file(place.path("log")).unwrap();
    outcome(&mut place.command(&["reload"]));
    while page(place.address, "/stats")["log_lines_dropped"] == 0 {
        std::thread::yield_now();
    }
    let second = daemon();
    outcome(&mut place.command(&["reload"]));
    wait(&second, "reloaded");
    // It is told once something could be written again.
    outcome(&mut place.command(&["reload"]));
    let told = wait(&second, "log_lines_dropped");
    assert_eq!(
        (told.0, told.1["lines"].clone()),
        (head(28), page(place.address, "/stats")["log_lines_dropped"].clone())
    );
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.end(), 0);
    assert_eq!(proxy.lines, [""; 0]);
}

#[test]
fn one_success_in_so_many_is_told_and_every_failure() {
    let mut place = Place::before(echo());
    place.config["logging"] = json!({ "sample_successes": 3 });
    let mut proxy = place.start();
    for _ in 0..7 {
        drop(tunnel(place.address));
    }
    outcome(&mut place.command(&[
        "upstream",
        "disable",
        &format!("{}", place.config["upstream_proxies"][0]["url"]).replace('"', ""),
    ]));
    for _ in 0..4 {
        assert_eq!(tunnel_with(place.address, "").0, 503);
    }
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.end(), 0);
    let told = |status: &str| {
        let finished = proxy.lines.iter().filter(|line| line.contains("event=\"finished\""));
        finished.filter(|line| line.contains(status)).count()
    };
    assert_eq!((told("status=200"), told("status=503")), (3, 4), "{:?}", proxy.lines);
}

#[test]
fn the_line_of_a_request_may_have_a_format_of_its_own_which_no_client_can_break() {
    let mut place = Place::before(echo());
    let users = [json!({ "username": "eve \" 200", "password": "p" })];
    place.config["authentication"] = json!({ "enabled": true, "users": users });
    for format in ["text", "json"] {
        let access = "=%{client} \"%{user}\" %{user} %{method} %{target} %{status} %{outcome} %{tls_ms}";
        place.config["logging"] = json!({ "format": format, "access_format": access });
        let mut proxy = Running::from({
            place.write();
            Running::command(place.folder.path(), &place.file())
        });
        let started = proxy.line("listen");
        assert_eq!(started.starts_with('{'), format == "json", "all other lines are as ever: {started}");
        // eve " 200:p
        let (status, stream) = tunnel_with(place.address, "Proxy-Authorization: Basic ZXZlICIgMjAwOnA=\r\n");
        assert_eq!(status, 200);
        let client = stream.local_addr().unwrap();
        drop(stream);
        let line = proxy.line("=127.");
        let (quoted, bare) = ("\"eve \\\" 200\"", "eve\\u{20}\\\"\\u{20}200");
        assert_eq!(line, format!("={client} {quoted} {bare} CONNECT a.test:80 200 ok -"));
        let (status, _) = tunnel_with(place.address, "");
        assert_eq!(status, 407);
        assert!(proxy.line("=127.").ends_with(" \"-\" - CONNECT a.test:80 407 no_credentials -"));
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.end(), 0);
    }
}
