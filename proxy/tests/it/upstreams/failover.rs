//! Tests failover inside a CONNECT, and what the client is told when nothing is left to try.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use mock_upstreams::{Journal, Settings, Upstream};
use proxy::core::attribution::Blame;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Client, Double, Heard, TestProxy, config, run};

/// An upstream that fails every CONNECT in one way, and the word for it.
async fn failing(how: &'static str) -> SocketAddr {
    let double = match how {
        "connect_refused" => return Double::refusing().await,
        "closed_before_head" => Double::scripted(|_, mut peer| async move { drop(peer.head().await) }).await,
        "reset_before_head" => {
            Double::scripted(|_, mut peer| async move {
                peer.head().await;
                peer.reset();
            })
            .await
        }
        "reply_timeout" => {
            Double::scripted(|_, mut peer| async move {
                peer.head().await;
                let _ = peer.rest().await;
            })
            .await
        }
        "malformed_head" => Double::replying("220 mail.test ESMTP\r\n").await,
        "status_407" => Double::replying("HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n").await,
        "status_4xx" => Double::replying("HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno\n").await,
        "status_5xx" => Double::replying("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await,
        _ => panic!("no such failure: {how}"),
    };
    double.addr
}

/// All but silence, which takes time: see `timing`.
const FAILURES: [&str; 7] = [
    "connect_refused",
    "closed_before_head",
    "reset_before_head",
    "malformed_head",
    "status_407",
    "status_4xx",
    "status_5xx",
];

#[test]
fn every_failing_upstream_in_front_of_a_good_one_costs_the_client_nothing() {
    run(async {
        for how in FAILURES {
            let (good, journal) = Double::mock("good").await;
            let proxy = TestProxy::before(&[failing(how).await, good.addr]).await;
            let mut attempts = 0;
            // Enough for the failing one to be first, and to be ejected or not.
            for _ in 0..8 {
                let mut client = proxy.asked("echo.mock:80").await;
                // Our own success and nothing before it.
                assert_eq!(client.head().await, "HTTP/1.1 200 Connection established\r\n\r\n", "{how}");
                client.send("hello").await;
                client.finish().await;
                assert_eq!(client.rest().await.unwrap(), b"hello", "{how}");
            }
            for number in 1..=8 {
                let summary = proxy.ear.finished(number).await;
                assert_eq!((summary.status, summary.outcome), (200, "ok"), "{how}");
                assert!(summary.failed_attempts.iter().all(|one| one.failure == how), "{how}: {summary:?}");
                attempts += summary.failed_attempts.len();
            }
            assert_eq!(attempts, 3, "{how}: ejected at the third failure");
            assert_eq!(journal.until(|counts| counts.completed == 8).await.requests, 8, "{how}");
            let stats = proxy.stats().await;
            assert_eq!(
                (&stats["total"]["failed_requests"], &stats["total"]["success_requests"]),
                (&0.into(), &8.into())
            );
        }
    });
}

#[test]
fn a_chain_of_different_failures_is_walked_to_its_end() {
    run(async {
        let mut upstreams = Vec::new();
        for how in FAILURES {
            upstreams.push(failing(how).await);
        }
        let (good, _) = Double::mock("good").await;
        upstreams.push(good.addr);
        let mut config = config(&upstreams);
        config["failover"] = json!({ "max_attempts": upstreams.len() });
        let proxy = TestProxy::start(config).await;
        let mut most = 0;
        for number in 1..=upstreams.len() {
            let mut client = proxy.tunnel("echo.mock:80").await;
            client.finish().await;
            client.rest().await.unwrap();
            let summary = proxy.ear.finished(number).await;
            // Nobody is asked twice.
            let mut asked: Vec<_> = summary.failed_attempts.iter().map(|one| one.attempt.upstream.id).collect();
            asked.extend(summary.upstream().iter().map(|label| label.id));
            asked.sort();
            asked.dedup();
            assert_eq!(asked.len() as u32, summary.attempts);
            most = most.max(summary.attempts);
        }
        assert!(most > 1, "nobody had to fail over");
    });
}

/// The response to a CONNECT that nothing could be done for, with all that holds for each of them.
async fn refusal(upstreams: &[&'static str]) -> (String, crate::support::Ear) {
    let mut addrs = Vec::new();
    for how in upstreams {
        addrs.push(failing(how).await);
    }
    let mut config = config(&addrs);
    // Only where the only way to fail is to be late.
    let silent = upstreams.contains(&"reply_timeout");
    config["timeouts"] = json!({ "reply": if silent { "50ms" } else { "30s" } });
    let proxy = TestProxy::start(config).await;
    let mut client = proxy.asked("a.test:80").await;
    let head = client.head().await;
    let body = String::from_utf8(client.rest().await.unwrap()).unwrap();
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    assert!(body.starts_with("netdrift: ") && body.ends_with('\n') && body.len() < 120, "{body}");
    let attempts = format!("details=\"{} attempt{}\"", upstreams.len(), if upstreams.len() == 1 { "" } else { "s" });
    assert!(head.contains("\r\nProxy-Status: netdrift; ") && head.contains(&attempts), "{head}");
    let summary = proxy.ear.finished(1).await;
    assert_eq!(summary.failed_attempts.len(), upstreams.len());
    assert!(head.starts_with(&format!("HTTP/1.1 {} ", summary.status)), "{head}");
    let stats = proxy.stats().await;
    assert_eq!((&stats["total"]["failed_requests"], &stats["total"]["success_requests"]), (&1.into(), &0.into()));
    (head, proxy.ear)
}

#[test]
fn when_everything_fails_the_client_hears_what_and_how_often() {
    run(async {
        for (upstreams, status, why) in [
            (&["connect_refused"][..], 502, "error=connection_refused"),
            (&["connect_refused", "connect_refused", "connect_refused"], 502, "error=connection_refused"),
            (&["closed_before_head", "closed_before_head"], 502, "error=connection_terminated"),
            (&["reset_before_head", "reset_before_head"], 502, "error=connection_terminated"),
            (&["reply_timeout", "reply_timeout"], 504, "error=http_response_timeout"),
            (&["malformed_head", "malformed_head"], 502, "error=http_protocol_error"),
            // RFC 9209: http_request_denied is for what was not passed on.
            (&["status_407", "status_407"], 502, "error=proxy_configuration_error; received-status=407"),
            (&["status_5xx", "status_5xx"], 502, "error=destination_unavailable; received-status=502"),
            // One voice alone can't tell the target from the upstream; two alike are the target's.
            (&["status_4xx"], 502, "received-status=403"),
            (&["status_4xx", "status_4xx"], 403, "received-status=403"),
        ] {
            let (head, _) = refusal(upstreams).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{upstreams:?}: {head}");
            assert!(head.contains(&format!("Proxy-Status: netdrift; {why}; details=")), "{upstreams:?}: {head}");
        }
    });
}

#[test]
fn no_more_than_max_attempts_are_made() {
    run(async {
        let (good, _) = Double::mock("good").await;
        let refusing = [Double::refusing().await, Double::refusing().await];
        let mut config = config(&[refusing[0], refusing[1], good.addr]);
        config["failover"] = json!({ "max_attempts": 2 });
        config["health_check"] = json!({ "failure_threshold": 1000 });
        let proxy = TestProxy::start(config).await;
        let mut refused = 0;
        for number in 1..=12 {
            let mut client = proxy.asked("echo.mock:80").await;
            refused += usize::from(client.head().await.starts_with("HTTP/1.1 502 "));
            drop(client);
            assert!(proxy.ear.finished(number).await.attempts <= 2);
        }
        assert!(refused > 0);
    });
}

/// A mock upstream at `addr` until it is told to stop, which drops its listener and every connection.
async fn mortal(addr: SocketAddr) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind(addr).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let journal = Arc::new(Journal::new("mortal", Arc::new(SystemTime::now), 10, None));
    let upstream = Arc::new(Upstream::new("mortal", Settings::default(), journal));
    let stopped = async { stopped.await.unwrap() };
    (addr, stop, tokio::spawn(mock_upstreams::listen::listen(listener, upstream, stopped)))
}

#[test]
fn an_upstream_that_dies_and_comes_back_costs_no_request() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let (b, _) = Double::mock("b").await;
        let (addr, stop, serving) = mortal(SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let mut config = config(&[a.addr, addr, b.addr]);
        config["health_check"] = json!({ "backoff_base": "20ms", "backoff_max": "50ms" });
        let proxy = TestProxy::start(config).await;
        let through = proxy.addr;
        // Workers go on until they are told to stop; every CONNECT of theirs has to open.
        let done = Arc::new(AtomicBool::new(false));
        let mut workers = JoinSet::new();
        for _ in 0..8 {
            let done = Arc::clone(&done);
            workers.spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    let mut client = Client::connect(through).await;
                    client.send("CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock:80\r\n\r\n").await;
                    let head = client.head().await;
                    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                }
            });
        }
        proxy.ear.finished(50).await;
        stop.send(()).unwrap();
        serving.await.unwrap();
        let url = format!("http://{addr}");
        let ejected = |heard: &Heard| matches!(heard, Heard::Ejected { url: one, .. } if *one == url).then_some(());
        proxy.ear.wait(ejected).await;
        let (_, _stop, _) = mortal(addr).await;
        proxy.ear.wait(|heard| matches!(heard, Heard::Recovered { url: one } if *one == url).then_some(())).await;
        done.store(true, Ordering::SeqCst);
        while let Some(worker) = workers.join_next().await {
            worker.unwrap();
        }
    });
}

