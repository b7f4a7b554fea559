//! Tests a new configuration under a running proxy: what lives on, what changes, and when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::{Client, Double, Heard, TestProxy, config, parse, run};

/// A CONNECT on a kept connection, with `fields`; the head of the answer.
async fn connect(client: &mut Client, fields: &str) -> String {
    client.send(format!("CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock:80\r\n{fields}\r\n")).await;
    let head = client.head().await;
    if let Some(length) = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")) {
        client.exactly(length.parse().unwrap()).await;
    }
    head
}

/// First picks by upstream among the last `count` requests.
fn shares(proxy: &TestProxy, count: usize) -> BTreeMap<u32, usize> {
    let heard = proxy.ear.heard();
    let picks = heard.iter().rev().filter_map(|one| match one {
        Heard::Pick { upstream, ticket: Some(_), .. } => Some(*upstream),
        _ => None,
    });
    picks.take(count).fold(BTreeMap::new(), |mut shares, upstream| {
        *shares.entry(upstream).or_default() += 1;
        shares
    })
}

fn tickets(proxy: &TestProxy) -> Vec<u64> {
    let heard = proxy.ear.heard();
    heard.iter().filter_map(|one| if let Heard::Pick { ticket, .. } = one { *ticket } else { None }).collect()
}

/// That many tunnels, one after the other, opened and ended.
async fn requests(proxy: &TestProxy, count: usize) {
    for _ in 0..count {
        drop(proxy.tunnel("echo.mock:80").await);
    }
}

fn upstream_of<'a>(stats: &'a Value, addr: &std::net::SocketAddr) -> &'a Value {
    let url = format!("http://{addr}");
    let all = stats["total"]["upstream_metrics"].as_array().unwrap();
    all.iter().find(|one| one["url"] == url.as_str()).unwrap_or(&Value::Null)
}

/// Nobody would look after them any more while the tunnel keeps the upstream's old self alive.
#[test]
fn a_replaced_upstreams_idle_connections_close_although_a_tunnel_goes_on() {
    run(async {
        let (closed, mut closes) = tokio::sync::mpsc::unbounded_channel();
        let upstream = Double::scripted(move |_, mut peer| {
            let closed = closed.clone();
            async move {
                let head = peer.head().await;
                if head.starts_with("CONNECT ") {
                    peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
                    let _ = peer.rest().await;
                } else {
                    peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
                    let _ = peer.rest().await;
                    closed.send(()).unwrap_or_else(|_| panic!("the test has ended"));
                }
            }
        })
        .await;
        let mut config = config(&[upstream.addr]);
        config["timeouts"] = json!({ "pool_idle": "1h" });
        let proxy = TestProxy::start(config.clone()).await;
        let _tunnel = proxy.tunnel("a.test:80").await;
        let mut client = proxy.client().await;
        client.send("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        client.head().await;
        proxy.ear.finished(1).await;
        assert_eq!(upstream_of(&proxy.stats().await, &upstream.addr)["idle_connections"], 1);
        config["upstream_proxies"][0]["weight"] = json!(2);
        proxy.proxy.reload(parse(&config)).unwrap();
        let kept = upstream_of(&proxy.stats().await, &upstream.addr)["idle_connections"].clone();
        assert_eq!(kept, 1, "a weight says nothing of connections");
        config["upstream_proxies"][0]["connect_headers"] = json!({ "X-Key": "other" });
        proxy.proxy.reload(parse(&config)).unwrap();
        closes.recv().await.unwrap();
    });
}

#[test]
fn an_open_tunnel_outlives_its_upstream_in_the_configuration() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let (b, _) = Double::mock("b").await;
        let proxy = TestProxy::before(&[a.addr]).await;
        let mut tunnel = proxy.tunnel("echo.mock:80").await;
        let reloaded = proxy.proxy.reload(parse(&config(&[b.addr]))).unwrap();
        assert_eq!(reloaded.config_epoch, 2);
        assert_eq!(reloaded.changes.len(), 2, "one removed, one added: {:?}", reloaded.changes);
        tunnel.send("still here").await;
        assert_eq!(tunnel.exactly(10).await, b"still here");
        // New requests go to the new one only.
        requests(&proxy, 3).await;
        assert_eq!(shares(&proxy, 3), [(1, 3)].into());
        // The tunnel's own end is counted where it can be: its upstream has departed.
        let stats = proxy.stats().await;
        assert_eq!(upstream_of(&stats, &a.addr), &Value::Null);
        assert_eq!(stats["total"]["departed"]["success_requests"], 1);
        assert_eq!(stats["total"]["success_requests"], 4);
        tunnel.finish().await;
        assert_eq!(tunnel.rest().await.unwrap(), b"");
    });
}

