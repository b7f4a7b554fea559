//! Tests the binary: ports, PID files, clean stop, errors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mock-upstreams-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Killed when dropped, should a test fail halfway.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("mock-upstreams"));
    command.current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn it_says_where_it_listens_keeps_pid_files_and_stops_cleanly() {
    let scratch = Scratch::new("run");
    let mut process = Process(command(&scratch.0).args(["0", "0", "--journal", "journal.jsonl"]).spawn().unwrap());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let addresses: Vec<String> = (0..2)
        .map(|_| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix("listening on ").unwrap().split(' ').next().unwrap().to_owned()
        })
        .collect();
    let pid = process.0.id();
    for address in &addresses {
        let port = address.rsplit(':').next().unwrap();
        let file = scratch.0.join(format!("test-proxy-{port}.pid"));
        assert_eq!(std::fs::read_to_string(file).unwrap(), format!("{pid}\n"));

        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET http://x.http.mock/ip HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    // An open tunnel does not hold the stop back.
    let mut tunnel = TcpStream::connect(&addresses[0]).unwrap();
    tunnel.write_all(b"CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock\r\n\r\n").unwrap();
    let mut head = [0; 39];
    tunnel.read_exact(&mut head).unwrap();

    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert!(process.0.wait().unwrap().success());
    let left: Vec<_> = std::fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["journal.jsonl"]);
    let journal = std::fs::read_to_string(scratch.0.join("journal.jsonl")).unwrap();
    assert_eq!(journal.lines().filter(|line| line.contains(r#""event":"request""#)).count(), 3, "{journal}");
}

#[test]
fn built_in_targets_stand_by_themselves() {
    let scratch = Scratch::new("targets");
    let words = ["--target", "echo=0", "--target", "http=0", "--target", "n3.source=0"];
    let mut process = Process(command(&scratch.0).args(words).spawn().unwrap());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let mut address = |name: &str| {
        let line = lines.next().unwrap().unwrap();
        line.strip_prefix("listening on ").unwrap().strip_suffix(name).unwrap().trim_end().to_owned()
    };
    let mut ask = |name: &str, bytes: &[u8]| {
        let mut client = TcpStream::connect(address(name)).unwrap();
        client.write_all(bytes).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        answer
    };
    assert_eq!(ask("echo.mock", b"hello"), b"hello");
    let page = ask("http.mock", b"GET /ip HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(page.ends_with(b"\r\n\r\nhttp.mock\n"), "{page:?}");
    assert_eq!(ask("n3.source.mock", b""), [0, 1, 2]);
    kill_process(Pid::from_raw(process.0.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert!(process.0.wait().unwrap().success());
}

#[test]
fn wrong_words_and_wrong_files_end_it_with_the_code_for_that() {
    let scratch = Scratch::new("wrong");
    std::fs::write(scratch.0.join("bad.json"), r#"{"upstreams": [{"port": 1, "latency": "x"}]}"#).unwrap();
    for (words, code, said) in [
        (vec!["70000"], 64, "70000"),
        (vec!["--auth", "nobody"], 64, "USER:PASSWORD"),
        (vec!["--config", "bad.json"], 78, "bad.json: upstreams[0].latency"),
        (vec!["--config", "missing.json"], 78, "missing.json"),
        (vec!["0", "--pid-dir", "no/such/place"], 1, "no/such/place"),
    ] {
        let output = command(&scratch.0).args(&words).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        assert!(stderr.contains(said), "{words:?}: {stderr}");
    }
}

#[test]
fn help_in_the_originals_spelling() {
    let scratch = Scratch::new("help");
    let output = command(&scratch.0).arg("-help").output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("Usage: mock-upstreams"));
}