#[test]
fn nothing_behind_a_refused_connect_is_processed() {
    run(async {
        let (good, journal) = Double::mock("good").await;
        let mut config = config(&[good.addr]);
        config["server"]["via"] = json!("here");
        let proxy = TestProxy::start(config).await;
        let mut client = proxy.client().await;
        client
            .send(
                "CONNECT dead.mock:80 HTTP/1.1\r\nHost: dead.mock\r\n\r\n\
                 GET http://http.mock/ip HTTP/1.1\r\nHost: http.mock\r\n\r\n",
            )
            .await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        let rest = String::from_utf8(client.rest().await.unwrap()).unwrap();
        assert!(!rest.contains("HTTP/1.1"), "{rest}");
        let counts = journal.until(|counts| counts.connections > 0 && counts.open_connections == 0).await;
        assert_eq!((counts.connections, counts.requests), (1, 1));
    });
}

#[test]
fn a_client_that_goes_away_blames_nobody() {
    run(async {
        let (told, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let silent = Double::scripted(move |_, mut peer| {
            let told = told.clone();
            async move {
                peer.head().await;
                told.send(()).unwrap();
                let _ = peer.rest().await;
            }
        })
        .await;
        let mut config = config(&[silent.addr]);
        config["health_check"] = json!({ "failure_threshold": 1 });
        let proxy = TestProxy::start(config).await;
        for number in 1..=5 {
            let client = proxy.asked("a.test:80").await;
            asked.recv().await.unwrap();
            client.reset();
            let summary = proxy.ear.finished(number).await;
            assert_eq!((summary.status, summary.outcome, summary.blame), (0, "client_gone", Some(Blame::Client)));
        }
        let heard = proxy.ear.heard();
        assert!(!heard.iter().any(|one| matches!(one, Heard::Blamed { .. } | Heard::Ejected { .. })), "{heard:?}");
        assert_eq!(proxy.stats().await["total"]["upstream_metrics"][0]["failures"], 0);
    });
}

/// Half a client is still a client: one that ended its own direction wants its answer.
#[test]
fn a_client_that_ended_its_direction_is_still_served() {
    run(async {
        let (good, _) = Double::mock("good").await;
        let proxy = TestProxy::before(&[Double::refusing().await, good.addr]).await;
        for _ in 0..2 {
            let mut client = proxy.client().await;
            client.send("CONNECT n5.source.mock:80 HTTP/1.1\r\nHost: a\r\n\r\n").await;
            client.finish().await;
            assert!(client.head().await.starts_with("HTTP/1.1 200 "));
            assert_eq!(client.rest().await.unwrap(), [0, 1, 2, 3, 4]);
        }
    });
}
