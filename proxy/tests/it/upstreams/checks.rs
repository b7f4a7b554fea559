//! Tests active checks: what they eject and bring back, and what they do not prove.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxy::core::attribution::Blame;
use proxy::testing::MemoryStream;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::health::{blamed, eager, ejected, moody, recovered};
use crate::support::{Client, Double, Heard, Memory, TestProxy, parse, run, run_paused};
use crate::tunnels::timing::{addr, millis, opening, secs, silent, with_timeouts};

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
            proxy
                .ear
                .wait_nth(nth, |heard| if let Heard::Ejected { url, .. } = heard { Some(url.clone()) } else { None })
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

fn timed(endpoints: Value) -> Value {
    let mut config = with_timeouts(&[addr(1)], json!({}));
    config["health_check"] = json!({
        "enabled": true, "endpoints": endpoints, "interval_seconds": 30, "timeout_seconds": 10,
        "failure_threshold": 2, "backoff_base": "5s", "backoff_max": "40s"
    });
    config
}

/// The environment's random numbers are 0: the first check comes at once, each next one a tenth early, and each back-off a
/// fifth early.
#[test]
fn checks_come_on_their_interval_and_probes_on_a_growing_back_off() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), Duration::ZERO, opening).await;
        let (_, ear) = net.start(parse(&timed(json!(["e.test:443"])))).await;
        sleep(secs(60)).await;
        let times = |net: &Memory| -> Vec<u64> { net.connects().iter().map(|(at, _)| at.as_secs()).collect() };
        assert_eq!(times(&net), [0, 27, 54]);
        // Two failures eject; then 4, 8, 16, 32 and, capped, 32 seconds.
        net.refuse(addr(1));
        ear.wait(|heard| matches!(heard, Heard::Ejected { .. }).then_some(())).await;
        assert_eq!(net.elapsed(), secs(108));
        let back_off = |heard: &Heard| matches!(heard, Heard::BackedOff { .. }).then_some(());
        ear.wait_nth(5, back_off).await;
        assert_eq!(times(&net)[3..], [81, 108, 112, 120, 136, 168, 200]);
        net.serve(addr(1), Duration::ZERO, opening).await;
        ear.wait(|heard| matches!(heard, Heard::Recovered { .. }).then_some(())).await;
        assert_eq!(net.elapsed(), secs(232));
    });
}

#[test]
fn checks_are_spread_by_chance_over_their_interval_and_a_tenth_about_it() {
    run_paused(async {
        let net = Memory::default();
        net.set_random(u64::MAX);
        net.serve(addr(1), Duration::ZERO, opening).await;
        let (_, _ear) = net.start(parse(&timed(json!(["e.test:443"])))).await;
        sleep(secs(100)).await;
        let times: Vec<u64> = net.connects().iter().map(|(at, _)| at.as_millis() as u64).collect();
        // The latest that may be: at the end of the first interval, and each next one a tenth late.
        let [first, second, third] = times[..] else { panic!("{times:?}") };
        assert!((29_998..=30_001).contains(&first), "{times:?}");
        assert!([second - first, third - second].iter().all(|gap| (32_998..=33_002).contains(gap)), "{times:?}");
    });
}

/// The endpoints of which an upstream at 127.0.0.1 is asked in its first checks, if it opens all but the first one.
async fn asked(rotate: bool) -> Vec<String> {
    let (net, asked) = (Memory::default(), Arc::new(Mutex::new(Vec::new())));
    let tell = Arc::clone(&asked);
    net.serve(addr(1), Duration::ZERO, move |mut peer: Client<MemoryStream>| {
        let tell = Arc::clone(&tell);
        async move {
            let head = peer.head().await;
            let endpoint = head.split(' ').nth(1).unwrap().to_owned();
            let refused = endpoint == "a.test:443";
            tell.lock().unwrap().push(endpoint);
            peer.send(if refused { "HTTP/1.1 502 Bad Gateway\r\n\r\n" } else { "HTTP/1.1 200 OK\r\n\r\n" }).await;
        }
    })
    .await;
    let mut config = timed(json!(["a.test:443", "b.test:443", "c.test:443"]));
    config["health_check"]["endpoint_rotation"] = json!(rotate);
    let (_, _ear) = net.start(parse(&config)).await;
    sleep(secs(100)).await;
    asked.lock().unwrap().clone()
}

