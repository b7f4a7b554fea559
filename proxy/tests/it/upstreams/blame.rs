//! Tests that nothing which targets do through sound upstreams ejects one of these.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proxy::core::attribution::{Blame, Rule};
use proxy::testing::MemoryStream;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::http::plain::reply;
use crate::support::{Client, Double, Ear, Heard, Memory, Peer, TestProxy, config, parse, run, run_paused};
use crate::tunnels::timing::{addr, connect, millis, opening, secs, with_timeouts};

/// `config` with back-offs that outlast the test.
fn patient(upstreams: &[SocketAddr]) -> Value {
    let mut config = config(upstreams);
    config["health_check"] = json!({ "backoff_base": "1h", "backoff_max": "1h" });
    config
}

fn count(ear: &Ear, wanted: fn(&Heard) -> bool) -> usize {
    ear.heard().iter().filter(|heard| wanted(heard)).count()
}

fn suspected(ear: &Ear) -> usize {
    count(ear, |heard| matches!(heard, Heard::Suspected { .. }))
}

fn ejected(ear: &Ear) -> usize {
    count(ear, |heard| matches!(heard, Heard::Ejected { .. }))
}

/// Waits until all who were set aside are back.
async fn all_back(ear: &Ear) {
    let recovered = |heard: &Heard| matches!(heard, Heard::Recovered { .. }).then_some(());
    let out = suspected(ear);
    if out > 0 {
        ear.wait_nth(out, recovered).await;
    }
    assert_eq!(ejected(ear), 0);
}

/// Three upstreams that open whatever they are asked for and have `serve` speak for the target: of a CONNECT the head, of
/// plain HTTP each request on the connection.
async fn sound<F, Fut>(serve: F) -> Vec<SocketAddr>
where
    F: Fn(String, Peer) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut upstreams = Vec::new();
    for _ in 0..3 {
        let serve = serve.clone();
        let double = Double::scripted(move |_, mut peer| {
            let serve = serve.clone();
            async move {
                let head = peer.head().await;
                serve(head, peer).await;
            }
        });
        upstreams.push(double.await.addr);
    }
    upstreams
}

/// Reads on until the proxy has had enough.
async fn listen(mut peer: Peer) {
    let _ = peer.rest().await;
}