#[test]
fn unchanged_upstreams_keep_statistics_health_and_the_schedules_position() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let (b, _) = Double::mock("b").await;
        let dead = Double::refusing().await;
        let mut json = config(&[a.addr, b.addr, dead]);
        json["health_check"] = json!({ "failure_threshold": 1, "backoff_base": "1h", "backoff_max": "1h" });
        let proxy = TestProxy::start(json.clone()).await;
        requests(&proxy, 3).await;
        proxy.ear.wait(|heard| matches!(heard, Heard::Ejected { .. }).then_some(())).await;
        requests(&proxy, 3).await;
        let (before, position) = (proxy.stats().await, tickets(&proxy));

        json["server"]["name"] = json!("another");
        json["timeouts"] = json!({ "reply": "7s" });
        proxy.proxy.reload(parse(&json)).unwrap();
        let after = proxy.stats().await;
        assert_eq!(after["name"], "another");
        assert_eq!(upstream_of(&after, &dead)["healthy"], false, "health");
        for addr in [&a.addr, &b.addr, &dead] {
            for field in ["total_requests", "success_requests", "failed_requests", "bytes_up", "failures"] {
                assert_eq!(upstream_of(&after, addr)[field], upstream_of(&before, addr)[field], "{field}");
            }
        }
        requests(&proxy, 1).await;
        assert_eq!(
            tickets(&proxy).last().unwrap(),
            &(position.last().unwrap() + 1),
            "the next ticket of the same epoch"
        );
    });
}

#[test]
fn weights_and_members_change_with_the_next_request() {
    run(async {
        let (a, _) = Double::mock("a").await;
        let (b, _) = Double::mock("b").await;
        let (c, _) = Double::mock("c").await;
        let mut json = config(&[a.addr, b.addr]);
        let proxy = TestProxy::start(json.clone()).await;
        requests(&proxy, 4).await;
        assert_eq!(shares(&proxy, 4), [(0, 2), (1, 2)].into());
        json["upstream_proxies"][0]["weight"] = json!(3);
        proxy.proxy.reload(parse(&json)).unwrap();
        requests(&proxy, 8).await;
        assert_eq!(shares(&proxy, 8), [(0, 6), (1, 2)].into(), "a weight");
        let third = json!({ "url": format!("http://{}", c.addr), "weight": 4 });
        json["upstream_proxies"].as_array_mut().unwrap().push(third);
        proxy.proxy.reload(parse(&json)).unwrap();
        requests(&proxy, 8).await;
        assert_eq!(shares(&proxy, 8), [(0, 3), (1, 1), (2, 4)].into(), "a new one");
        json["upstream_proxies"][0]["enabled"] = json!(false);
        json["upstream_proxies"][1]["weight"] = json!(0);
        proxy.proxy.reload(parse(&json)).unwrap();
        requests(&proxy, 4).await;
        assert_eq!(shares(&proxy, 4), [(2, 4)].into(), "disabled, and of weight 0");
    });
}