#[test]
fn endpoints_are_asked_in_turn_or_else_from_the_first_to_one_that_answers() {
    run_paused(async {
        let name = |letter: char| format!("{letter}.test:443");
        assert_eq!(asked(true).await, ['b', 'c', 'a', 'b'].map(name));
        assert_eq!(asked(false).await, ['a', 'b', 'a', 'b', 'a', 'b', 'a', 'b'].map(name));
    });
}

#[test]
fn an_upstream_that_cannot_be_reached_fails_a_check_once_whatever_the_endpoints() {
    run_paused(async {
        let net = Memory::default();
        let (_, ear) = net.start(parse(&timed(json!(["a.test:443", "b.test:443"])))).await;
        ear.wait(|heard| matches!(heard, Heard::Ejected { .. }).then_some(())).await;
        assert_eq!(net.elapsed(), secs(27), "the second check in a row that failed");
        assert_eq!(net.connects().len(), 2);
    });
}

/// A probe that decides nothing changes nothing that anybody is told of, but the next one has to come all the same.
#[test]
fn a_probe_that_decides_nothing_is_followed_by_the_next() {
    run_paused(async {
        let net = Memory::default();
        let mut config = timed(json!(["e.test:443"]));
        config["health_check"]["recovery_threshold"] = json!(2);
        net.serve(addr(1), Duration::ZERO, async |mut peer: Client<MemoryStream>| {
            peer.head().await;
            peer.send("HTTP/1.1 407 Who?\r\n\r\n").await;
        })
        .await;
        let (_, ear) = net.start(parse(&config)).await;
        ear.wait(|heard| matches!(heard, Heard::Ejected { .. }).then_some(())).await;
        assert_eq!(net.elapsed(), secs(27));
        // Whose fault this is can't be told with a single upstream.
        net.serve(addr(1), Duration::ZERO, async |mut peer: Client<MemoryStream>| {
            peer.head().await;
            peer.send("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        })
        .await;
        sleep(secs(13)).await;
        let times: Vec<u64> = net.connects().iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(times, [0, 27, 31, 35, 39]);
        net.serve(addr(1), Duration::ZERO, opening).await;
        ear.wait(|heard| matches!(heard, Heard::Recovered { .. }).then_some(())).await;
        assert_eq!(net.elapsed(), secs(43), "the second success need not wait");
    });
}

/// The endpoints come round only every third time, and the good upstream has been there before the bad one fails.
#[test]
fn checks_that_take_their_endpoints_in_turn_bear_witness_for_each_other() {
    for by_reload in [false, true] {
        run_paused(bear_witness(by_reload));
    }
}

/// With checks that are configured from the start, or `by_reload`.
async fn bear_witness(by_reload: bool) {
    let net = Memory::default();
    net.serve(addr(1), Duration::ZERO, opening).await;
    net.serve(addr(2), millis(1), async |mut peer: Client<MemoryStream>| {
        peer.head().await;
        peer.send("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    })
    .await;
    let mut config = timed(json!(["a.test:443", "b.test:443", "c.test:443"]));
    config["health_check"]["endpoint_rotation"] = json!(true);
    config["upstream_proxies"] = crate::support::config(&[addr(1), addr(2)])["upstream_proxies"].take();
    let mut before = config.clone();
    before["health_check"]["enabled"] = json!(!by_reload);
    let (proxy, ear) = net.start(parse(&before)).await;
    if by_reload {
        proxy.reload(parse(&config)).unwrap();
    }
    sleep(secs(600)).await;
    let ejected = ear.heard().into_iter().find_map(|heard| match heard {
        Heard::Ejected { url, .. } => Some(url),
        _ => None,
    });
    assert_eq!(ejected, Some(format!("http://{}", addr(2))));
}

#[test]
fn a_check_takes_no_longer_than_it_may() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), Duration::ZERO, silent).await;
        let (_, ear) = net.start(parse(&timed(json!(["e.test:443"])))).await;
        let failed = |heard: &Heard| match heard {
            Heard::Attempt { failure, .. } => Some(*failure),
            _ => None,
        };
        assert_eq!(ear.wait(failed).await, Some("reply_timeout"));
        assert_eq!(net.elapsed(), secs(10));
    });
}