async fn page(proxy: &TestProxy, path: &str) -> String {
    let mut client = proxy.client().await;
    client.send(format!("GET http://a.test{path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await;
    client.response().await.0
}

async fn tunnel(proxy: &TestProxy, target: &str) -> u16 {
    let mut client = proxy.asked(target).await;
    let head = client.head().await;
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Everything in a reply to plain HTTP is the target's writing.
#[test]
fn one_odd_page_ejects_nobody() {
    let oversized = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20 * 1024));
    let pages: [&'static str; 10] = [
        "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "",
        Box::leak(oversized.into_boxed_str()),
    ];
    for odd in pages {
        run(async move {
            let upstreams = sound(move |_, mut peer| async move {
                peer.send(odd).await;
                peer.finish().await;
                listen(peer).await;
            });
            let proxy = TestProxy::start(patient(&upstreams.await)).await;
            for number in 1..=9 {
                let head = page(&proxy, "/odd").await;
                assert!(head.starts_with("HTTP/1.1 50") || head.starts_with("HTTP/1.1 200 "), "{odd:.60}: {head}");
                proxy.ear.finished(number).await;
            }
            assert_eq!((suspected(&proxy.ear), ejected(&proxy.ear)), (0, 0), "{odd:.60}");
        });
    }
}

/// The same by an origin that is odd two times of three: each upstream looks bad where another does not.
#[test]
fn an_origin_that_answers_one_time_in_three_takes_nobody_out_for_longer_than_a_probe() {
    run(async {
        let asked = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let upstreams = sound(move |head, mut peer| {
            let asked = Arc::clone(&asked);
            async move {
                // Probes take their own turns, so that it is sure which of them is answered.
                let (gets, heads) = &*asked;
                let turns = if head.starts_with("HEAD ") { heads } else { gets };
                let status = if turns.fetch_add(1, Ordering::SeqCst) % 3 == 2 { 200 } else { 503 };
                peer.send(reply(status, "")).await;
                peer.finish().await;
                listen(peer).await;
            }
        });
        let mut config = patient(&upstreams.await);
        config["health_check"]["failure_threshold"] = json!(1);
        let proxy = TestProxy::start(config).await;
        for number in 1..=60 {
            assert!(page(&proxy, "/").await.starts_with("HTTP/1.1 "));
            proxy.ear.finished(number).await;
            all_back(&proxy.ear).await;
        }
        assert!(suspected(&proxy.ear) > 5, "the test has no point otherwise");
    });
}

#[test]
fn a_flaky_target_takes_nobody_out_for_longer_than_a_probe() {
    run(async {
        let asked = Arc::new(AtomicUsize::new(0));
        let upstreams = sound(move |_, mut peer| {
            let open = asked.fetch_add(1, Ordering::SeqCst) % 3 == 2;
            async move {
                peer.send(if open { "HTTP/1.1 200 OK\r\n\r\n" } else { "HTTP/1.1 503 Busy\r\n\r\n" }).await;
                listen(peer).await;
            }
        });
        let mut config = patient(&upstreams.await);
        config["health_check"]["failure_threshold"] = json!(1);
        let proxy = TestProxy::start(config).await;
        for number in 1..=60 {
            tunnel(&proxy, "flaky.test:443").await;
            proxy.ear.finished(number).await;
            all_back(&proxy.ear).await;
        }
        assert!(suspected(&proxy.ear) > 5, "the test has no point otherwise");
    });
}

#[test]
fn a_port_that_two_of_three_upstreams_forbid_takes_neither_out_for_longer_than_a_probe() {
    run(async {
        let forbidding = || {
            Double::scripted(|_, mut peer| async move {
                let forbidden = peer.head().await.starts_with("CONNECT mail.test:25 ");
                peer.send(if forbidden { "HTTP/1.1 403 No\r\n\r\n" } else { "HTTP/1.1 200 OK\r\n\r\n" }).await;
                listen(peer).await;
            })
        };
        let open = Double::replying("HTTP/1.1 200 OK\r\n\r\n").await;
        let upstreams = [forbidding().await.addr, forbidding().await.addr, open.addr];
        let proxy = TestProxy::start(patient(&upstreams)).await;
        for number in 1..=40 {
            let target = if number % 2 == 0 { "mail.test:25" } else { "www.test:443" };
            assert_eq!(tunnel(&proxy, target).await, 200);
            proxy.ear.finished(number).await;
            all_back(&proxy.ear).await;
        }
        // Whatever else they open counts as a success in between.
        let charged = |heard: &Heard| matches!(heard, Heard::Blamed { blame: Blame::Upstream, .. });
        assert!(count(&proxy.ear, charged) > 3, "the test has no point otherwise");
    });
}

/// Twelve upstreams that take a quarter of a second to reach, and a target that says nothing through any of them.
#[test]
fn a_silent_target_convicts_nobody_however_short_the_deadline() {
    for (request, attempts) in [("4s", 12), ("90s", 12), ("90s", 3)] {
        run_paused(async move {
            let net = Memory::default();
            let upstreams: Vec<_> = (1..=12).map(addr).collect();
            for upstream in &upstreams {
                let silent = async |mut peer: Client<MemoryStream>| drop(peer.rest().await);
                net.serve(*upstream, millis(250), silent).await;
            }
            let mut config = with_timeouts(&upstreams, json!({ "request": request }));
            config["failover"] = json!({ "max_attempts": attempts });
            config["health_check"] = json!({ "failure_threshold": 1 });
            let (_, ear) = net.start(parse(&config)).await;
            for _ in 0..4 {
                assert_eq!(connect(&mut net.client()).await, 504);
            }
            assert!(net.connects().len() >= 4 * 2, "it is tried elsewhere");
            assert_eq!((suspected(&ear), ejected(&ear)), (0, 0), "{request}, {attempts}");
            let blames = ear.heard().into_iter().filter(|heard| matches!(heard, Heard::Blamed { .. }));
            let charged = blames.filter(|heard| matches!(heard, Heard::Blamed { blame: Blame::Upstream, .. }));
            assert_eq!(charged.count(), 0);
        });
    }
}

#[test]
fn an_attempt_that_the_deadline_cut_short_charges_nobody_even_where_another_opens_the_target() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), Duration::ZERO, async |mut peer: Client<MemoryStream>| drop(peer.rest().await)).await;
        net.serve(addr(2), Duration::ZERO, opening).await;
        let mut config = with_timeouts(&[addr(1), addr(2)], json!({ "request": "20s", "reply": "30s" }));
        config["health_check"] = json!({ "failure_threshold": 1 });
        let (_, ear) = net.start(parse(&config)).await;
        for _ in 0..4 {
            assert_eq!(connect(&mut net.client()).await, 200);
        }
        assert_eq!(ear.finished(1).await.failed_attempts[0].failure, "cut_short");
        assert!(ear.heard().contains(&Heard::Blamed { upstream: 0, blame: Blame::Unknown, rule: Rule::CutShort }));
        assert_eq!((suspected(&ear), ejected(&ear)), (0, 0));
    });
}

/// Through upstreams that pass the reset on, as they should.
#[test]
fn a_target_that_resets_what_it_hears_ejects_nobody() {
    run(async {
        let upstreams = sound(|_, mut peer| async move {
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            peer.exactly(1).await;
            peer.reset();
        });
        let proxy = TestProxy::start(patient(&upstreams.await)).await;
        for number in 1..=12 {
            let mut client = proxy.tunnel("hates.test:443").await;
            client.send("hello").await;
            client.rest().await.unwrap_err();
            proxy.ear.finished(number).await;
        }
        assert_eq!((suspected(&proxy.ear), ejected(&proxy.ear)), (0, 0));
    });
}

