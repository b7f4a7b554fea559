//! Tests who probes an upstream that is out, when, and with what; and what readiness makes of it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use proxy::testing::MemoryStream;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::http::plain::{get, reply, server};
use crate::support::{Client, Double, Ear, Heard, Memory, TestProxy, config, parse, run, run_paused};
use crate::tunnels::timing::{addr, connect, millis, opening, secs, silent, with_timeouts};

async fn recovered(ear: &Ear) {
    ear.wait(|heard| matches!(heard, Heard::Recovered { .. }).then_some(())).await;
}

async fn ejected(ear: &Ear) {
    ear.wait(|heard| matches!(heard, Heard::Ejected { .. }).then_some(())).await;
}

/// One failure ejects, and the first probe comes after 4 s (the environment's random numbers are 0).
fn strict(config: &mut Value) {
    config["health_check"]["failure_threshold"] = json!(1);
    config["health_check"]["backoff_base"] = json!("5s");
}

async fn is_ready(net: &Memory) -> bool {
    let mut client = net.client();
    client.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    client.head().await.starts_with("HTTP/1.1 200 ")
}

/// It was shown its credentials for as long as a probe had targets left.
#[test]
fn an_upstream_that_a_reload_removes_is_asked_nothing_more_by_its_probe() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), Duration::ZERO, silent).await;
        net.serve(addr(2), Duration::ZERO, opening).await;
        let with = |upstreams: &[SocketAddr]| {
            let mut config = with_timeouts(upstreams, json!({ "reply": "3s" }));
            strict(&mut config);
            parse(&config)
        };
        let (proxy, ear) = net.start(with(&[addr(1), addr(2)])).await;
        // What the second opens the first is asked for, again and again.
        assert_eq!(connect(&mut net.client()).await, 200);
        ear.wait(|heard| matches!(heard, Heard::Suspected { .. }).then_some(())).await;
        sleep(secs(1)).await;
        let asked = || net.connects().iter().filter(|(_, to)| *to == addr(1)).count();
        let before = asked();
        assert_eq!(before, 2, "the request's attempt and the probe's first target");
        proxy.reload(with(&[addr(2)])).unwrap();
        sleep(secs(60)).await;
        assert_eq!(asked(), before);
    });
}

/// A balancer that sends nothing to who is not ready would never learn that it is again.
#[test]
fn after_an_outage_of_all_upstreams_it_is_ready_again_without_any_traffic() {
    run_paused(async {
        let net = Memory::default();
        let mut config = with_timeouts(&[addr(1), addr(2)], json!({}));
        strict(&mut config);
        let (_, ear) = net.start(parse(&config)).await;
        assert!(is_ready(&net).await);
        assert_eq!(connect(&mut net.client()).await, 502);
        assert!(!is_ready(&net).await);
        sleep(secs(6)).await;
        assert!(!is_ready(&net).await, "the first probes found nobody");
        for upstream in [addr(1), addr(2)] {
            net.serve(upstream, Duration::ZERO, opening).await;
        }
        recovered(&ear).await;
        assert!(is_ready(&net).await);
        assert!(net.elapsed() <= secs(4 + 8));
        ear.wait_nth(2, |heard| matches!(heard, Heard::Recovered { .. }).then_some(())).await;
    });
}

/// A connection that stood and was reset before anything could be asked for says nothing, and the next probe comes all the same.
#[test]
fn a_probe_that_nothing_was_learned_by_is_not_the_last_one() {
    run_paused(async {
        let net = Memory::default();
        let mut config = with_timeouts(&[addr(1)], json!({}));
        strict(&mut config);
        let (_, ear) = net.start(parse(&config)).await;
        assert_eq!(connect(&mut net.client()).await, 502);
        ejected(&ear).await;
        net.fail(addr(1), ErrorKind::ConnectionReset);
        let told = |heard: &Heard| match heard {
            Heard::Attempt { failure: Some("reset_before_head"), .. } => Some(()),
            _ => None,
        };
        ear.wait(told).await;
        net.serve(addr(1), Duration::ZERO, opening).await;
        recovered(&ear).await;
    });
}

