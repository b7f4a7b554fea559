//! Runs the real binary in a process of its own, and reads its log.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

use crate::support::Client;

/// A running proxy; killed when dropped.
pub(crate) struct Binary {
    pub(crate) addr: SocketAddr,
    pub(crate) folder: TempDir,
    child: Child,
    log: Log,
}

/// What a process has written to standard error.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Vec<String>>, Notify)>);

impl Log {
    fn push(&self, line: String) {
        self.0.0.lock().unwrap().push(line);
        self.0.1.notify_waiters();
    }

    async fn wait<T>(&self, matches: impl Fn(&str) -> Option<T>) -> T {
        loop {
            let more = self.0.1.notified();
            let mut more = std::pin::pin!(more);
            more.as_mut().enable();
            if let Some(found) = self.0.0.lock().unwrap().iter().find_map(|line| matches(line)) {
                return found;
            }
            more.await;
        }
    }
}

impl Binary {
    /// Starts it with `config`, which has to ask for the log level "info" or finer.
    pub(crate) async fn start(config: &Value) -> Self {
        Self::start_as(config, |binary, _| Command::new(binary)).await
    }

    /// As [`Binary::start`], with a command of the caller's that ends in running the binary it is given, and passes
    /// its arguments on; it runs in the folder it is given.
    pub(crate) async fn start_as(config: &Value, command: impl FnOnce(&str, &Path) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut child = command(env!("CARGO_BIN_EXE_proxy"), folder.path())
            .arg("--config")
            .arg(&path)
            .env_remove("PROXY_CONFIG")
            .env("NO_COLOR", "1")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Log::default();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        tokio::spawn({
            let log = log.clone();
            async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    log.push(line);
                }
            }
        });
        let addr = log.wait(listening).await;
        Binary { addr, folder, child, log }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// A connected client.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.addr).await
    }

    /// Every line that it has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.0.0.lock().unwrap().clone()
    }

    /// Waits for a line with `text` in it.
    pub(crate) async fn logged(&self, text: &str) {
        self.log.wait(|line| line.contains(text).then_some(())).await;
    }

    /// Descriptors that it holds.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Asks it to drain and waits for its end.
    pub(crate) async fn stop(&mut self) {
        let killed = std::process::Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().unwrap();
        assert!(killed.success());
        assert!(self.child.wait().await.unwrap().success());
    }
}

/// The address in the line that says where it listens, as text or JSON.
fn listening(line: &str) -> Option<SocketAddr> {
    let behind = line.split_once("listen=").or_else(|| line.split_once("\"listen\":\""))?.1;
    behind.split([' ', '"']).next()?.parse().ok()
}

/// The statistics over a connection that stays open, so that asking does not change what is counted.
pub(crate) async fn stats(client: &mut Client, addr: SocketAddr) -> Value {
    client.send(format!("GET /stats HTTP/1.1\r\nHost: {addr}\r\n\r\n")).await;
    let (head, body) = client.response().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    serde_json::from_slice(&body).unwrap()
}

/// Asks until the client that asks is the only one left. Sockets close when they close; nothing tells of it.
pub(crate) async fn settled(client: &mut Client, addr: SocketAddr) {
    while stats(client, addr).await["open_connections"] != 1 {
        tokio::task::yield_now().await;
    }
}
