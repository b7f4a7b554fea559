//! Tests how many are opened, when, and who takes them.

use rustls::HandshakeKind;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{OK, Scene};
use crate::http::plain::get;
use crate::support::{Double, TestProxy, config, run, run_paused};
use crate::tunnels::timing::{millis, secs};
use crate::upstreams::tls::{self, Certificates};

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
