//! Tests the drain: the proxy is unready first, then it closes, then it resets.

use std::io::ErrorKind;
use std::sync::Arc;

use proxy::core::attribution::Blame;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::support::{Double, Heard, Memory, TestProxy, config, parse, run, run_paused};
use crate::tunnels::timing::{addr, connect, millis, opening, secs, with_timeouts};

/// A proxy in front of a mock that drains with these settings.
async fn before_mock(delay: &str, timeout: &str) -> Arc<TestProxy> {
    let (upstream, _) = Double::mock("a").await;
    Arc::new(before(upstream.addr, delay, timeout).await)
}

async fn before(upstream: std::net::SocketAddr, delay: &str, timeout: &str) -> TestProxy {
    let mut json = config(&[upstream]);
    json["server"]["drain_delay"] = json!(delay);
    json["server"]["drain_timeout"] = json!(timeout);
    TestProxy::start(json).await
}

/// Begins to drain; returns once it has begun.
async fn drain(proxy: &Arc<TestProxy>) -> JoinHandle<usize> {
    let draining = Arc::clone(proxy);
    let task = tokio::spawn(async move { draining.proxy.drain().await });
    proxy.ear.wait(|heard| matches!(heard, Heard::DrainStarted).then_some(())).await;
    task
}

async fn get(proxy: &TestProxy, target: &str) -> (String, Vec<u8>) {
    let mut client = proxy.client().await;
    client.send(format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.addr)).await;
    let (head, body) = client.response().await;
    if head.contains("Connection: close") {
        assert_eq!(client.rest().await.unwrap(), b"", "closed as was said");
    }
    (head, body)
}

#[test]
fn the_first_phase_serves_on_and_says_that_it_closes() {
    run(async {
        let proxy = before_mock("1h", "1h").await;
        let mut idle = proxy.client().await;
        let (head, _) = get(&proxy, "/readyz").await;
        assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("Connection: close"), "{head}");
        let drain = drain(&proxy).await;
        let (head, body) = get(&proxy, "/readyz").await;
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Connection: close"), "{head}");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({ "ready": false, "reason": "draining" }));
        let (head, body) = get(&proxy, "/healthz").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["status"], "draining");
        let (head, body) = get(&proxy, "http://http.mock/ip").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
        assert_eq!(body, b"a\n");
        // Also one that was there before.
        idle.send("GET http://http.mock/ip HTTP/1.1\r\nHost: http.mock\r\n\r\n").await;
        let (head, _) = idle.response().await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.to_ascii_lowercase().contains("connection: close"), "{head}");
        let mut tunnel = proxy.tunnel("echo.mock:80").await;
        tunnel.send("x").await;
        assert_eq!(tunnel.exactly(1).await, b"x");
        assert!(!drain.is_finished());
    });
}

