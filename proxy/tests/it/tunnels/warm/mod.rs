//! Tests connections that are opened before a CONNECT asks for one.

mod ends;
mod opening;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proxy::Proxy;
use proxy::testing::{MemoryEnv, MemoryStream};
use serde_json::{Value, json};

use super::timing::{addr, connect, millis, with_timeouts};
use crate::support::{Client, Ear, Heard, Memory, parse};

const OK: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// A proxy in memory whose only upstream is a connection away for 100 ms, and what that has seen.
struct Scene {
    net: Memory,
    proxy: Proxy<MemoryEnv>,
    ear: Ear,
    config: Value,
    seen: Seen,
}

/// How many connections the upstream has seen, and how many are open.
#[derive(Clone, Default)]
struct Seen {
    all: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Seen {
    fn all(&self) -> usize {
        self.all.load(Ordering::SeqCst)
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Opens every tunnel, and leaves its end to the client.
async fn good(mut peer: Client<MemoryStream>, _: usize) {
    if peer.next_head().await.is_some() {
        peer.send(OK).await;
        let _ = peer.rest().await;
    }
}

impl Scene {
    /// With these `warm_connections`; each connection is served by `script`, with its number from 1.
    async fn of<F, Fut>(warm: Value, script: F) -> Self
    where
        F: Fn(Client<MemoryStream>, usize) -> Fut + Send + Clone + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (net, seen) = (Memory::default(), Seen::default());
        let counts = seen.clone();
        let counted = move |peer: Client<MemoryStream>| {
            let (counts, script) = (counts.clone(), script.clone());
            async move {
                let number = counts.all.fetch_add(1, Ordering::SeqCst) + 1;
                counts.open.fetch_add(1, Ordering::SeqCst);
                script(peer, number).await;
                counts.open.fetch_sub(1, Ordering::SeqCst);
            }
        };
        net.serve(addr(1), millis(100), counted).await;
        let mut config = with_timeouts(&[addr(1)], json!({}));
        if !warm.is_null() {
            config["upstream_proxies"][0]["warm_connections"] = warm;
        }
        let (proxy, ear) = net.start(parse(&config)).await;
        Scene { net, proxy, ear, config, seen }
    }

    async fn good(warm: Value) -> Self {
        Scene::of(warm, good).await
    }

    /// Opens a tunnel, and returns it and how long that took.
    async fn tunnel(&self) -> (Client<MemoryStream>, Duration) {
        let began = self.net.elapsed();
        let mut client = self.net.client();
        assert_eq!(connect(&mut client).await, 200);
        (client, self.net.elapsed() - began)
    }

    fn reload(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.config.clone();
        change(&mut config);
        self.proxy.reload(parse(&config)).unwrap();
    }

    /// Asserts that no attempt failed, and that nobody was blamed.
    fn nothing_failed(&self) {
        for heard in self.ear.heard() {
            assert!(!matches!(heard, Heard::Blamed { .. } | Heard::Attempt { failure: Some(_), .. }), "{heard:?}");
        }
    }
}
