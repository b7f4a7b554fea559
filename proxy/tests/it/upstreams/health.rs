//! Tests whose fault a failure was, which upstream is ejected for it, and how it comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proxy::core::attribution::{Blame, Rule};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{Double, Heard, Peer, TestProxy, config, run};

/// `config` of these upstreams with probes as soon as can be.
pub(crate) fn eager(upstreams: &[SocketAddr]) -> Value {
    let mut config = config(upstreams);
    config["health_check"] = json!({ "backoff_base": "50ms", "backoff_max": "50ms" });
    config
}

/// `config` of these upstreams with probes only after the test.
fn patient(upstreams: &[SocketAddr]) -> Value {
    let mut config = config(upstreams);
    config["health_check"] = json!({ "backoff_base": "1h", "backoff_max": "1h" });
    config
}

/// Sends one CONNECT and returns the status once the request is over and counted.
async fn request(proxy: &TestProxy, target: &str, number: usize) -> u16 {
    let mut client = proxy.asked(target).await;
    let head = client.head().await;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    client.finish().await;
    let _ = client.rest().await;
    proxy.ear.finished(number).await;
    status
}

pub(crate) fn ejected(proxy: &TestProxy) -> Vec<String> {
    let of = |heard| if let Heard::Ejected { url, .. } = heard { Some(url) } else { None };
    proxy.ear.heard().into_iter().filter_map(of).collect()
}

fn suspected(proxy: &TestProxy) -> Vec<String> {
    let of = |heard| if let Heard::Suspected { url } = heard { Some(url) } else { None };
    proxy.ear.heard().into_iter().filter_map(of).collect()
}

pub(crate) fn blamed(proxy: &TestProxy) -> Vec<(u32, Blame, Rule)> {
    let of = |heard| match heard {
        Heard::Blamed { upstream, blame, rule } => Some((upstream, blame, rule)),
        _ => None,
    };
    proxy.ear.heard().into_iter().filter_map(of).collect()
}

pub(crate) async fn recovered(proxy: &TestProxy) -> String {
    proxy.ear.wait(|heard| if let Heard::Recovered { url } = heard { Some(url.clone()) } else { None }).await
}

/// Answers every CONNECT as a mock's `echo.mock` would, with `reply` as its head.
async fn echo_behind(mut peer: Peer, reply: &str) {
    peer.head().await;
    peer.send(reply).await;
    let (mut from, mut to) = peer.stream.split();
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

/// An upstream that fails for as long as the flag is set, with `failure` or a reset.
pub(crate) async fn moody(failure: Option<&'static str>) -> (Double, Arc<AtomicBool>) {
    let failing = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&failing);
    let double = Double::scripted(move |_, mut peer| {
        let failing = flag.load(Ordering::SeqCst);
        async move {
            match failure {
                _ if !failing => echo_behind(peer, "HTTP/1.1 200 OK\r\n\r\n").await,
                Some(reply) => {
                    peer.head().await;
                    peer.send(reply).await;
                    let _ = peer.rest().await;
                }
                None => {
                    peer.head().await;
                    peer.reset();
                }
            }
        }
    })
    .await;
    (double, failing)
}

#[test]
fn a_dead_target_ejects_nobody() {
    run(async {
        for (reply, status) in [
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", 502),
            ("HTTP/1.1 503 Unavailable\r\n\r\n", 503),
            ("HTTP/1.1 504 Timeout\r\n\r\n", 504),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", 403),
            ("HTTP/1.1 429 Too Many\r\n\r\n", 429),
            ("", 504),
        ] {
            let upstreams = [Double::replying(reply).await, Double::replying(reply).await];
            let mut config = patient(&[upstreams[0].addr, upstreams[1].addr]);
            config["timeouts"] = json!({ "reply": if reply.is_empty() { "20ms" } else { "30s" } });
            let proxy = TestProxy::start(config).await;
            for number in 1..=20 {
                assert_eq!(request(&proxy, "dead.test:80", number).await, status, "{reply}");
            }
            assert_eq!(ejected(&proxy), [""; 0], "{reply}");
            let blamed = blamed(&proxy);
            assert_eq!(blamed.len(), 40, "{reply}");
            let alike = |one: &(u32, Blame, Rule)| (one.1, one.2) == (Blame::Target, Rule::FailedAlike);
            assert!(blamed.iter().all(alike), "{reply}: {blamed:?}");
        }
    });
}

#[test]
fn a_dead_target_ejects_nobody_while_others_are_open() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let (b, _) = Double::mock("b").await;
        let proxy = TestProxy::start(patient(&[a.addr, b.addr])).await;
        for number in 1..=30 {
            let target = if number % 2 == 0 { "echo.mock:80" } else { "dead.mock:80" };
            let expected = if number % 2 == 0 { 200 } else { 502 };
            assert_eq!(request(&proxy, target, number).await, expected);
        }
        assert_eq!(ejected(&proxy), [""; 0]);
    });
}

/// Waits until somebody is ejected.
async fn ejection(proxy: &TestProxy) -> String {
    proxy.ear.wait(|heard| if let Heard::Ejected { url, .. } = heard { Some(url.clone()) } else { None }).await
}