#[test]
fn the_second_phase_closes_idle_clients_and_lets_tunnels_finish() {
    run(async {
        let proxy = before_mock("0s", "1h").await;
        let mut tunnel = proxy.tunnel("echo.mock:80").await;
        let mut fresh = proxy.client().await;
        let mut kept = proxy.client().await;
        kept.send("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
        kept.response().await;
        let drain = drain(&proxy).await;
        assert_eq!(fresh.rest().await.unwrap(), b"");
        assert_eq!(kept.rest().await.unwrap(), b"");
        tunnel.send("still here").await;
        assert_eq!(tunnel.exactly(10).await, b"still here");
        assert!(!drain.is_finished(), "the tunnel is waited for");
        tunnel.finish().await;
        assert_eq!(tunnel.rest().await.unwrap(), b"");
        assert_eq!(drain.await.unwrap(), 0);
        assert_eq!(proxy.ear.heard().last(), Some(&Heard::Drained { reset: 0 }));
        let refused = TcpStream::connect(proxy.addr).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_request_that_seeks_its_upstream_is_finished() {
    run(async {
        let (asked, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (Arc::clone(&asked), Arc::clone(&answer));
        let upstream = Double::scripted(move |_, mut peer| {
            let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
            async move {
                peer.head().await;
                tell.notify_one();
                wait.notified().await;
                peer.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
                peer.finish().await;
                peer.rest().await.unwrap();
            }
        })
        .await;
        let proxy = Arc::new(before(upstream.addr, "0s", "1h").await);
        let mut client = proxy.client().await;
        client.send("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await;
        asked.notified().await;
        let drain = drain(&proxy).await;
        answer.notify_one();
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(client.exactly(5).await, b"hello");
        client.finish().await;
        assert_eq!(drain.await.unwrap(), 0);
    });
}

#[test]
fn what_is_left_at_the_deadline_is_reset_and_counted() {
    run(async {
        let proxy = before_mock("0s", "1ms").await;
        let mut left = [proxy.tunnel("echo.mock:80").await, proxy.tunnel("echo.mock:80").await];
        // A head that never ends is left as well; a client between requests is not.
        let mut half = proxy.client().await;
        half.send("GET /hea").await;
        let mut idle = proxy.client().await;
        idle.send("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
        idle.response().await;
        // All are accepted, and the half head read, once a later one is served.
        proxy.stats().await;
        let drain = drain(&proxy).await;
        for tunnel in &mut left {
            assert_eq!(tunnel.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        assert_eq!(half.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(drain.await.unwrap(), 3);
        let heard = proxy.ear.heard();
        assert_eq!(heard.last(), Some(&Heard::Drained { reset: 3 }));
        let stopped = heard.iter().filter(|one| match one {
            Heard::Finished(summary) => summary.end.is_some_and(|end| end.as_str() == "stopped"),
            _ => false,
        });
        assert_eq!(stopped.count(), 2, "the log says why they ended");
    });
}

#[test]
fn a_request_cut_at_the_deadline_is_our_fault_not_the_clients() {
    run(async {
        let asked = Arc::new(Notify::new());
        let tell = Arc::clone(&asked);
        let upstream = Double::scripted(move |_, mut peer| {
            let tell = Arc::clone(&tell);
            async move {
                peer.head().await;
                tell.notify_one();
                // Silent for as long as it is asked.
                let _ = peer.rest().await;
            }
        })
        .await;
        let proxy = Arc::new(before(upstream.addr, "0s", "1ms").await);
        let mut client = proxy.client().await;
        client.send("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await;
        asked.notified().await;
        assert_eq!(drain(&proxy).await.await.unwrap(), 1);
        assert_eq!(client.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.outcome, summary.blame), ("drain_deadline", Some(Blame::Netdrift)));
    });
}

#[test]
fn with_nobody_there_it_ends_at_once() {
    run(async {
        // If it waited for anything the watchdog would end it.
        let proxy = before_mock("0s", "1h").await;
        assert_eq!(drain(&proxy).await.await.unwrap(), 0);
    });
}

#[test]
fn a_client_whose_head_is_still_on_the_way_when_the_proxy_closes_is_answered() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), std::time::Duration::ZERO, opening).await;
        let (proxy, _) = net.start(parse(&with_timeouts(&[addr(1)], json!({ "header": "30s" })))).await;
        let (mut late, mut silent) = (net.client(), net.client());
        // Accepted before anything is closed.
        tokio::time::sleep(millis(1)).await;
        let begun = net.elapsed();
        let client = async {
            tokio::time::sleep(millis(900)).await;
            assert_eq!(connect(&mut late).await, 200);
            late.finish().await;
            let _ = late.rest().await;
            assert_eq!(silent.rest().await.unwrap(), b"");
            assert_eq!(net.elapsed() - begun, secs(1), "who says nothing is not waited for any longer");
        };
        let (reset, ()) = tokio::join!(proxy.drain(), client);
        assert_eq!(reset, 0);
    });
}
