//! Tests how often each upstream is picked.

use std::net::SocketAddr;
use std::sync::Arc;

use mock_upstreams::Journal;
use proxy::{Operator, Order};
use serde_json::{Value, json};

use crate::support::{Double, Heard, TestProxy, config, parse, run};

/// Mock upstreams of these weights, and the configuration that names them.
async fn weighted(weights: &[u32]) -> (Vec<Arc<Journal>>, Value) {
    let mut journals = Vec::new();
    let mut upstreams = Vec::new();
    for weight in weights {
        let (double, journal) = Double::mock("mock").await;
        upstreams.push(json!({ "url": format!("http://{}", double.addr), "weight": weight }));
        journals.push(journal);
    }
    let mut config = config(&[]);
    config["upstream_proxies"] = upstreams.into();
    (journals, config)
}

async fn request(addr: SocketAddr) {
    let mut client = crate::support::Client::connect(addr).await;
    client.send("CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock:80\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.finish().await;
    client.rest().await.unwrap();
}

async fn served(journals: &[Arc<Journal>]) -> Vec<u64> {
    let mut served = Vec::new();
    for journal in journals {
        served.push(journal.until(|counts| counts.open_requests == 0).await.requests);
    }
    served
}

#[test]
fn sequential_requests_keep_exact_shares_in_every_round() {
    run(async {
        let (journals, config) = weighted(&[3, 2, 1]).await;
        let proxy = TestProxy::start(config).await;
        for round in 1..=10 {
            for _ in 0..6 {
                request(proxy.addr).await;
            }
            proxy.ear.finished(round * 6).await;
            assert_eq!(served(&journals).await, [3, 2, 1].map(|share| share * round as u64));
        }
        // Smooth, not in blocks: nobody is picked three times in a row.
        let picks: Vec<u32> = picks(&proxy);
        assert!(!picks.windows(3).any(|three| three == [0, 0, 0]), "{picks:?}");
    });
}

fn picks(proxy: &TestProxy) -> Vec<u32> {
    let of = |heard| if let Heard::Pick { upstream, .. } = heard { Some(upstream) } else { None };
    proxy.ear.heard().into_iter().filter_map(of).collect()
}

#[test]
fn concurrent_requests_keep_exact_shares() {
    run(async {
        let (journals, config) = weighted(&[3, 2, 1]).await;
        let proxy = TestProxy::start(config).await;
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..60 {
            let addr = proxy.addr;
            running.spawn(async move {
                for _ in 0..10 {
                    request(addr).await;
                }
            });
        }
        while let Some(done) = running.join_next().await {
            done.unwrap();
        }
        proxy.ear.finished(600).await;
        assert_eq!(served(&journals).await, [300, 200, 100]);
        let metrics = proxy.stats().await["total"]["upstream_metrics"].clone();
        let counted: Vec<_> = (0..3).map(|at| metrics[at]["success_requests"].as_u64().unwrap()).collect();
        assert_eq!(counted, [300, 200, 100]);
    });
}

#[test]
fn weight_zero_and_disabled_ones_are_never_picked() {
    run(async {
        let (journals, mut config) = weighted(&[1, 0, 5]).await;
        config["upstream_proxies"][2]["enabled"] = json!(false);
        // Not even when the only other one fails.
        config["upstream_proxies"][0]["url"] = json!(format!("http://{}", Double::refusing().await));
        let proxy = TestProxy::start(config).await;
        for _ in 0..8 {
            let (head, _) = proxy.asked("echo.mock:80").await.response().await;
            assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        }
        assert_eq!(served(&journals).await, [0, 0, 0]);
        assert_eq!(picks(&proxy), [0; 8]);
    });
}

/// A failover pick would otherwise shift the shares of those that work.
#[test]
fn failover_picks_take_no_ticket() {
    run(async {
        let (_, mut config) = weighted(&[1, 1, 1]).await;
        config["upstream_proxies"][0]["url"] = json!(format!("http://{}", Double::refusing().await));
        config["health_check"] = json!({ "failure_threshold": 1000 });
        let proxy = TestProxy::start(config).await;
        for _ in 0..30 {
            request(proxy.addr).await;
        }
        proxy.ear.finished(30).await;
        let mut tickets = Vec::new();
        let (mut first, mut behind) = ([0; 3], [0; 3]);
        for heard in proxy.ear.heard() {
            match heard {
                Heard::Pick { upstream, ticket: Some(ticket), .. } => {
                    tickets.push(ticket);
                    first[upstream as usize] += 1;
                }
                Heard::Pick { upstream, ticket: None, .. } => behind[upstream as usize] += 1,
                _ => {}
            }
        }
        assert_eq!(tickets, (0..30).collect::<Vec<u64>>());
        assert_eq!(first, [10, 10, 10]);
        assert_eq!((behind[0], behind[1] + behind[2]), (0, 10));
    });
}

#[test]
fn each_epoch_is_told_with_those_who_take_picks_in_it() {
    run(async {
        let (_journals, mut config) = weighted(&[3, 0, 2]).await;
        let proxy = TestProxy::start(config.clone()).await;
        let epoch = |heard: &Heard| match heard {
            Heard::Epoch { number, members } => Some((*number, members.clone())),
            _ => None,
        };
        assert_eq!(proxy.ear.wait(epoch).await, (0, vec![(0, 3), (2, 2)]));
        let name = config["upstream_proxies"][0]["url"].as_str().unwrap().to_owned();
        let steer = |order| proxy.proxy.steer(&name, order, Operator { uid: 0, pid: None }).unwrap();
        steer(Order::Eject);
        assert_eq!(proxy.ear.wait_nth(2, epoch).await, (1, vec![(2, 2)]));
        steer(Order::Restore);
        assert_eq!(proxy.ear.wait_nth(3, epoch).await, (2, vec![(0, 3), (2, 2)]));
        config["upstream_proxies"][1]["weight"] = json!(1);
        proxy.proxy.reload(parse(&config)).unwrap();
        assert_eq!(proxy.ear.wait_nth(4, epoch).await, (3, vec![(0, 3), (1, 1), (2, 2)]));
    });
}