/// A failing upstream beside a good one is ejected after three, whoever finds out: the same request or the next. Where a
/// target could have caused them, a probe comes first.
#[test]
fn an_upstream_that_cannot_open_what_others_open_is_ejected() {
    run(async {
        for (reply, rule, certain) in [
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", Rule::OpenedElsewhere, false),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", Rule::OpenedElsewhere, false),
            ("HTTP/1.1 407 Who?\r\n\r\n", Rule::CredentialsRefused, true),
            ("garbage\r\n\r\n", Rule::MalformedHead, true),
        ] {
            let bad = Double::replying(reply).await;
            let (good, _) = Double::mock("good").await;
            let proxy = TestProxy::start(patient(&[bad.addr, good.addr])).await;
            for number in 1..=10 {
                assert_eq!(request(&proxy, "echo.mock:80", number).await, 200, "{reply}");
            }
            assert_eq!(ejection(&proxy).await, format!("http://{}", bad.addr), "{reply}");
            assert_eq!(suspected(&proxy).is_empty(), certain, "{reply}");
            let charges = if certain { 3 } else { 4 };
            assert_eq!(blamed(&proxy), vec![(0, Blame::Upstream, rule); charges], "{reply}");
            let metrics = proxy.stats().await["total"]["upstream_metrics"].clone();
            assert_eq!((&metrics[0]["healthy"], &metrics[0]["failures"]), (&false.into(), &charges.into()));
            assert_eq!(metrics[1]["healthy"], true);
        }
    });
}

/// With a single attempt a request never hears a second opinion, but the next one for the same target does.
#[test]
fn a_failure_is_remembered_until_another_upstream_opens_the_target() {
    run(async {
        let bad = Double::replying("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        let (good, _) = Double::mock("good").await;
        let mut config = patient(&[bad.addr, good.addr]);
        config["failover"] = json!({ "max_attempts": 1 });
        let proxy = TestProxy::start(config).await;
        let mut statuses = Vec::new();
        for number in 1..=12 {
            statuses.push(request(&proxy, "echo.mock:80", number).await);
        }
        assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 3, "{statuses:?}");
        assert_eq!(ejection(&proxy).await, format!("http://{}", bad.addr));
        let charged = blamed(&proxy).into_iter().filter(|one| one.1 == Blame::Upstream);
        assert_eq!(charged.collect::<Vec<_>>(), [(0, Blame::Upstream, Rule::OpenedElsewhere); 4], "the probe's too");
    });
}

#[test]
fn an_unreachable_upstream_is_ejected_at_the_configured_threshold() {
    run(async {
        let (good, _) = Double::mock("good").await;
        let dead = Double::refusing().await;
        let mut config = patient(&[dead, good.addr]);
        config["health_check"]["failure_threshold"] = json!(5);
        let proxy = TestProxy::start(config).await;
        for number in 1..=20 {
            assert_eq!(request(&proxy, "echo.mock:80", number).await, 200);
        }
        assert_eq!(blamed(&proxy), [(0, Blame::Upstream, Rule::Unreachable); 5]);
        assert_eq!(ejected(&proxy), [format!("http://{dead}")]);
    });
}

#[test]
fn a_success_between_failures_starts_the_count_again() {
    run(async {
        // Fails twice, works once, over and over.
        let flaky = Double::scripted(|number, mut peer| async move {
            if number % 3 == 2 {
                echo_behind(peer, "HTTP/1.1 200 OK\r\n\r\n").await;
            } else {
                peer.head().await;
                peer.send("HTTP/1.1 407 Who?\r\n\r\n").await;
                let _ = peer.rest().await;
            }
        })
        .await;
        let (good, _) = Double::mock("good").await;
        let proxy = TestProxy::start(patient(&[flaky.addr, good.addr])).await;
        for number in 1..=24 {
            assert_eq!(request(&proxy, "echo.mock:80", number).await, 200);
        }
        assert_eq!(blamed(&proxy).len(), 8);
        assert_eq!(ejected(&proxy), [""; 0]);
    });
}

/// An early 200 followed by a reset, at once or when the client has spoken, where another upstream delivers from the same
/// target. A probe can tell the first from a target that does not like what it hears, but not the second.
#[test]
fn tunnels_that_bring_nothing_of_what_others_deliver_have_the_upstream_probed() {
    run(async {
        for at_once in [true, false] {
            let cutting = Double::scripted(move |_, mut peer| async move {
                peer.head().await;
                peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
                if !at_once {
                    peer.exactly(1).await;
                }
                peer.reset();
            })
            .await;
            let (good, _) = Double::mock("good").await;
            let proxy = TestProxy::start(patient(&[cutting.addr, good.addr])).await;
            let mut number = 0;
            while suspected(&proxy).is_empty() {
                number += 1;
                let mut client = proxy.tunnel("echo.mock:80").await;
                // It may be cut by now.
                let _ = client.stream.write_all(b"x").await;
                let _ = client.stream.shutdown().await;
                let _ = client.rest().await;
                proxy.ear.finished(number).await;
            }
            // The probe, which may have ended by now, is charged by another rule.
            let heard = proxy.ear.heard();
            let before = heard.iter().take_while(|heard| !matches!(heard, Heard::Suspected { .. }));
            let charges: Vec<_> = before
                .filter_map(|heard| match heard {
                    Heard::Blamed { upstream, blame: Blame::Upstream, rule } => Some((*upstream, *rule)),
                    _ => None,
                })
                .collect();
            assert_eq!(charges, [(0, Rule::DeliveredElsewhere); 3]);
            let url = format!("http://{}", cutting.addr);
            if at_once {
                assert_eq!(ejection(&proxy).await, url);
            } else {
                assert_eq!(recovered(&proxy).await, url);
                assert_eq!(ejected(&proxy), [""; 0]);
            }
        }
    });
}

