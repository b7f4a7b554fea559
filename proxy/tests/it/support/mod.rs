//! Provides a proxy in this process, upstreams behind it, and a client that shows every byte.

mod client;
mod ear;
mod memory;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy::Proxy;
use proxy::config::{Config, Lookup};
use proxy::env::os::Os;
use serde_json::{Value, json};

pub(crate) use client::Client;
pub(crate) use ear::{Ear, Heard};
pub(crate) use memory::{Memory, run_paused};
pub(crate) use upstream::{Double, Peer};

/// Ends a test that hangs. Nothing is measured by it, so it is generous.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// Runs a test on a runtime of its own with the watchdog.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(WATCHDOG, test).await.expect("the watchdog: something hangs") });
    // Tasks that serve for ever end with the test.
    runtime.shutdown_background();
}

/// A proxy under test.
pub(crate) struct TestProxy {
    pub(crate) proxy: Proxy<Os>,
    pub(crate) addr: SocketAddr,
    pub(crate) ear: Ear,
}

/// Reads no environment.
struct FilesAlone;

impl Lookup for FilesAlone {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &str) -> std::io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

/// The configuration as the proxy reads it.
pub(crate) fn parse(json: &Value) -> Config {
    proxy::config::parse("test.json", json.to_string().as_bytes(), &FilesAlone)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// A configuration with these upstreams, each of weight 1, on a free port, without authentication.
pub(crate) fn config(upstreams: &[SocketAddr]) -> Value {
    let upstreams: Vec<Value> = upstreams.iter().map(|addr| json!({ "url": format!("http://{addr}") })).collect();
    json!({
        "server": { "listen_address": "127.0.0.1:0", "pid_file": "" },
        "upstream_proxies": upstreams,
    })
}

impl TestProxy {
    /// Starts one with `config`.
    pub(crate) async fn start(config: Value) -> Self {
        Self::with(parse(&config)).await
    }

    /// Starts one with a configuration that was read elsewhere.
    pub(crate) async fn with(config: Config) -> Self {
        let ear = Ear::default();
        let proxy = Proxy::start(config, Os::new(), Arc::new(ear.clone())).await.unwrap();
        TestProxy { addr: proxy.local_addr(), proxy, ear }
    }

    /// Starts one in front of `upstreams`, else by default.
    pub(crate) async fn before(upstreams: &[SocketAddr]) -> Self {
        Self::start(config(upstreams)).await
    }

    /// A connected client.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.addr).await
    }

    /// A client that has asked for a tunnel to `target` and read nothing yet.
    pub(crate) async fn asked(&self, target: &str) -> Client {
        let mut client = self.client().await;
        client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
        client
    }

    /// A client whose tunnel to `target` is open.
    pub(crate) async fn tunnel(&self, target: &str) -> Client {
        let mut client = self.asked(target).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client
    }

    /// The statistics page as JSON.
    pub(crate) async fn stats(&self) -> Value {
        let mut client = self.client().await;
        client.send(format!("GET /stats HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.addr)).await;
        let (head, body) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        serde_json::from_slice(&body).unwrap()
    }
}