/// What it is charged with can't be disproved without a target, but it is there: a request could be served.
#[test]
fn a_last_resort_that_was_reached_makes_ready_and_the_first_target_probes_it() {
    run_paused(async {
        let net = Memory::default();
        let locked = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&locked);
        net.serve(addr(1), Duration::ZERO, move |mut peer: Client<MemoryStream>| {
            let locked = asked.load(Ordering::SeqCst);
            async move {
                if peer.next_head().await.is_some() {
                    peer.send(if locked { "HTTP/1.1 407 Who?\r\n\r\n" } else { "HTTP/1.1 200 OK\r\n\r\n" }).await;
                    let _ = peer.rest().await;
                }
            }
        })
        .await;
        let mut config = with_timeouts(&[addr(1), addr(2)], json!({}));
        strict(&mut config);
        let (_, ear) = net.start(parse(&config)).await;
        assert_eq!(connect(&mut net.client()).await, 502);
        assert!(!is_ready(&net).await);
        sleep(secs(12)).await;
        assert!(is_ready(&net).await);
        assert!(!ear.heard().iter().any(|heard| matches!(heard, Heard::Recovered { .. })));
        // The other one comes back, and what it opens is what the first is probed with.
        locked.store(false, Ordering::SeqCst);
        net.serve(addr(2), Duration::ZERO, opening).await;
        let second =
            |heard: &Heard| matches!(heard, Heard::Recovered { url } if url.contains("10.0.0.2")).then_some(());
        ear.wait(second).await;
        let before = net.elapsed();
        assert_eq!(connect(&mut net.client()).await, 200);
        ear.wait_nth(2, |heard| matches!(heard, Heard::Recovered { .. }).then_some(())).await;
        assert_eq!(net.elapsed(), before, "at once");
    });
}

#[test]
fn no_request_ever_serves_as_a_probe() {
    run_paused(async {
        let net = Memory::default();
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        // It refuses at first, then accepts and says nothing to anybody.
        net.serve(addr(2), Duration::ZERO, async |mut peer: Client<MemoryStream>| {
            while let Some(head) = peer.next_head().await {
                if head.starts_with("POST ") {
                    peer.exactly(5).await;
                }
                peer.send(if head.starts_with("CONNECT ") {
                    "HTTP/1.1 200 OK\r\n\r\n".to_owned()
                } else {
                    reply(200, "")
                })
                .await;
            }
        })
        .await;
        let mut config = with_timeouts(&[addr(1), addr(2)], json!({ "reply": "20s" }));
        strict(&mut config);
        config["health_check"]["timeout_seconds"] = json!(1);
        let (_, ear) = net.start(parse(&config)).await;
        assert_eq!(connect(&mut net.client()).await, 200);
        ejected(&ear).await;
        net.serve(addr(1), Duration::ZERO, move |mut peer: Client<MemoryStream>| {
            let seen = Arc::clone(&seen);
            async move {
                if let Some(head) = peer.next_head().await {
                    let probe = head.starts_with("CONNECT ") || head.starts_with("HEAD ");
                    seen.fetch_add(usize::from(!probe), Ordering::SeqCst);
                }
                let _ = peer.rest().await;
            }
        })
        .await;
        for _ in 0..300 {
            sleep(millis(99)).await;
            let before = net.elapsed();
            let mut client = net.client();
            let body = "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
            client.send(body).await;
            assert!(client.head().await.starts_with("HTTP/1.1 200 "));
            let mut client = net.client();
            client.send(get("/")).await;
            assert!(client.head().await.starts_with("HTTP/1.1 200 "));
            assert_eq!(connect(&mut net.client()).await, 200);
            assert_eq!(net.elapsed(), before, "no request waits");
        }
        assert_eq!(requests.load(Ordering::SeqCst), 0);
        let probes = ear.heard().into_iter().filter(|heard| matches!(heard, Heard::Pick { probe: true, .. })).count();
        assert!(probes > 1, "it was probed meanwhile: {probes}");
    });
}

/// Where there is plain HTTP only, the proxy asks for the head of a page that another upstream brought.
#[test]
fn a_page_that_another_upstream_brought_disproves_what_pages_were_charged() {
    run(async {
        let broken = Arc::new(AtomicBool::new(true));
        let state = Arc::clone(&broken);
        let (bad, mut asked) =
            server(move |_, _| if state.load(Ordering::SeqCst) { reply(502, "bad") } else { reply(200, "") }).await;
        let (good, _good) = server(|_, _| reply(200, "good")).await;
        let mut config = config(&[bad.addr, good.addr]);
        config["health_check"] = json!({ "failure_threshold": 1, "backoff_base": "20ms", "backoff_max": "20ms" });
        let proxy = TestProxy::start(config).await;
        let fetch = async || {
            let mut client = proxy.client().await;
            client.send(get("/secret?path")).await;
            client.response().await
        };
        assert_eq!(fetch().await.1, b"good");
        ejected(&proxy.ear).await;
        broken.store(false, Ordering::SeqCst);
        recovered(&proxy.ear).await;
        asked.recv().await.unwrap();
        let (_, head) = asked.recv().await.unwrap();
        assert!(head.starts_with("HEAD http://a.test/ HTTP/1.1\r\nHost: a.test\r\nVia: 1.1 "), "{head}");
    });
}

