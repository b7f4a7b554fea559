//! Tests what an operator sees of the open tunnels, and which of them are closed by hand.

use std::io::ErrorKind;
use std::time::Duration;

use proxy::env::{Env, RelayEnd};
use proxy::event::Summary;
use proxy::testing::{MemoryEnv, MemoryStream};
use proxy::{Criteria, Operator, Proxy, TunnelFilter};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::timing::{addr, secs, with_timeouts};
use super::tunnel::joined;
use crate::support::{Client, Ear, Heard, Memory, parse, run, run_paused};

const OPERATOR: Operator = Operator { uid: 1000, pid: Some(7) };

fn filter(which: Value) -> TunnelFilter {
    serde_json::from_value::<Criteria>(which).unwrap().try_into().unwrap()
}

async fn list<E: Env>(proxy: &Proxy<E>) -> Value {
    serde_json::from_str(&proxy.tunnels().await).unwrap()
}

async fn close<E: Env>(proxy: &Proxy<E>, which: Value) -> usize {
    proxy.close_tunnels(&filter(which), OPERATOR).await.unwrap()
}

/// A proxy before two upstreams that open every tunnel and echo, for users `u` and `v`.
struct World {
    net: Memory,
    proxy: Proxy<MemoryEnv>,
    ear: Ear,
    config: Value,
}

impl World {
    async fn new() -> Self {
        let net = Memory::default();
        for upstream in [addr(1), addr(2)] {
            net.serve(upstream, Duration::ZERO, |mut peer| async move {
                peer.head().await;
                peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
                let (mut from, mut to) = tokio::io::split(peer.stream);
                let _ = tokio::io::copy(&mut from, &mut to).await;
            })
            .await;
        }
        let mut config = with_timeouts(&[addr(1), addr(2)], json!({}));
        config["upstream_proxies"] =
            json!([{ "url": "http://10.0.0.1:3128", "tag": "a" }, { "url": "http://10.0.0.2:3128", "tag": "b" }]);
        let users = ["u", "v"].map(|name| json!({ "username": name, "password": "p" }));
        config["authentication"] = json!({ "enabled": true, "users": users });
        let (proxy, ear) = net.start(parse(&config)).await;
        World { net, proxy, ear, config }
    }

    async fn tunnel(&self, user: &str, target: &str) -> Client<MemoryStream> {
        let credentials = match user {
            "u" => "dTpw",
            _ => "djpw",
        };
        let mut client = self.net.client();
        let auth = format!("Proxy-Authorization: Basic {credentials}");
        client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{auth}\r\n\r\n")).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client
    }