#[test]
fn users_change_with_the_next_request_of_an_open_connection() {
    run(async {
        let (upstream, _) = Double::mock("a").await;
        let mut json = config(&[upstream.addr]);
        let user = |password: &str| json!({ "enabled": true, "users": [{ "username": "u", "password": password }] });
        json["authentication"] = user("one");
        let proxy = TestProxy::start(json.clone()).await;
        let (one, two) = ("Proxy-Authorization: Basic dTpvbmU=\r\n", "Proxy-Authorization: Basic dTp0d28=\r\n");
        let mut waiting = proxy.client().await;
        assert!(connect(&mut waiting, two).await.starts_with("HTTP/1.1 407 "));
        let mut old = proxy.client().await;
        assert!(connect(&mut old, "").await.starts_with("HTTP/1.1 407 "));
        // Whoever is in stays in.
        let mut tunnel = proxy.client().await;
        assert!(connect(&mut tunnel, one).await.starts_with("HTTP/1.1 200 "));

        json["authentication"] = user("two");
        proxy.proxy.reload(parse(&json)).unwrap();
        for (client, fields, status) in [(&mut waiting, two, "200"), (&mut old, one, "407")] {
            let head = connect(client, fields).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        }
        tunnel.send("x").await;
        assert_eq!(tunnel.exactly(1).await, b"x");
    });
}

#[test]
fn the_observer_hears_what_changed_and_what_waits_for_a_restart() {
    run(async {
        let (upstream, _) = Double::mock("a").await;
        let mut json = config(&[upstream.addr]);
        let proxy = TestProxy::start(json.clone()).await;
        json["server"]["listen_address"] = json!("127.0.0.1:1");
        json["failover"] = json!({ "max_attempts": 2 });
        proxy.proxy.reload(parse(&json)).unwrap();
        proxy.proxy.refuse_reload("something is wrong");
        let heard = proxy.ear.heard();
        let [
            Heard::Epoch { number: 0, .. },
            Heard::Reloaded { config_epoch: 2, changes, restart_required },
            Heard::ReloadFailed { problems },
        ] = &heard[..]
        else {
            panic!("{heard:?}");
        };
        assert!(changes.len() == 1 && changes[0].contains("max_attempts"), "{changes:?}");
        assert!(restart_required.len() == 1 && restart_required[0].contains("listen_address"), "{restart_required:?}");
        assert_eq!(problems, "something is wrong");
        requests(&proxy, 1).await;
    });
}

#[test]
fn fifty_reloads_under_traffic_fail_no_request() {
    run(async {
        let mut doubles = Vec::new();
        for name in ["a", "b", "c"] {
            doubles.push(Double::mock(name).await.0.addr);
        }
        let proxy = Arc::new(TestProxy::before(&doubles).await);
        let over = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (proxy, over) = (Arc::clone(&proxy), Arc::clone(&over));
                tokio::spawn(async move {
                    let mut served = 0;
                    while !over.load(Ordering::Relaxed) {
                        let mut tunnel = proxy.tunnel("echo.mock:80").await;
                        tunnel.send("ping").await;
                        assert_eq!(tunnel.exactly(4).await, b"ping");
                        let mut client = proxy.client().await;
                        client.send("GET http://http.mock/ip HTTP/1.1\r\nHost: http.mock\r\n\r\n").await;
                        let (head, _) = client.response().await;
                        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                        served += 2;
                    }
                    served
                })
            })
            .collect();
        for round in 0..50_usize {
            // By turns: all three, two of them, another weight.
            let mut json = config(&doubles[round % 2..]);
            json["upstream_proxies"][0]["weight"] = json!(1 + round % 3);
            proxy.proxy.reload(parse(&json)).unwrap();
            // So that requests meet every one of the configurations.
            drop(proxy.tunnel("echo.mock:80").await);
        }
        over.store(true, Ordering::Relaxed);
        let mut served = 50;
        for client in clients {
            served += client.await.unwrap();
        }
        let stats = proxy.stats().await;
        assert_eq!(
            (&stats["total"]["failed_requests"], &stats["total"]["success_requests"]),
            (&json!(0), &json!(served))
        );
        assert_eq!(stats["config_epoch"], 51);
    });
}
