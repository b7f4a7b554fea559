//! Tests the binary: flags, plans, catalogue, control, clean stop.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn command() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin!("faulty-upstream"))
}

fn run(words: &[&str]) -> Output {
    command().args(words).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Killed when dropped, should a test fail halfway.
struct Process {
    child: Child,
    address: String,
    admin: String,
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(words: &[&str]) -> Process {
        let mut child = command()
            .args(["-port", "0", "--admin-port", "0"])
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut word = |prefix: &str| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix(prefix).unwrap().split(' ').next().unwrap().to_owned()
        };
        let (address, admin) = (word("listening on "), word("admin on "));
        Process { child, address, admin, _stdout: lines }
    }

    /// What comes back for a CONNECT, to its end.
    fn connect(&self) -> String {
        let mut client = TcpStream::connect(&self.address).unwrap();
        client.write_all(b"CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock\r\n\r\nhi").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    fn ctl(&self, words: &[&str]) -> Output {
        run(&[&["ctl", "--admin", &self.admin], words].concat())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_originals_flags_choose_the_fault() {
    let process = Process::start(&["-fault-type", "bad-gateway", "-failure-rate", "1"]);
    assert!(process.connect().starts_with("HTTP/1.1 502 "));
    let process = Process::start(&["-fault-type", "internal-error", "-failure-rate", "1.0", "-latency", "1ms"]);
    assert!(process.connect().starts_with("HTTP/1.1 500 "));
    let process = Process::start(&["-fault-type", "none", "-failure-rate", "1"]);
    assert!(process.connect().ends_with("\r\n\r\nhi"));
}

#[test]
fn it_is_controlled_from_the_command_line_and_stops_cleanly() {
    let mut process = Process::start(&["--name", "bad"]);
    assert!(process.connect().ends_with("\r\n\r\nhi"));
    let added = process.ctl(&["add", r#"{"id": "x", "fault": "status-503"}"#]);
    assert_eq!(stdout(&added), "added status-503@x\n", "{}", stderr(&added));
    assert!(process.connect().starts_with("HTTP/1.1 503 "));
    process.ctl(&["disarm", "x"]);
    assert!(process.connect().ends_with("\r\n\r\nhi"));
    assert!(stdout(&process.ctl(&["list"])).contains("\"armed\": false"));
    assert_eq!(stdout(&process.ctl(&["counters"])), "{\n  \"x\": 1\n}\n");
    assert!(stdout(&process.ctl(&["journal"])).contains(r#""faults":["status-503@x"]"#));

    let refused = process.ctl(&["add", r#"{"fault": "statu-503"}"#]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("did you mean \"status-503\"?"), "{}", stderr(&refused));

    kill_process(Pid::from_raw(process.child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert!(process.child.wait().unwrap().success());
    let mut log = String::new();
    process.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("plan: added status-503@x"), "{log}");
}

#[test]
fn the_catalogue_is_printed_as_text_and_json() {
    let text = stdout(&run(&["catalogue"]));
    let json: serde_json::Value = serde_json::from_slice(&run(&["catalogue", "--json"]).stdout).unwrap();
    let names: Vec<&str> = json.as_array().unwrap().iter().map(|fault| fault["name"].as_str().unwrap()).collect();
    assert_eq!(names, crate::support::every_fault());
    assert!(names.iter().all(|name| text.contains(&format!("  {name} "))), "{text}");
}

#[test]
fn wrong_words_and_wrong_plans_end_it_with_the_code_for_that() {
    let plan = std::env::temp_dir().join(format!("faulty-plan-{}.json", std::process::id()));
    std::fs::write(&plan, r#"{"faults": [{"fault": "cut", "with": {"afer": 1}}]}"#).unwrap();
    let bad = run(&["--plan", plan.to_str().unwrap()]);
    std::fs::remove_file(&plan).unwrap();
    assert_eq!(bad.status.code(), Some(78));
    assert!(
        stderr(&bad).contains("json: faults[0].with.afer: no such setting; did you mean \"after\"?"),
        "{}",
        stderr(&bad)
    );

    let rate = run(&["-fault-type", "slow", "-failure-rate", "2"]);
    assert_eq!(rate.status.code(), Some(78), "{}", stderr(&rate));
    assert_eq!(run(&["-fault-type", "wrong"]).status.code(), Some(64));
    let unreachable = run(&["ctl", "--admin", "127.0.0.1:1", "list"]);
    assert_eq!(unreachable.status.code(), Some(1));
    assert!(stderr(&unreachable).contains("--admin-port"), "{}", stderr(&unreachable));
    assert!(run(&["-help"]).status.success());
}

#[test]
fn it_speaks_tls_and_gives_the_certificate_of_its_authority() {
    let process = Process::start(&["--tls", "upstream.test"]);
    assert!(!process.connect().starts_with("HTTP"), "an alert, since no ClientHello came");
    let mut admin = TcpStream::connect(&process.admin).unwrap();
    admin.write_all(b"GET /tls.pem HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    admin.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(mock_upstreams::tls::authority_pem().unwrap()), "{answer}");
    let refused = run(&["--port", "0", "--admin-port", "0", "--tls", "kein\u{e4}"]);
    assert!(stderr(&refused).contains("--tls: "), "{}", stderr(&refused));
}
