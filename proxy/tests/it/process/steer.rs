//! Tests what an operator sets by hand: who is picked from then on, what stays open, and what a reload makes of it.

use std::net::SocketAddr;

use proxy::{Operator, Order, Steered};
use serde_json::{Value, json};

use crate::support::{Client, Double, Heard, TestProxy, config, parse, run};

const OPERATOR: Operator = Operator { uid: 1000, pid: Some(7) };

fn name(upstream: SocketAddr) -> String {
    format!("http://{upstream}")
}

fn steer(proxy: &TestProxy, upstream: SocketAddr, order: Order) -> Steered {
    proxy.proxy.steer(&name(upstream), order, OPERATOR).unwrap()
}

/// The status that a new tunnel gets.
async fn status(proxy: &TestProxy) -> u16 {
    let mut client = proxy.asked("echo.mock:80").await;
    client.head().await[9..12].parse().unwrap()
}

async fn ready(proxy: &TestProxy) -> u16 {
    let mut client = proxy.client().await;
    client.send("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").await;
    client.head().await[9..12].parse().unwrap()
}

async fn told(proxy: &TestProxy, upstream: SocketAddr) -> Value {
    let stats = proxy.stats().await;
    let all = stats["total"]["upstream_metrics"].as_array().unwrap();
    all.iter().find(|one| one["url"] == name(upstream)).unwrap().clone()
}

/// Picks so far, first and other, of the upstream numbered `number`.
fn picks(proxy: &TestProxy, number: u32) -> usize {
    let heard = proxy.ear.heard();
    heard.iter().filter(|one| matches!(one, Heard::Pick { upstream, .. } if *upstream == number)).count()
}

async fn still_open(tunnel: &mut Client) {
    tunnel.send("still here").await;
    assert_eq!(tunnel.exactly(10).await, b"still here");
}

#[test]
fn a_disabled_or_draining_upstream_takes_no_picks_until_it_is_enabled() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let b = Double::refusing().await;
        for (order, state) in [(Order::Disable, "disabled"), (Order::Drain, "draining")] {
            let mut config = config(&[a.addr, b]);
            // Even with everybody else ejected, nobody is sent to it as a last resort.
            config["health_check"] = json!({ "failure_threshold": 1, "backoff_base": "1h", "backoff_max": "1h" });
            let proxy = TestProxy::start(config).await;
            let mut tunnel = proxy.tunnel("echo.mock:80").await;
            let steered = steer(&proxy, a.addr, order);
            assert_eq!(steered.warnings, [""; 0]);
            let before = picks(&proxy, 0);
            for _ in 0..3 {
                assert_eq!(status(&proxy).await, 502);
            }
            assert_eq!(
                picks(&proxy, 0),
                before,
                "neither first nor behind the other, nor as the one that failed least"
            );
            let stats = told(&proxy, a.addr).await;
            assert_eq!((&stats["enabled"], &stats["by_hand"]["state"]), (&json!(false), &json!(state)));
            still_open(&mut tunnel).await;
            let again = steer(&proxy, a.addr, order);
            assert_eq!(again.change, format!("upstream {} is {state} already", name(a.addr)));

            let enabled = steer(&proxy, a.addr, Order::Enable);
            assert_eq!(enabled.change, format!("upstream {} enabled, weight 1", name(a.addr)));
            assert_eq!(told(&proxy, a.addr).await["by_hand"], Value::Null, "as the file says");
            for _ in 0..3 {
                assert_eq!(status(&proxy).await, 200);
            }
            still_open(&mut tunnel).await;
        }
    });
}

#[test]
fn the_last_one_may_be_disabled_and_everybody_is_told() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let proxy = TestProxy::before(&[a.addr]).await;
        for order in [Order::Disable, Order::Drain, Order::Weight(0)] {
            let steered = steer(&proxy, a.addr, order);
            let last = "no upstream is left: requests are answered 503, and /readyz says so";
            assert_eq!(steered.warnings.last().map(String::as_str), Some(last), "{order:?}");
            assert_eq!((status(&proxy).await, ready(&proxy).await), (503, 503), "{order:?}");
            steer(&proxy, a.addr, Order::Weight(1));
            let enabled = steer(&proxy, a.addr, Order::Enable);
            assert_eq!(enabled.warnings, [""; 0]);
            assert_eq!((status(&proxy).await, ready(&proxy).await), (200, 200), "{order:?}");
        }
    });
}

