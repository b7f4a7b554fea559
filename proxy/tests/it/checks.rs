//! Active checks: what they eject and bring back, and what they are no proof of.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use proxy::core::attribution::Blame;
use serde_json::{Value, json};

use super::health::{blamed, eager, ejected, moody, recovered};
use super::support::{Double, Heard, TestProxy, run};

/// Checks on the shortest interval there is, through these upstreams to these endpoints.
fn checked(upstreams: &[SocketAddr], endpoints: &Value) -> Value {
    let mut config = eager(upstreams);
    config["health_check"]["enabled"] = json!(true);
    config["health_check"]["interval_seconds"] = json!(1);
    config["health_check"]["failure_threshold"] = json!(1);
    config["health_check"]["endpoints"] = endpoints.clone();
    config
}

#[test]
fn active_checks_eject_and_bring_back_without_a_single_request() {
    run(async {
        let (bad, failing) = moody(None).await;
        let (dead, dead_failing) = moody(Some("HTTP/1.1 407 Who?\r\n\r\n")).await;
        let (good, journal) = Double::mock("good").await;
        let upstreams = [bad.addr, dead.addr, good.addr];
        let proxy = TestProxy::start(checked(&upstreams, &json!(["echo.mock:80"]))).await;
        let ejection = |nth| {
            proxy.ear.wait_nth(nth, |heard| if let Heard::Ejected { url } = heard { Some(url.clone()) } else { None })
        };
        let mut out = [ejection(1).await, ejection(2).await];
        out.sort();
        let mut expected = [bad.addr, dead.addr].map(|addr| format!("http://{addr}"));
        expected.sort();
        assert_eq!(out, expected);
        failing.store(false, Ordering::SeqCst);
        assert_eq!(recovered(&proxy).await, format!("http://{}", bad.addr));
        dead_failing.store(false, Ordering::SeqCst);
        let second = |heard: &Heard| if let Heard::Recovered { url } = heard { Some(url.clone()) } else { None };
        assert_eq!(proxy.ear.wait_nth(2, second).await, format!("http://{}", dead.addr));
        journal.until(|counts| counts.connections > 0).await;
        let stats = proxy.stats().await;
        assert_eq!(stats["total"]["total_requests"], 0, "checks are no requests");
        assert!(!ejected(&proxy).contains(&format!("http://{}", good.addr)));
    });
}

#[test]
fn a_dead_endpoint_ejects_nobody() {
    run(async {
        let (a, a_journal) = Double::mock("a").await;
        let (b, b_journal) = Double::mock("b").await;
        let proxy = TestProxy::start(checked(&[a.addr, b.addr], &json!(["dead.mock:80"]))).await;
        for journal in [a_journal, b_journal] {
            journal.until(|counts| counts.unreachable >= 3).await;
        }
        assert_eq!(ejected(&proxy), [""; 0]);
        assert!(!blamed(&proxy).is_empty());
        assert!(blamed(&proxy).iter().all(|one| one.1 != Blame::Upstream));
    });
}