/// With the check endpoint down, what the traffic opens shows whether the upstream works.
#[test]
fn a_dead_check_endpoint_keeps_nobody_out_that_opens_what_others_open() {
    run(async {
        let refused = Arc::new(AtomicBool::new(true));
        let state = Arc::clone(&refused);
        let moody = Double::scripted(move |_, mut peer| {
            let refused = state.load(Ordering::SeqCst);
            async move {
                let head = peer.head().await;
                let open = !refused && !head.starts_with("CONNECT check.test:443 ");
                let reply = if refused {
                    "HTTP/1.1 407 Who?"
                } else if open {
                    "HTTP/1.1 200 OK"
                } else {
                    "HTTP/1.1 502 No"
                };
                peer.send(format!("{reply}\r\n\r\n")).await;
                let _ = peer.rest().await;
            }
        })
        .await;
        let sound = Double::scripted(|_, mut peer| async move {
            let dead = peer.head().await.starts_with("CONNECT check.test:443 ");
            peer.send(if dead { "HTTP/1.1 502 No\r\n\r\n" } else { "HTTP/1.1 200 OK\r\n\r\n" }).await;
            let _ = peer.rest().await;
        })
        .await;
        let mut config = config(&[moody.addr, sound.addr]);
        config["health_check"] = json!({
            "enabled": true, "endpoints": ["check.test:443", "check.test:443"], "failure_threshold": 1,
            "interval_seconds": 3600, "backoff_base": "20ms", "backoff_max": "20ms"
        });
        let proxy = TestProxy::start(config).await;
        drop(proxy.tunnel("a.test:443").await);
        drop(proxy.tunnel("a.test:443").await);
        ejected(&proxy.ear).await;
        refused.store(false, Ordering::SeqCst);
        recovered(&proxy.ear).await;
        // A probe was given back once, at its end.
        let heard = proxy.ear.heard();
        let probes = heard.iter().filter(|heard| matches!(heard, Heard::Pick { probe: true, .. })).count();
        let ended =
            heard.iter().filter(|heard| matches!(heard, Heard::BackedOff { .. } | Heard::Recovered { .. })).count();
        assert_eq!(probes, ended);
    });
}

/// The password is another now; what was said to the old one is old.
#[test]
fn a_407_mended_by_a_reload_need_not_wait_for_its_back_off() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            // "u:right"
            let known = peer.head().await.contains("\r\nProxy-Authorization: Basic dTpyaWdodA==\r\n");
            peer.send(if known { "HTTP/1.1 200 OK\r\n\r\n" } else { "HTTP/1.1 407 Who?\r\n\r\n" }).await;
            let _ = peer.rest().await;
        })
        .await;
        let (other, _) = Double::mock("other").await;
        let with = |password: &str| {
            let mut config = config(&[other.addr]);
            let url = format!("http://u:{password}@{}", upstream.addr);
            config["upstream_proxies"].as_array_mut().unwrap().push(json!({ "url": url, "weight": 10 }));
            config["health_check"] = json!({ "failure_threshold": 1, "backoff_base": "1h", "backoff_max": "1h" });
            config
        };
        let proxy = TestProxy::start(with("wrong")).await;
        drop(proxy.tunnel("echo.mock:80").await);
        ejected(&proxy.ear).await;
        // A change that has nothing to do with it leaves it out.
        let mut tagged = with("wrong");
        tagged["upstream_proxies"][1]["tag"] = json!("x");
        proxy.proxy.reload(parse(&tagged)).unwrap();
        assert!(!proxy.ear.heard().iter().any(|heard| matches!(heard, Heard::Recovered { .. })));
        proxy.proxy.reload(parse(&with("right"))).unwrap();
        recovered(&proxy.ear).await;
        for _ in 0..5 {
            drop(proxy.tunnel("echo.mock:80").await);
        }
        let url = format!("http://{}", upstream.addr);
        assert!(!proxy.ear.heard().iter().any(|heard| matches!(heard, Heard::BackedOff { url: one } if *one == url)));
        let stats = proxy.stats().await;
        assert_eq!(stats["total"]["upstream_metrics"][1]["healthy"], true);
    });
}
