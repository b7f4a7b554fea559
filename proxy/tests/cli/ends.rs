//! Tests how a proxy ends: signals, drain, and failed starts.

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{Place, Running, assert_open, connect, echo, get, outcome, page, tunnel};

#[test]
fn an_address_in_use_is_said_and_leaves_nothing() {
    let place = Place::new();
    let _taken = std::net::TcpListener::bind(place.address).unwrap();
    place.write();
    let (code, _, err) = outcome(&mut place.command(&[]));
    assert_eq!(code, Some(1));
    let said = format!("proxy: server.listen_address: can't listen on {}: ", place.address);
    assert!(err.contains(&said) && err.contains("in use"), "{err}");
    assert!(!place.path("proxy.pid").exists());
}

#[test]
fn a_signal_drains_and_exits_0() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let place = Place::before(echo());
        let mut proxy = place.start();
        let mut open = tunnel(place.address);
        proxy.signal(signal);
        proxy.line("draining open=1");
        assert_open(&mut open);
        drop(open);
        assert_eq!(proxy.end(), 0, "{signal:?}");
        assert!(proxy.lines.iter().any(|line| line.contains("stopped reset=0")), "{:?}", proxy.lines);
    }
}

#[test]
fn a_signal_without_a_meaning_here_kills_nobody() {
    let place = Place::before(echo());
    let mut proxy = place.start();
    let mut open = tunnel(place.address);
    proxy.signal(Signal::USR1);
    proxy.line("SIGUSR1 does nothing where the log goes to no file");
    assert_open(&mut open);
    proxy.signal(Signal::TERM);
    proxy.line("draining");
    proxy.signal(Signal::USR1);
    assert_open(&mut open);
    drop(open);
    assert_eq!(proxy.end(), 0);
}