/// Between two requests of plain HTTP a connection is kept.
#[test]
fn a_drain_closes_what_nobody_uses_and_disabling_keeps_it() {
    run(async {
        let (closed, mut closes) = tokio::sync::mpsc::unbounded_channel();
        let upstream = Double::scripted(move |_, mut peer| {
            let closed = closed.clone();
            async move {
                peer.head().await;
                peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = peer.rest().await;
                closed.send(()).unwrap_or_else(|_| panic!("the test has ended"));
            }
        })
        .await;
        let mut config = config(&[upstream.addr]);
        config["timeouts"] = json!({ "pool_idle": "1h" });
        let proxy = TestProxy::start(config).await;
        let mut client = proxy.client().await;
        client.send("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        client.head().await;
        proxy.ear.finished(1).await;
        for order in [Order::Weight(3), Order::Disable] {
            steer(&proxy, upstream.addr, order);
            assert_eq!(told(&proxy, upstream.addr).await["idle_connections"], 1, "{order:?}");
        }
        steer(&proxy, upstream.addr, Order::Drain);
        closes.recv().await.unwrap();
        assert_eq!(told(&proxy, upstream.addr).await["idle_connections"], 0);
    });
}

#[test]
fn an_upstream_ejected_by_hand_comes_back_by_its_probe() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let (b, _) = Double::mock("b").await;
        let mut config = config(&[a.addr, b.addr]);
        config["health_check"] = json!({ "backoff_base": "50ms" });
        let proxy = TestProxy::start(config).await;
        let steered = steer(&proxy, a.addr, Order::Eject);
        assert!(steered.change.starts_with(&format!("upstream {} ejected, probe in ", name(a.addr))), "{steered:?}");
        let cause = |heard: &Heard| match heard {
            Heard::Ejected { cause, .. } => Some(cause.clone()),
            _ => None,
        };
        assert_eq!(proxy.ear.wait(cause).await.as_deref(), Some("by hand"));
        proxy.ear.wait(|heard| matches!(heard, Heard::Recovered { .. }).then_some(())).await;
        let probed = |heard: &Heard| matches!(heard, Heard::Pick { upstream: 0, probe: true, .. });
        assert!(proxy.ear.heard().iter().any(probed));
    });
}

#[test]
fn an_ejected_one_takes_no_first_picks_and_is_restored_at_once() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let (b, _) = Double::mock("b").await;
        let mut config = config(&[a.addr, b.addr]);
        config["health_check"] = json!({ "backoff_base": "1h", "backoff_max": "1h" });
        let proxy = TestProxy::start(config).await;
        assert_eq!(
            steer(&proxy, a.addr, Order::Restore).change,
            format!("upstream {} is let in already", name(a.addr))
        );
        let ejected = steer(&proxy, a.addr, Order::Eject).change;
        let due = ejected.strip_prefix(&format!("upstream {} ejected, probe in ", name(a.addr))).unwrap();
        assert!(due.strip_suffix(" s").unwrap().parse::<f64>().unwrap() > 1000.0, "{ejected}");
        let again = steer(&proxy, a.addr, Order::Eject);
        assert_eq!(again.change, format!("upstream {} is ejected already", name(a.addr)));
        for _ in 0..4 {
            assert_eq!(status(&proxy).await, 200);
        }
        assert_eq!((picks(&proxy, 0), picks(&proxy, 1)), (0, 4));
        let stats = told(&proxy, a.addr).await;
        assert_eq!((&stats["healthy"], &stats["by_hand"]), (&json!(false), &Value::Null), "health is not the file's");
        assert!(stats["probe_in_ms"].as_u64().unwrap() > 1_000_000, "{stats}");

        let last = steer(&proxy, b.addr, Order::Eject);
        let warned = "every upstream that is enabled is ejected: requests go to the one that failed least";
        assert_eq!(last.warnings, [warned]);
        assert_eq!(ready(&proxy).await, 503);
        let restored = steer(&proxy, a.addr, Order::Restore);
        assert_eq!((restored.change, restored.warnings), (format!("upstream {} restored", name(a.addr)), vec![]));
        let before = picks(&proxy, 1);
        for _ in 0..4 {
            assert_eq!(status(&proxy).await, 200);
        }
        assert_eq!((picks(&proxy, 0), picks(&proxy, 1), ready(&proxy).await), (4, before, 200));
    });
}

