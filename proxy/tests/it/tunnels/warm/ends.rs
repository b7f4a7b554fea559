//! Tests how they end, and that nobody is blamed for it.

use std::io::ErrorKind;
use std::time::Duration;

use proxy::testing::MemoryStream;
use serde_json::json;
use tokio::time::sleep;

use super::{Scene, good};
use crate::support::{Client, Heard, run_paused};
use crate::tunnels::timing::{addr, connect, millis, secs};

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
fn they_close_where_another_process_takes_over() {
    run_paused(async {
        let scene = Scene::good(json!({ "max_age": "1h" })).await;
        let (mut tunnel, _) = scene.tunnel().await;
        sleep(secs(1)).await;
        assert_eq!(scene.seen.open(), 2);
        scene.proxy.hand_over().await;
        sleep(secs(1)).await;
        assert_eq!(scene.seen.open(), 1, "that of the tunnel");
        sleep(secs(5)).await;
        assert_eq!(scene.seen.open(), 1);
        tunnel.finish().await;
        let _ = tunnel.rest().await;
        scene.proxy.ended().await;
        assert_eq!(scene.seen.open(), 0);
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
fn a_reload_that_leaves_their_upstream_as_it_is_leaves_them_open() {
    run_paused(async {
        let scene = Scene::good(json!({ "max": 1, "max_age": "1h" })).await;
        let (_tunnel, _) = scene.tunnel().await;
        sleep(secs(1)).await;
        assert_eq!((scene.seen.all(), scene.seen.open()), (2, 2));
        scene.reload(|config| config["timeouts"]["dns"] = json!("7s"));
        sleep(secs(1)).await;
        assert_eq!((scene.seen.all(), scene.seen.open()), (2, 2));
        assert_eq!(scene.tunnel().await.1, Duration::ZERO);
    });
}