#[test]
fn what_is_left_at_the_deadline_is_reset_and_told_in_the_last_line() {
    let mut place = Place::before(echo());
    place.config["server"]["drain_timeout"] = json!("1ms");
    let mut proxy = place.start();
    let mut open = [tunnel(place.address), tunnel(place.address)];
    proxy.signal(Signal::TERM);
    for tunnel in &mut open {
        let error = tunnel.read_exact(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert_eq!(proxy.end(), 0);
    let last = proxy.lines.last().unwrap();
    assert!(last.contains("stopped reset=2"), "{last}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second) in [(Signal::TERM, Signal::INT), (Signal::INT, Signal::INT), (Signal::TERM, Signal::QUIT)] {
        let mut place = Place::before(echo());
        // The drain alone would take an hour; the watchdog does not wait for that.
        place.config["server"]["drain_timeout"] = json!("1h");
        let mut proxy = place.start();
        let mut open = tunnel(place.address);
        proxy.signal(first);
        proxy.line("draining");
        assert_open(&mut open);
        proxy.signal(second);
        assert_eq!(proxy.end(), 0);
        assert!(proxy.lines.iter().any(|line| line.contains("second signal")), "{:?}", proxy.lines);
        assert!(!place.path("proxy.pid").exists(), "also then the PID file goes");
    }
}

#[test]
fn unready_comes_before_the_door_closes() {
    let mut place = Place::before(echo());
    place.config["server"]["drain_delay"] = json!("1h");
    let mut proxy = place.start();
    assert_eq!(get(place.address, "/readyz").0, 200);
    proxy.signal(Signal::TERM);
    proxy.line("draining");
    assert_eq!(get(place.address, "/readyz").0, 503);
    assert_open(&mut tunnel(place.address));
    let (code, out, _) = outcome(&mut place.command(&["healthcheck"]));
    assert_eq!((code, out.as_str()), (Some(0), "draining (configuration 1)\n"), "it lives, so no engine restarts it");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.end(), 0);
}

#[test]
fn secrets_are_in_no_line_of_the_log() {
    let mut place = Place::before(echo());
    let upstream = place.config["upstream_proxies"][0]["url"].as_str().unwrap().replace("//", "//me:hunter2@");
    place.config["upstream_proxies"] = json!([{ "url": upstream, "connect_headers": { "X-Key": "hunter3" } }]);
    place.config["authentication"] =
        json!({ "enabled": true, "users": [{ "username": "ali", "password": "hunter4" }] });
    place.config["logging"] = json!({ "level": "trace", "format": "json" });
    place.write();
    let mut proxy = Running::spawn(place.folder.path(), &place.file());
    proxy.line("\"listen\"");
    let fields = "Proxy-Authorization: Basic YWxpOmh1bnRlcjQ=\r\n";
    assert_eq!(crate::support::tunnel_with(place.address, fields).0, 200);
    assert_eq!(crate::support::tunnel_with(place.address, "Proxy-Authorization: Basic YWxpOmh1bnRlcjU=\r\n").0, 407);
    place.config["upstream_proxies"] = json!([{ "url": upstream.replace("hunter2", "hunter6"), "weight": -1 }]);
    place.write();
    proxy.line("not reloaded");
    place.config["upstream_proxies"] = json!([{ "url": upstream.replace("hunter2", "hunter6") }]);
    place.config["authentication"]["users"][0]["password"] = json!("hunter7");
    place.write();
    proxy.line("configuration reloaded");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.end(), 0);
    let log = proxy.lines.join("\n");
    assert!(log.contains("\"request\":1") && log.contains("ali"), "{log}");
    for secret in ["hunter", "YWxpOm", "bWU6"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
    for line in &proxy.lines {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// As under a supervisor that hangs: the pipe is full, and nobody empties it.
#[test]
fn a_reader_of_the_log_that_stops_does_not_stop_the_proxy() {
    const REQUESTS: usize = 20_000;
    let mut place = Place::before(echo());
    place.config["server"]["drain_timeout"] = json!("1h");
    place.config["authentication"] =
        json!({ "enabled": true, "users": [{ "username": "ali", "password": "hunter4" }] });
    place.write();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("proxy"))
        .arg("--config")
        .arg(place.file())
        .current_dir(place.folder.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = child.stderr.take().unwrap();
    let mut first = vec![0; 4096];
    let mut said = String::new();
    while !said.contains("listen=") {
        let read = log.read(&mut first).unwrap();
        said.push_str(&String::from_utf8_lossy(&first[..read]));
    }
    // Each is refused and told in a line, all on one connection.
    let name = format!("{}.test", vec!["x".repeat(60); 4].join("."));
    let request = format!("GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\n\r\n");
    let mut asking = connect(place.address);
    let mut answers = std::io::BufReader::new(asking.try_clone().unwrap());
    let reading = std::thread::spawn(move || {
        let mut refused = 0;
        let mut line = String::new();
        while refused < REQUESTS && answers.read_line(&mut line).unwrap() > 0 {
            refused += usize::from(line.starts_with("HTTP/1.1 407 "));
            line.clear();
        }
        refused
    });
    for _ in 0..REQUESTS {
        asking.write_all(request.as_bytes()).unwrap();
    }
    assert_eq!(reading.join().unwrap(), REQUESTS);
    assert_eq!(get(place.address, "/healthz").0, 200);
    let dropped = page(place.address, "/stats")["log_lines_dropped"].as_u64().unwrap();
    assert!(dropped > 0);
    // One more that lasts, so that the drain does.
    let _open = crate::support::tunnel_with(place.address, "Proxy-Authorization: Basic YWxpOmh1bnRlcjQ=\r\n");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    // A proxy that drains takes no connection, or ends one that it had not taken yet.
    let is_ready = || {
        let mut asking = TcpStream::connect(place.address)?;
        asking.write_all(b"GET /readyz HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        asking.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    while is_ready().is_ok_and(|ready| ready) {
        std::thread::yield_now();
    }
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "the second signal ends it");
    // What it had room for is there still.
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("status=407"), "{rest:.2000}");
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let place = Place::before(echo());
    let mut proxy = place.start();
    proxy.close_log();
    for _ in 0..3 {
        assert_open(&mut tunnel(place.address));
    }
    let mut idle = connect(place.address);
    proxy.signal(Signal::TERM);
    assert_eq!(idle.read_exact(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(proxy.child.wait().unwrap().code(), Some(0));
    // Nor does an answer that nobody reads.
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("proxy"))
        .arg("--schema")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}