#[test]
fn shares_follow_a_weight_set_by_hand_exactly() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let (b, _) = Double::mock("b").await;
        let proxy = TestProxy::before(&[a.addr, b.addr]).await;
        let steered = steer(&proxy, a.addr, Order::Weight(3));
        assert_eq!(steered.change, format!("upstream {} weight 1 → 3", name(a.addr)));
        for _ in 0..8 {
            assert_eq!(status(&proxy).await, 200);
        }
        assert_eq!((picks(&proxy, 0), picks(&proxy, 1)), (6, 2));
        let stats = told(&proxy, a.addr).await;
        let by_hand = json!({ "state": "enabled", "weight_in_file": 1, "enabled_in_file": true });
        assert_eq!((&stats["weight"], &stats["by_hand"]), (&json!(3), &by_hand));
    });
}

#[test]
fn a_reload_returns_to_what_the_file_says() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let (b, _) = Double::mock("b").await;
        let config = config(&[a.addr, b.addr]);
        let proxy = TestProxy::start(config.clone()).await;
        steer(&proxy, a.addr, Order::Weight(3));
        steer(&proxy, b.addr, Order::Drain);
        assert_eq!(proxy.proxy.health().config_epoch, 1, "what is set by hand is no configuration");
        let reloaded = proxy.proxy.reload(parse(&config)).unwrap();
        let returned =
            [format!("upstream {} weight 3 → 1", name(a.addr)), format!("upstream {} enabled, weight 1", name(b.addr))];
        let mut changes = reloaded.changes;
        changes.sort();
        let mut expected = returned.to_vec();
        expected.sort();
        assert_eq!(changes, expected);
        for upstream in [a.addr, b.addr] {
            let stats = told(&proxy, upstream).await;
            assert_eq!((&stats["weight"], &stats["by_hand"]), (&json!(1), &Value::Null));
        }
    });
}

#[test]
fn what_cannot_be_followed_is_said_in_one_line_and_changes_nothing() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let (b, _) = Double::mock("b").await;
        let proxy = TestProxy::before(&[a.addr, b.addr]).await;
        let refused = |name: &str, order| proxy.proxy.steer(name, order, OPERATOR).unwrap_err().to_string();
        let unknown = "no upstream is called \"nobody\\n\"; `proxy upstreams` shows their names";
        assert_eq!(refused("nobody\n", Order::Disable), unknown);
        assert_eq!(refused(&name(a.addr), Order::Weight(10_001)), "a weight is 0 to 10000, not 10001");
        assert_eq!(refused(&name(a.addr), Order::Weight(u32::MAX)), "a weight is 0 to 10000, not 4294967295");
        assert_eq!(told(&proxy, a.addr).await["by_hand"], Value::Null);
    });
}

/// Orders, reloads and requests at the same time: no request fails, and the last word holds.
#[test]
fn orders_and_reloads_disturb_no_request() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let (b, _) = Double::mock("b").await;
        let config = config(&[a.addr, b.addr]);
        let proxy = TestProxy::start(config.clone()).await;
        let orders = async {
            let all = [Order::Disable, Order::Weight(7), Order::Enable, Order::Eject, Order::Restore, Order::Drain];
            for order in all.iter().cycle().take(60) {
                steer(&proxy, a.addr, *order);
                tokio::task::yield_now().await;
            }
        };
        let reloads = async {
            for _ in 0..20 {
                proxy.proxy.reload(parse(&config)).unwrap();
                tokio::task::yield_now().await;
            }
        };
        let requests = async {
            for _ in 0..30 {
                assert_eq!(status(&proxy).await, 200);
            }
        };
        tokio::join!(orders, reloads, requests);
        proxy.proxy.reload(parse(&config)).unwrap();
        steer(&proxy, a.addr, Order::Restore);
        let before = (picks(&proxy, 0), picks(&proxy, 1));
        for _ in 0..6 {
            assert_eq!(status(&proxy).await, 200);
        }
        assert_eq!((picks(&proxy, 0) - before.0, picks(&proxy, 1) - before.1), (3, 3));
    });
}
