//! Proxies behind proxies: a chain that ends at an upstream, and a ring, which is found out.

use serde_json::json;

use crate::support::{Double, TestProxy, config, parse, run};

/// Asks for a page through `proxy`, as plain HTTP.
async fn get(proxy: &TestProxy, url: &str) -> (String, Vec<u8>) {
    let mut client = proxy.client().await;
    client.send(format!("GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    client.response().await
}

#[test]
fn a_chain_of_proxies_is_passed_to_its_end() {
    run(async {
        let (upstream, journal) = Double::mock("u").await;
        let inner = TestProxy::before(&[upstream.addr]).await;
        let outer = TestProxy::before(&[inner.addr]).await;
        let mut tunnel = outer.tunnel("echo.mock:80").await;
        tunnel.send("through both").await;
        assert_eq!(tunnel.exactly(12).await, b"through both");
        tunnel.finish().await;
        assert_eq!(tunnel.rest().await.unwrap(), b"");
        let (head, body) = get(&outer, "http://http.mock/headers").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let vias = asked["headers"].as_array().unwrap().iter().filter(|field| field[0] == "via");
        assert_eq!(vias.count(), 2, "each proxy says that it passed here: {asked}");
        for proxy in [&outer, &inner] {
            assert_eq!(proxy.ear.finished(1).await.outcome, "ok");
            assert_eq!(proxy.ear.finished(2).await.outcome, "ok");
        }
        assert_eq!(journal.counts().connections, 2);
    });
}

#[test]
fn a_ring_of_proxies_is_found_out_by_the_one_that_comes_round() {
    run(async {
        let (upstream, journal) = Double::mock("u").await;
        let first = TestProxy::before(&[upstream.addr]).await;
        let second = TestProxy::before(&[first.addr]).await;
        first.proxy.reload(parse(&config(&[second.addr]))).unwrap();
        let (head, _) = first.asked("echo.mock:80").await.response().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        let (head, _) = get(&first, "http://http.mock/ip").await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        // Each request goes round once: as the first hears of it again, it ends.
        let outcomes = async |proxy: &TestProxy, count| {
            let mut outcomes = Vec::new();
            for nth in 1..=count {
                outcomes.push(proxy.ear.finished(nth).await.outcome);
            }
            outcomes
        };
        let (of_first, of_second) = (outcomes(&first, 4).await, outcomes(&second, 2).await);
        assert_eq!(of_first.iter().filter(|outcome| **outcome == "loop").count(), 2, "{of_first:?}");
        assert!(!of_second.contains(&"loop"), "{of_second:?}");
        assert_eq!(journal.counts().connections, 0);
    });
}

#[test]
fn proxies_may_share_their_upstreams() {
    run(async {
        let (one, first_journal) = Double::mock("a").await;
        let (other, second_journal) = Double::mock("b").await;
        let proxies =
            [TestProxy::before(&[one.addr, other.addr]).await, TestProxy::before(&[one.addr, other.addr]).await];
        for round in 0..4 {
            for proxy in &proxies {
                let (head, _) = get(proxy, &format!("http://http.mock/bytes/{round}")).await;
                assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            }
        }
        for proxy in &proxies {
            let upstreams = proxy.stats().await["total"]["upstream_metrics"].clone();
            let totals: Vec<_> =
                upstreams.as_array().unwrap().iter().map(|one| one["total_requests"].clone()).collect();
            assert_eq!(totals, [json!(2), json!(2)], "each proxy keeps the shares by itself");
        }
        assert_eq!(first_journal.counts().requests + second_journal.counts().requests, 8);
    });
}