#[test]
fn tunnels_reset_behind_the_targets_first_byte_blame_nobody() {
    run(async {
        let (told, mut delivered) = tokio::sync::mpsc::unbounded_channel::<tokio::sync::oneshot::Sender<()>>();
        let resetting = Double::scripted(move |_, mut peer| {
            let told = told.clone();
            async move {
                peer.head().await;
                peer.send("HTTP/1.1 200 OK\r\n\r\nx").await;
                let (go, wait) = tokio::sync::oneshot::channel();
                told.send(go).unwrap();
                wait.await.unwrap();
                peer.reset();
            }
        })
        .await;
        let proxy = TestProxy::start(patient(&[resetting.addr])).await;
        for number in 1..=6 {
            let mut client = proxy.tunnel("a.test:80").await;
            client.exactly(1).await;
            delivered.recv().await.unwrap().send(()).unwrap();
            client.rest().await.unwrap_err();
            proxy.ear.finished(number).await;
        }
        assert_eq!((blamed(&proxy).len(), ejected(&proxy).len()), (0, 0));
    });
}

#[test]
fn an_ejected_upstream_is_probed_beside_the_traffic_and_its_success_brings_it_back() {
    run(async {
        let (bad, failing) = moody(None).await;
        let (good, _) = Double::mock("good").await;
        let mut config = eager(&[bad.addr, good.addr]);
        config["health_check"]["failure_threshold"] = json!(1);
        let proxy = TestProxy::start(config).await;
        let mut number = 0;
        // Requests until `reached`; each of them succeeds.
        let mut until = async |reached: &dyn Fn(&Heard) -> bool| {
            while !proxy.ear.heard().iter().any(reached) {
                number += 1;
                assert_eq!(request(&proxy, "echo.mock:80", number).await, 200);
            }
        };
        until(&|heard| matches!(heard, Heard::Ejected { .. })).await;
        // A probe that fails is followed by a longer wait.
        until(&|heard| matches!(heard, Heard::BackedOff { .. })).await;
        failing.store(false, Ordering::SeqCst);
        until(&|heard| matches!(heard, Heard::Recovered { .. })).await;
        assert_eq!(recovered(&proxy).await, format!("http://{}", bad.addr));
        // Between ejection and the success that restored it, it got marked probes only. The recovery itself is told a moment later.
        let heard = proxy.ear.heard();
        let at = |wanted: fn(&Heard) -> bool| heard.iter().position(wanted).unwrap();
        let out = at(|heard| matches!(heard, Heard::Suspected { .. }))..at(|heard| {
            matches!(heard, Heard::Attempt { upstream: 0, failure: None, .. })
        });
        let probes = heard[out].iter().filter_map(|one| match one {
            Heard::Pick { upstream: 0, probe, .. } => Some(*probe),
            _ => None,
        });
        let probes: Vec<bool> = probes.collect();
        assert!(probes.len() >= 2 && probes.iter().all(|probe| *probe), "{probes:?}");
    });
}

#[test]
fn when_all_are_ejected_the_least_failed_is_tried() {
    run(async {
        let (bad, _) = moody(Some("HTTP/1.1 407 Who?\r\n\r\n")).await;
        let (other, failing) = moody(Some("HTTP/1.1 407 Who?\r\n\r\n")).await;
        let mut config = patient(&[bad.addr, other.addr]);
        config["failover"] = json!({ "max_attempts": 1 });
        let proxy = TestProxy::start(config).await;
        let mut number = 0;
        while ejected(&proxy).len() < 2 {
            number += 1;
            assert_eq!(request(&proxy, "echo.mock:80", number).await, 502);
        }
        // Tried in turn while they fail alike; who works again is found and kept.
        failing.store(false, Ordering::SeqCst);
        let mut statuses = Vec::new();
        while statuses.last() != Some(&200) {
            number += 1;
            statuses.push(request(&proxy, "echo.mock:80", number).await);
        }
        assert!(statuses.len() <= 3, "{statuses:?}");
        assert_eq!(recovered(&proxy).await, format!("http://{}", other.addr));
        for _ in 0..5 {
            number += 1;
            assert_eq!(request(&proxy, "echo.mock:80", number).await, 200);
        }
    });
}