    /// Through a, b, a and b.
    async fn four(&self) -> Vec<Client<MemoryStream>> {
        let mut all = Vec::new();
        for (user, target) in [("u", "x.test:80"), ("u", "x.test:443"), ("v", "y.test:80"), ("v", "[::1]:80")] {
            all.push(self.tunnel(user, target).await);
        }
        let listed = list(&self.proxy).await;
        let names: Vec<_> = (0..4).map(|at| listed["tunnels"][at]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b", "a", "b"]);
        all
    }
}

async fn still_open(tunnel: &mut Client<MemoryStream>) {
    tunnel.send("still here").await;
    assert_eq!(tunnel.exactly(10).await, b"still here");
}

async fn is_cut(tunnel: &mut Client<MemoryStream>) {
    assert_eq!(tunnel.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

fn was_closed_by_hand(summary: &Summary) {
    let said = (summary.outcome, summary.end, summary.cause.as_deref());
    assert_eq!(said, ("ok", Some(RelayEnd::Stopped), Some("closed by hand")));
}

fn closings(ear: &Ear) -> Vec<(String, usize)> {
    let of = |heard: Heard| match heard {
        Heard::TunnelsClosed { filter, closed, uid: 1000, pid: Some(7) } => Some((filter, closed)),
        _ => None,
    };
    ear.heard().into_iter().filter_map(of).collect()
}

#[test]
fn the_list_shows_what_is_open_with_its_figures() {
    run_paused(async {
        let world = World::new().await;
        let nothing = json!({ "open": 0, "more": 0, "tunnels": [] });
        assert_eq!(list(&world.proxy).await, nothing);
        let mut first = world.tunnel("u", "x.test:80").await;
        sleep(secs(10)).await;
        let _second = world.tunnel("v", "y.test:443").await;
        sleep(secs(20)).await;
        first.send("hello").await;
        assert_eq!(first.exactly(5).await, b"hello");
        sleep(secs(60)).await;
        let mut listed = list(&world.proxy).await;
        let clients: Vec<_> = (0..2).map(|at| listed["tunnels"][at]["client"].take()).collect();
        let tunnel = |request: u64, user: &str, name: &str, target: &str, age: f64, idle: f64, bytes: u64| {
            json!({ "request": request, "client": null, "user": user, "name": name, "target": target, "age_ms": age,
                    "idle_ms": idle, "bytes_up": bytes, "bytes_down": bytes })
        };
        let tunnels = [
            tunnel(1, "u", "a", "x.test:80", 90_000.0, 60_000.0, 5),
            tunnel(2, "v", "b", "y.test:443", 80_000.0, 80_000.0, 0),
        ];
        assert_eq!(listed, json!({ "open": 2, "more": 0, "tunnels": tunnels }));
        first.finish().await;
        assert_eq!(first.rest().await.unwrap(), b"");
        let summary = world.ear.finished(1).await;
        assert_eq!(clients[0], json!(summary.client.to_string()));
        let left = list(&world.proxy).await;
        assert_eq!((&left["open"], &left["tunnels"][0]["request"]), (&json!(1), &json!(2)));
    });
}

#[test]
fn every_filter_closes_what_it_says_and_nothing_else() {
    run_paused(async {
        for (which, expected, said) in [
            (json!({ "upstream": "a" }), &[0, 2][..], "upstream \"a\""),
            (json!({ "user": "v" }), &[2, 3], "user \"v\""),
            (json!({ "target": "x.test" }), &[0, 1], "target \"x.test\""),
            (json!({ "target": "X.TEST:443" }), &[1], "target \"X.TEST:443\""),
            (json!({ "target": "::1" }), &[3], "target \"::1\""),
            (json!({ "id": 3 }), &[2], "id 3"),
            (json!({ "upstream": "b", "user": "u" }), &[1], "upstream \"b\", user \"u\""),
            (json!({ "upstream": "b", "user": "u", "id": 1 }), &[], ""),
            (json!({ "user": "nobody" }), &[], ""),
            (json!({ "user": "V" }), &[], ""),
            (json!({ "target": "test" }), &[], ""),
            (json!({ "id": u64::MAX }), &[], ""),
        ] {
            let world = World::new().await;
            let mut all = world.four().await;
            let closed = close(&world.proxy, which.clone()).await;
            assert_eq!(closed, expected.len(), "{which}");
            for (number, tunnel) in all.iter_mut().enumerate() {
                if expected.contains(&number) { is_cut(tunnel).await } else { still_open(tunnel).await }
            }
            for nth in 1..=closed {
                was_closed_by_hand(&world.ear.finished(nth).await);
            }
            assert_eq!(list(&world.proxy).await["open"], json!(4 - closed), "{which}");
            let told = if closed > 0 { vec![(said.to_owned(), closed)] } else { vec![] };
            assert_eq!(closings(&world.ear), told);
            assert_eq!(close(&world.proxy, which).await, 0, "the second time");
        }
    });
}

#[test]
fn those_that_were_idle_for_so_long_are_closed() {
    run_paused(async {
        let world = World::new().await;
        let mut all = world.four().await;
        sleep(secs(30)).await;
        still_open(&mut all[1]).await;
        sleep(secs(29)).await;
        let idle = json!({ "idle_for_ms": 60_000 });
        assert_eq!(close(&world.proxy, idle.clone()).await, 0);
        sleep(secs(1)).await;
        assert_eq!(close(&world.proxy, json!({ "idle_for_ms": 60_000, "upstream": "a" })).await, 2);
        assert_eq!(close(&world.proxy, idle.clone()).await, 1);
        still_open(&mut all[1]).await;
        for number in [0, 2, 3] {
            is_cut(&mut all[number]).await;
        }
        sleep(secs(60)).await;
        assert_eq!(close(&world.proxy, idle).await, 1);
    });
}

#[test]
fn an_upstream_that_is_not_known_is_an_error_unless_tunnels_go_through_it_still() {
    run_paused(async {
        let mut world = World::new().await;
        let unknown = filter(json!({ "upstream": "nobody\n", "id": 1 }));
        let error = world.proxy.close_tunnels(&unknown, OPERATOR).await.unwrap_err().to_string();
        assert_eq!(error, "no upstream is called \"nobody\\n\"; `proxy upstreams` shows their names");
        assert_eq!(close(&world.proxy, json!({ "upstream": "a" })).await, 0, "nothing is open");
        let mut all = world.four().await;
        world.config["upstream_proxies"].as_array_mut().unwrap().remove(0);
        world.proxy.reload(parse(&world.config)).unwrap();
        assert_eq!(close(&world.proxy, json!({ "upstream": "a" })).await, 2);
        is_cut(&mut all[0]).await;
        let gone = filter(json!({ "upstream": "a" }));
        world.ear.finished(2).await;
        assert!(world.proxy.close_tunnels(&gone, OPERATOR).await.is_err());
    });
}

#[test]
fn the_oldest_thousand_are_listed_and_the_rest_is_counted() {
    run_paused(async {
        let world = World::new().await;
        let mut all = Vec::new();
        for _ in 0..1_003 {
            all.push(world.tunnel("u", "x.test:80").await);
        }
        let listed = list(&world.proxy).await;
        let tunnels = listed["tunnels"].as_array().unwrap();
        assert_eq!((&listed["open"], &listed["more"], tunnels.len()), (&json!(1_003), &json!(3), 1_000));
        let requests: Vec<_> = tunnels.iter().map(|one| one["request"].as_u64().unwrap()).collect();
        assert_eq!(requests, (1..=1_000).collect::<Vec<_>>());
        assert_eq!(close(&world.proxy, json!({ "user": "u" })).await, 1_003, "those that are not listed too");
        world.ear.finished(1_003).await;
        assert_eq!(list(&world.proxy).await["open"], 0);
    });
}

/// A drain counts what its deadline cuts. Nobody is woken by anything but the closing itself.
#[test]
fn one_that_is_closed_ends_at_once_and_is_none_of_those_that_a_drain_cuts() {
    run_paused(async {
        let world = World::new().await;
        let mut all = world.four().await;
        sleep(secs(1)).await;
        let began = Instant::now();
        close(&world.proxy, json!({ "user": "u" })).await;
        is_cut(&mut all[0]).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(world.proxy.drain().await, 2);
    });
}

/// The relay of real sockets, which moves bytes inside the kernel.
#[test]
fn both_sides_of_a_real_connection_are_reset() {
    run(async {
        let (proxy, mut client, mut peer) = joined().await;
        client.send("hello").await;
        assert_eq!(peer.exactly(5).await, b"hello");
        let open = list(&proxy.proxy).await;
        let request = open["tunnels"][0]["request"].clone();
        assert_eq!(close(&proxy.proxy, json!({ "id": request })).await, 1);
        assert_eq!(client.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(peer.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let summary = proxy.ear.finished(1).await;
        was_closed_by_hand(&summary);
        assert_eq!(summary.bytes_up, 5);
    });
}
