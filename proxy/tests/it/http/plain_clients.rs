//! Tests real clients through the proxy to real servers, which the mock upstream dials.

use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Double, TestProxy, run};

/// Runs a program that no proxy setting of the machine reaches.
async fn output(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn plain(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in ["http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

fn curl(proxy: &TestProxy) -> Command {
    let mut command = plain("curl");
    command.args(["--silent", "--show-error", "--fail", "--proxy", &format!("http://{}", proxy.addr)]);
    command
}

fn megabytes() -> Vec<u8> {
    (0..4 * 1024 * 1024).map(|n: u32| (n % 253) as u8).collect()
}

#[test]
fn curl_downloads_and_uploads() {
    run(async {
        let (mock, _journal) = Double::mock("m").await;
        let proxy = TestProxy::before(&[mock.addr]).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("upload");
        std::fs::write(&file, megabytes()).unwrap();

        let got = output(curl(&proxy).args(["http://http.mock/bytes/100000", "http://http.mock/chunked/5000"])).await;
        assert_eq!(got.stdout.len(), 105_000);
        let got = output(curl(&proxy).arg("-T").arg(&file).arg("http://http.mock/echo")).await;
        assert!(got.stdout == megabytes(), "PUT with Content-Length");
        let mut chunked = curl(&proxy);
        chunked.args(["-H", "Transfer-Encoding: chunked", "-T"]).arg(&file).arg("http://http.mock/echo");
        assert!(output(&mut chunked).await.stdout == megabytes(), "PUT in chunks");
        let mut expects = curl(&proxy);
        expects.args(["-H", "Expect: 100-continue", "--expect100-timeout", "30", "--data-binary"]);
        expects.arg(format!("@{}", file.display())).arg("http://http.mock/echo");
        assert!(output(&mut expects).await.stdout == megabytes(), "POST that expects 100");
        let head = output(curl(&proxy).args(["--head", "http://http.mock/bytes/7"])).await;
        assert!(String::from_utf8(head.stdout).unwrap().to_ascii_lowercase().contains("content-length: 7\r\n"));
    });
}

#[test]
fn urllib_asks_through_us() {
    run(async {
        let (mock, _journal) = Double::mock("m").await;
        let proxy = TestProxy::before(&[mock.addr]).await;
        let script = "import sys, urllib.request as r\n\
                      o = r.build_opener(r.ProxyHandler({'http': sys.argv[1]}))\n\
                      assert o.open('http://http.mock/ip').read() == b'm\\n'\n\
                      assert o.open('http://http.mock/echo', data=b'x' * 70000).read() == b'x' * 70000\n";
        output(plain("python3").args(["-c", script, &format!("http://{}", proxy.addr)])).await;
    });
}

/// A web server of `directory` on a port of its own choice.
async fn web_server(directory: &std::path::Path) -> (Child, u16) {
    let script = "import functools, http.server as h, sys\n\
                  s = h.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(h.SimpleHTTPRequestHandler, directory=sys.argv[1]))\n\
                  print(s.server_port, flush=True)\n\
                  s.serve_forever()\n";
    let mut command = plain("python3");
    command.arg("-c").arg(script).arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    (child, line.trim().parse().unwrap())
}

#[test]
fn git_clones_from_a_plain_web_server() {
    run(async {
        let (mock, journal) = Double::mock("m").await;
        let proxy = TestProxy::before(&[mock.addr]).await;
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let git = |place: &str| {
            let mut command = plain("git");
            command.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", directory.path()).env("GIT_TERMINAL_PROMPT", "0");
            command.args(["-c", "user.name=t", "-c", "user.email=t@a.test", "-C"]).arg(at(place));
            command
        };
        std::fs::create_dir(at("work")).unwrap();
        std::fs::write(at("work").join("file"), megabytes()).unwrap();
        output(git("work").args(["init", "--quiet"])).await;
        output(git("work").args(["add", "file"])).await;
        output(git("work").args(["commit", "--quiet", "-m", "one"])).await;
        output(git("").args(["clone", "--quiet", "--bare", "work", "bare.git"])).await;
        output(git("bare.git").arg("update-server-info")).await;

        let (_server, port) = web_server(directory.path()).await;
        let mut clone = git("");
        clone.env("http_proxy", format!("http://{}", proxy.addr));
        output(clone.args(["clone", "--quiet", &format!("http://127.0.0.1:{port}/bare.git"), "copy"])).await;
        assert!(std::fs::read(at("copy").join("file")).unwrap() == megabytes());
        assert!(journal.counts().completed > 3, "through the upstream");
    });
}
