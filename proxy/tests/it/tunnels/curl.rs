//! Tests with real clients: curl and Python, with a real TLS server behind the tunnel.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::{Client, Double, TestProxy, config, run};
use crate::upstreams::tls::Certificates;

/// In hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Large enough to stream, odd enough to show a lost block.
const BYTES: usize = 5_000_001;

fn content() -> Vec<u8> {
    mock_upstreams::targets::pattern(7, BYTES).to_vec()
}

/// A TLS server that answers GET with [`content`] and anything else with the SHA-256 of its body.
async fn server(certificates: &Certificates) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = certificates.acceptor();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let mut peer = Client::on(stream);
                let head = peer.head().await;
                let lower = head.to_ascii_lowercase();
                assert!(!lower.contains("proxy-"), "{head}");
                let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if lower.contains("expect: 100-continue") {
                    peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
                }
                let body = match length {
                    Some(length) => sha256(&peer.exactly(length).await).into_bytes(),
                    None => content(),
                };
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()))
                    .await;
                peer.send(body).await;
                let _ = peer.stream.shutdown().await;
                let _ = peer.stream.read(&mut [0]).await;
            });
        }
    });
    addr
}

/// A proxy that asks for `me:pass word`, in front of a mock upstream that dials real targets.
async fn proxy() -> TestProxy {
    let (upstream, _) = Double::mock("a").await;
    let mut config = config(&[Double::refusing().await, upstream.addr]);
    config["authentication"] = json!({ "enabled": true, "users": [{ "username": "me", "password": "pass word" }] });
    TestProxy::start(config).await
}

/// Runs a program that the tests need, in `folder`.
async fn program(name: &str, arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(folder).kill_on_drop(true);
    // Whatever proxies this machine is set up with are not meant here.
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_ascii_uppercase());
    }
    command.output().await.unwrap_or_else(|error| panic!("this test needs the program {name}: {error}"))
}

/// Runs curl through the proxy and returns what it printed.
async fn curl(proxy: &TestProxy, user: &str, arguments: &[&str], folder: &Path) -> Output {
    let through = format!("http://{user}@{}", proxy.addr);
    let mut all = vec!["-q", "-sS", "--cacert", "ca.pem", "-x", &through];
    all.extend(arguments);
    program("curl", &all, folder).await
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn curl_downloads_and_uploads_over_tls_by_checksum() {
    run(async {
        let certificates = Certificates::new();
        let server = server(&certificates).await;
        let proxy = proxy().await;
        let folder = certificates.folder();
        let url = format!("https://localhost:{}/", server.port());

        let output = curl(&proxy, "me:pass%20word", &["-o", "down", &url], folder).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(sha256(&std::fs::read(certificates.path("down")).unwrap()), sha256(&content()));

        std::fs::write(certificates.path("up"), content()).unwrap();
        let output = curl(&proxy, "me:pass%20word", &["-T", "up", &url], folder).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), sha256(&content()));

        for number in 1..=2 {
            let summary = proxy.ear.finished(number).await;
            assert_eq!((summary.user.as_deref(), summary.outcome), (Some("me"), "ok"));
        }
    });
}

#[test]
fn curl_hears_of_a_wrong_password_and_of_a_dead_target() {
    run(async {
        let certificates = Certificates::new();
        let proxy = proxy().await;
        let folder = certificates.folder();
        let code = ["-o", "out", "-w", "%{http_connect}"];

        let output = curl(&proxy, "me:wrong", &[&code[..], &["https://localhost:1/"]].concat(), folder).await;
        assert_eq!((output.status.success(), text(&output.stdout)), (false, "407"));

        let output = curl(&proxy, "me:pass%20word", &[&code[..], &["https://dead.mock/"]].concat(), folder).await;
        assert_eq!((output.status.success(), text(&output.stdout)), (false, "502"));
    });
}

/// A server that is not ours at all: openssl's.
#[test]
fn curl_reaches_openssls_own_server() {
    run(async {
        let certificates = Certificates::new();
        let mut server = Command::new("openssl")
            .args(["s_server", "-www", "-cert", "leaf.pem", "-key", "leaf.key", "-accept", "127.0.0.1:0"])
            .current_dir(certificates.folder())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("this test needs the program openssl: {error}"));
        // It says where once it listens.
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = loop {
            let line = said.next_line().await.unwrap().expect("openssl s_server says where it listens");
            if let Some(addr) = line.strip_prefix("ACCEPT ") {
                break addr.trim().parse::<SocketAddr>().unwrap().port();
            }
        };
        let proxy = proxy().await;
        let url = format!("https://localhost:{port}/");
        let output = curl(&proxy, "me:pass%20word", &[&url], certificates.folder()).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("s_server"));
        server.kill().await.unwrap();
    });
}

#[test]
fn pythons_urllib_goes_through_as_well() {
    const SCRIPT: &str = "
import hashlib, ssl, sys, urllib.request
proxy, url = sys.argv[1:]
context = ssl.create_default_context(cafile='ca.pem')
handlers = urllib.request.ProxyHandler({'https': proxy}), urllib.request.HTTPSHandler(context=context)
opener = urllib.request.build_opener(*handlers)
down = opener.open(url).read()
print(hashlib.sha256(down).hexdigest())
print(opener.open(url, data=down).read().decode())
";
    run(async {
        let certificates = Certificates::new();
        let server = server(&certificates).await;
        let proxy = proxy().await;
        let through = format!("http://me:pass%20word@{}", proxy.addr);
        let url = format!("https://localhost:{}/", server.port());
        let output = program("python3", &["-c", SCRIPT, &through, &url], certificates.folder()).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        let sum = sha256(&content());
        assert_eq!(text(&output.stdout).lines().collect::<Vec<_>>(), [&sum, &sum]);
    });
}