/// It says 200 and ends, for whatever target, while others deliver from the same.
#[test]
fn an_upstream_that_says_200_and_nothing_more_loses_its_share() {
    run(async {
        let hollow = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            peer.finish().await;
            listen(peer).await;
        })
        .await;
        let (good, _) = Double::mock("good").await;
        let proxy = TestProxy::start(patient(&[hollow.addr, good.addr])).await;
        let ask = async |number| {
            let mut client = proxy.tunnel("echo.mock:80").await;
            let _ = client.stream.write_all(b"hello").await;
            let _ = client.stream.shutdown().await;
            let got = client.rest().await.unwrap_or_default();
            proxy.ear.finished(number).await;
            got
        };
        let mut number = 0;
        while suspected(&proxy.ear) == 0 {
            number += 1;
            ask(number).await;
        }
        let charged = Heard::Blamed { upstream: 0, blame: Blame::Upstream, rule: Rule::DeliveredElsewhere };
        assert_eq!(proxy.ear.heard().iter().filter(|heard| **heard == charged).count(), 3);
        // Its probe opens a tunnel too, and waits whether it stands.
        let url = format!("http://{}", hollow.addr);
        let out = |heard: &Heard| matches!(heard, Heard::Ejected { url: one, .. } if *one == url).then_some(());
        proxy.ear.wait(out).await;
        for _ in 0..4 {
            number += 1;
            assert_eq!(ask(number).await, b"hello");
        }
    });
}

#[test]
fn most_upstreams_out_of_reach_at_once_are_our_own_networks_fault() {
    run_paused(async {
        let net = Memory::default();
        let upstreams: Vec<_> = (1..=4).map(addr).collect();
        for upstream in &upstreams {
            net.black_hole(*upstream);
        }
        let (_, ear) = net.start(parse(&with_timeouts(&upstreams, json!({ "connect": "2s" })))).await;
        for _ in 0..8 {
            assert_eq!(connect(&mut net.client()).await, 504);
        }
        let blamed = |wanted: Blame| {
            ear.heard().iter().filter(|heard| matches!(heard, Heard::Blamed { blame, .. } if *blame == wanted)).count()
        };
        assert_eq!((blamed(Blame::Upstream), blamed(Blame::Netdrift)), (2, 22), "until most of them are lost");
        assert_eq!(ejected(&ear), 0);
        // The network is back for all but one: that is the upstream's own.
        for upstream in &upstreams[1..] {
            net.serve(*upstream, Duration::ZERO, opening).await;
        }
        while ejected(&ear) == 0 {
            assert_eq!(connect(&mut net.client()).await, 200);
            sleep(secs(1)).await;
        }
        assert!(blamed(Blame::Netdrift) <= 23, "no longer than until one of them was reached");
    });
}

/// Fifty upstreams, and nobody opens it.
#[test]
fn a_target_that_nobody_opens_is_asked_for_three_times() {
    run(async {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let refusing = Double::scripted(move |_, mut peer| {
            let asked = Arc::clone(&counted);
            async move {
                let head = peer.head().await;
                asked.fetch_add(1, Ordering::SeqCst);
                let status = if head.starts_with("CONNECT ") { "403 No" } else { "503 Busy" };
                peer.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")).await;
                listen(peer).await;
            }
        })
        .await;
        // All of them are one, by fifty names of its loopback address.
        let port = refusing.addr.port();
        let mut config = config(&[]);
        let upstreams = (1..=50).map(|n| json!({ "url": format!("http://user{n}:secret@127.0.0.1:{port}") }));
        config["upstream_proxies"] = upstreams.collect();
        let proxy = TestProxy::start(config).await;
        assert_eq!(tunnel(&proxy, "forbidden.test:443").await, 403);
        assert_eq!(asked.swap(0, Ordering::SeqCst), 3);
        for method in ["GET", "DELETE"] {
            let mut client = proxy.client().await;
            client.send(format!("{method} http://busy.test/ HTTP/1.1\r\nHost: busy.test\r\n\r\n")).await;
            assert!(client.response().await.0.starts_with("HTTP/1.1 503 "));
            assert_eq!(asked.swap(0, Ordering::SeqCst), 3, "{method}");
        }
    });
}

#[test]
fn all_requests_together_fail_over_no_more_than_their_budget() {
    run_paused(async {
        let net = Memory::default();
        let upstreams = [addr(1), addr(2), addr(3)];
        for upstream in upstreams {
            net.serve(upstream, Duration::ZERO, async |mut peer: Client<MemoryStream>| {
                peer.head().await;
                peer.send("HTTP/1.1 503 Busy\r\n\r\n").await;
            })
            .await;
        }
        let mut config = with_timeouts(&upstreams, json!({}));
        config["failover"] = json!({ "retry_budget_percent": 20, "retry_budget_min_per_second": 1 });
        let (_, _ear) = net.start(parse(&config)).await;
        for _ in 0..50 {
            assert_eq!(connect(&mut net.client()).await, 503);
        }
        assert_eq!(net.connects().len(), 50 + 50 / 5 + 10);
        sleep(secs(10)).await;
        assert_eq!(connect(&mut net.client()).await, 503);
        assert_eq!(net.connects().len(), 50 + 50 / 5 + 10 + 3, "what was ten seconds ago is over");
    });
}
