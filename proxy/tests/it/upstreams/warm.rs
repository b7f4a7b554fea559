//! Tests connections that are opened before a CONNECT asks for one.

use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proxy::Proxy;
use proxy::testing::{MemoryEnv, MemoryStream};
use rustls::HandshakeKind;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::tls::{self, Certificates};
use crate::http::plain::get;
use crate::support::{Client, Double, Ear, Heard, Memory, TestProxy, config, parse, run, run_paused};
use crate::tunnels::timing::{addr, connect, millis, secs, with_timeouts};

const OK: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// A proxy in memory whose only upstream is a connection away for 100 ms, and what that has seen.
struct Scene {
    net: Memory,
    proxy: Proxy<MemoryEnv>,
    ear: Ear,
    config: Value,
    seen: Seen,
}

/// How many connections the upstream has seen, and how many are open.
#[derive(Clone, Default)]
struct Seen {
    all: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Seen {
    fn all(&self) -> usize {
        self.all.load(Ordering::SeqCst)
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Opens every tunnel, and leaves its end to the client.
async fn good(mut peer: Client<MemoryStream>, _: usize) {
    if peer.next_head().await.is_some() {
        peer.send(OK).await;
        let _ = peer.rest().await;
    }
}

impl Scene {
    /// With these `warm_connections`; each connection is served by `script`, with its number from 1.
    async fn of<F, Fut>(warm: Value, script: F) -> Self
    where
        F: Fn(Client<MemoryStream>, usize) -> Fut + Send + Clone + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (net, seen) = (Memory::default(), Seen::default());
        let counts = seen.clone();
        let counted = move |peer: Client<MemoryStream>| {
            let (counts, script) = (counts.clone(), script.clone());
            async move {
                let number = counts.all.fetch_add(1, Ordering::SeqCst) + 1;
                counts.open.fetch_add(1, Ordering::SeqCst);
                script(peer, number).await;
                counts.open.fetch_sub(1, Ordering::SeqCst);
            }
        };
        net.serve(addr(1), millis(100), counted).await;
        let mut config = with_timeouts(&[addr(1)], json!({}));
        if !warm.is_null() {
            config["upstream_proxies"][0]["warm_connections"] = warm;
        }
        let (proxy, ear) = net.start(parse(&config)).await;
        Scene { net, proxy, ear, config, seen }
    }

    async fn good(warm: Value) -> Self {
        Scene::of(warm, good).await
    }

    /// Opens a tunnel, and returns it and how long that took.
    async fn tunnel(&self) -> (Client<MemoryStream>, Duration) {
        let began = self.net.elapsed();
        let mut client = self.net.client();
        assert_eq!(connect(&mut client).await, 200);
        (client, self.net.elapsed() - began)
    }

    fn reload(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.config.clone();
        change(&mut config);
        self.proxy.reload(parse(&config)).unwrap();
    }

    /// Asserts that no attempt failed, and that nobody was blamed.
    fn nothing_failed(&self) {
        for heard in self.ear.heard() {
            assert!(!matches!(heard, Heard::Blamed { .. } | Heard::Attempt { failure: Some(_), .. }), "{heard:?}");
        }
    }
}

/// The order is what counts: the connection was accepted before the second tunnel was asked for.
#[test]
fn a_tunnel_takes_a_connection_that_was_open_before_it() {
    run(async {
        let (told, mut hears) = mpsc::unbounded_channel();
        let upstream = Double::scripted(move |number, mut peer| {
            let told = told.clone();
            async move {
                told.send((number, "accepted".to_owned())).unwrap();
                if let Some(head) = peer.next_head().await {
                    told.send((number, head.lines().next().unwrap().to_owned())).unwrap();
                    peer.send(OK).await;
                    let _ = peer.rest().await;
                }
            }
        })
        .await;
        let mut config = config(&[upstream.addr]);
        config["upstream_proxies"][0]["warm_connections"] = json!({ "max": 1, "max_age": "1h" });
        let proxy = TestProxy::start(config).await;
        let mut heard = async || hears.recv().await.unwrap();
        let _first = proxy.asked("one.test:80").await;
        let mut seen = [heard().await, heard().await, heard().await];
        seen.sort();
        let told = |number, what: &str| (number, what.to_owned());
        // Nothing has been asked for on the second connection.
        assert_eq!(seen, [told(0, "CONNECT one.test:80 HTTP/1.1"), told(0, "accepted"), told(1, "accepted")]);
        while proxy.stats().await["total"]["upstream_metrics"][0]["warm_connections"] != 1 {}
        let _second = proxy.asked("two.test:80").await;
        let mut seen = [heard().await, heard().await];
        seen.sort();
        assert_eq!(seen, [told(1, "CONNECT two.test:80 HTTP/1.1"), told(2, "accepted")]);
    });
}

#[test]
fn a_tunnel_waits_for_no_connection_but_the_first() {
    run_paused(async {
        let scene = Scene::good(json!({})).await;
        let mut took = Vec::new();
        for _ in 0..5 {
            took.push(scene.tunnel().await.1.as_millis());
            sleep(secs(1)).await;
        }
        assert_eq!(took, [100, 0, 0, 0, 0]);
    });
}

#[test]
fn without_the_setting_and_before_the_first_tunnel_there_are_none() {
    run_paused(async {
        let scene = Scene::good(json!({})).await;
        sleep(secs(10)).await;
        // Plain HTTP asks for none, and takes none.
        let mut client = scene.net.client();
        client.send(get("/")).await;
        client.head().await;
        sleep(secs(1)).await;
        assert_eq!(scene.seen.all(), 1);
        let scene = Scene::good(Value::Null).await;
        for _ in 0..5 {
            assert_eq!(scene.tunnel().await.1, millis(100));
        }
        sleep(secs(1)).await;
        assert_eq!(scene.seen.all(), 5);
    });
}

/// 40 tunnels a second and 100 ms: four come while one opens, and two more are in their scatter.
#[test]
fn there_are_as_many_as_come_while_one_opens_and_no_more_than_allowed() {
    for (max, open) in [(100, 6), (3, 3)] {
        run_paused(async move {
            let scene = Scene::good(json!({ "max": max })).await;
            for _ in 0..80 {
                drop(scene.tunnel().await);
                sleep(millis(25)).await;
            }
            sleep(millis(500)).await;
            assert_eq!(scene.seen.open(), open);
        });
    }
}

#[test]
fn one_is_renewed_at_its_age_until_nobody_has_asked_for_a_minute() {
    run_paused(async {
        let scene = Scene::good(json!({ "max_age": "5s" })).await;
        drop(scene.tunnel().await);
        for _ in 0..55 {
            sleep(secs(1)).await;
            assert!(scene.seen.open() <= 1);
        }
        let renewed = scene.seen.all();
        assert!((11..=13).contains(&renewed), "{renewed}");
        assert_eq!(scene.tunnel().await.1, Duration::ZERO);
        sleep(secs(66)).await;
        let all = scene.seen.all();
        sleep(secs(60)).await;
        assert_eq!((scene.seen.open(), scene.seen.all()), (0, all));
    });
}

#[test]
fn one_that_the_upstream_closes_at_last_is_replaced_at_once() {
    run_paused(async {
        let closing = |peer: Client<MemoryStream>, number| async move {
            if number == 2 { sleep(millis(1500)).await } else { good(peer, number).await }
        };
        let scene = Scene::of(json!({ "max_age": "1h" }), closing).await;
        drop(scene.tunnel().await);
        sleep(millis(1750)).await;
        assert_eq!((scene.seen.all(), scene.seen.open()), (3, 1));
        assert_eq!(scene.tunnel().await.1, Duration::ZERO);
        scene.nothing_failed();
    });
}

#[test]
fn one_that_the_upstream_closed_is_replaced() {
    run_paused(async {
        let closing = |mut peer: Client<MemoryStream>, number| async move {
            if number == 2 {
                // A byte that nobody asked for makes it as useless as an end.
                peer.send("x").await;
                let _ = peer.rest().await;
            } else if number != 3 {
                good(peer, number).await;
            }
        };
        let scene = Scene::of(json!({ "max_age": "1h" }), closing).await;
        drop(scene.tunnel().await);
        // They end as soon as they are open, so there are pauses of one and of two seconds.
        sleep(millis(3150)).await;
        assert_eq!((scene.seen.all(), scene.seen.open()), (3, 0));
        sleep(millis(250)).await;
        assert_eq!((scene.seen.all(), scene.seen.open()), (4, 1));
        assert_eq!(scene.tunnel().await.1, Duration::ZERO);
        scene.nothing_failed();
    });
}

/// It was closing while the CONNECT was on its way, which nobody has to answer for.
#[test]
fn a_tunnel_that_meets_a_closing_one_gets_a_connection_of_its_own_in_the_same_attempt() {
    let end = |peer: Client<MemoryStream>| drop(peer);
    let reset = |peer: Client<MemoryStream>| peer.abort();
    for close in [end as fn(_), reset as fn(_)] {
        run_paused(async move {
            let closing = move |mut peer: Client<MemoryStream>, number| async move {
                if number == 2 {
                    peer.head().await;
                    close(peer);
                } else {
                    good(peer, number).await;
                }
            };
            let scene = Scene::of(json!({ "max": 1 }), closing).await;
            drop(scene.tunnel().await);
            sleep(secs(1)).await;
            assert_eq!(scene.tunnel().await.1, millis(100));
            scene.nothing_failed();
            let picks = scene.ear.heard().iter().filter(|one| matches!(one, Heard::Pick { .. })).count();
            assert_eq!(picks, 2);
        });
    }
}

#[test]
fn an_upstream_that_has_waited_too_long_for_a_head_is_asked_anew() {
    run_paused(async {
        let late = |mut peer: Client<MemoryStream>, number| async move {
            if number == 2 {
                peer.head().await;
                peer.send("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
            } else {
                good(peer, number).await;
            }
        };
        let scene = Scene::of(json!({ "max": 1 }), late).await;
        drop(scene.tunnel().await);
        sleep(secs(1)).await;
        assert_eq!(scene.tunnel().await.1, millis(100));
        scene.nothing_failed();
    });
}

/// What comes as an answer is one, on a warm connection too.
#[test]
fn a_refusal_on_a_warm_connection_counts() {
    run_paused(async {
        let refusing = |mut peer: Client<MemoryStream>, number| async move {
            if number == 2 {
                peer.head().await;
                peer.send("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n").await;
            } else {
                good(peer, number).await;
            }
        };
        let scene = Scene::of(json!({ "max": 1 }), refusing).await;
        drop(scene.tunnel().await);
        sleep(secs(1)).await;
        assert_eq!(connect(&mut scene.net.client()).await, 502);
        let blamed = |heard: &Heard| matches!(heard, Heard::Blamed { .. }).then_some(());
        scene.ear.wait(blamed).await;
    });
}

#[test]
fn one_that_fails_to_open_is_tried_again_behind_growing_pauses_and_blamed_on_nobody() {
    run_paused(async {
        let scene = Scene::good(json!({ "max": 10 })).await;
        let (_tunnel, _) = scene.tunnel().await;
        for _ in 0..100 {
            sleep(millis(10)).await;
            drop(scene.tunnel().await);
        }
        scene.net.fail(addr(1), ErrorKind::ConnectionRefused);
        let before = scene.net.connects().len();
        let began = scene.net.elapsed();
        sleep(secs(33)).await;
        let tried: Vec<_> = scene.net.connects()[before..].iter().map(|(at, _)| (*at - began).as_secs()).collect();
        // All were let in before, so the first that fails is one that replaces an old one.
        let first = tried.iter().filter(|at| **at == tried[0]).count();
        let pauses: Vec<_> = tried[first..].iter().map(|at| at - tried[0]).collect();
        assert_eq!(pauses, [1, 3, 7, 15], "{tried:?}");
        scene.nothing_failed();
    });
}

#[test]
fn an_upstream_that_takes_no_picks_has_none() {
    run_paused(async {
        let refusing = |mut peer: Client<MemoryStream>, number| async move {
            if number == 4 {
                peer.head().await;
                peer.send("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n").await;
            } else {
                good(peer, number).await;
            }
        };
        let mut scene = Scene::of(json!({ "max": 1 }), refusing).await;
        // A check at once, and an endpoint for the probe to ask for.
        scene.config["health_check"] = json!({
            "failure_threshold": 1, "enabled": true, "endpoints": ["a.test:443"], "interval_seconds": 3600,
        });
        scene.reload(|_| {});
        for _ in 0..2 {
            drop(scene.tunnel().await);
            sleep(secs(1)).await;
        }
        assert_eq!(scene.seen.open(), 1);
        assert_eq!(connect(&mut scene.net.client()).await, 502);
        sleep(secs(3)).await;
        assert_eq!((scene.seen.open(), scene.seen.all()), (0, 5), "ejected");
        let recovered = |heard: &Heard| matches!(heard, Heard::Recovered { .. }).then_some(());
        scene.ear.wait(recovered).await;
        sleep(secs(1)).await;
        assert_eq!(scene.seen.open(), 1, "it is back");
        scene.reload(|config| {
            config["upstream_proxies"][0]["weight"] = json!(0);
            config["upstream_proxies"].as_array_mut().unwrap().push(json!({ "url": format!("http://{}", addr(2)) }));
        });
        sleep(secs(1)).await;
        assert_eq!(scene.seen.open(), 0, "without a weight");
        scene.reload(|_| {});
        sleep(secs(1)).await;
        assert_eq!(scene.seen.open(), 1, "with one");
        scene.reload(|config| config["upstream_proxies"] = json!([{ "url": format!("http://{}", addr(2)) }]));
        sleep(secs(1)).await;
        assert_eq!(scene.seen.open(), 0, "removed");
    });
}

#[test]
fn they_close_with_the_end_of_accepting_though_a_tunnel_goes_on() {
    run_paused(async {
        let mut scene = Scene::good(json!({ "max_age": "1h" })).await;
        scene.config["server"]["drain_delay"] = json!("5s");
        scene.reload(|_| {});
        let (mut tunnel, _) = scene.tunnel().await;
        sleep(secs(1)).await;
        assert_eq!(scene.seen.open(), 2);
        let ended = async {
            sleep(secs(4)).await;
            assert_eq!(scene.seen.open(), 2, "requests are still served");
            sleep(secs(2)).await;
            assert_eq!(scene.seen.open(), 1);
            tunnel.finish().await;
            let _ = tunnel.rest().await;
        };
        let (reset, ()) = tokio::join!(scene.proxy.drain(), ended);
        assert_eq!((reset, scene.seen.open()), (0, 0));
    });
}

#[test]
fn sessions_with_upstreams_are_resumed_and_connections_inside_tls_are_warm() {
    run(async {
        let certificates = Certificates::new();
        let (told, mut hears) = mpsc::unbounded_channel();
        let port = tls::upstream(&certificates, move |mut peer| {
            told.send(peer.stream.get_ref().1.handshake_kind()).unwrap();
            async move {
                if peer.next_head().await.is_some() {
                    peer.send(OK).await;
                    let _ = peer.rest().await;
                }
            }
        })
        .await;
        let entry = tls::entry("localhost", port, "ca.pem");
        let proxy = TestProxy::with(certificates.read(&tls::with_upstreams(json!([entry])))).await;
        let _first = proxy.tunnel("a.test:443").await;
        assert_eq!(hears.recv().await.unwrap(), Some(HandshakeKind::Full));
        let _second = proxy.tunnel("a.test:443").await;
        assert_eq!(hears.recv().await.unwrap(), Some(HandshakeKind::Resumed));

        let mut entry = entry;
        entry["warm_connections"] = json!({ "max": 1, "max_age": "1h" });
        let proxy = TestProxy::with(certificates.read(&tls::with_upstreams(json!([entry])))).await;
        let _first = proxy.tunnel("a.test:443").await;
        assert_eq!(hears.recv().await.unwrap(), Some(HandshakeKind::Full));
        // It was begun before the first had the upstream's tickets, or behind that.
        assert!(hears.recv().await.unwrap().is_some());
        while proxy.stats().await["total"]["upstream_metrics"][0]["warm_connections"] != 1 {}
        let _second = proxy.tunnel("a.test:443").await;
        assert_eq!(hears.recv().await.unwrap(), Some(HandshakeKind::Resumed), "the one that is warm next");
    });
}
