//! Tests connections that are used again, on either leg, and those that must not be.

use serde_json::json;
use tokio::sync::Barrier;
use tokio::sync::mpsc::unbounded_channel;

use super::plain::{get, reply, server};
use crate::support::{Double, Heard, TestProxy, config, run};

const POST: &str = "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn nobody_was_blamed(proxy: &TestProxy) -> bool {
    !proxy
        .ear
        .heard()
        .iter()
        .any(|heard| matches!(heard, Heard::Blamed { .. } | Heard::Attempt { failure: Some(_), .. }))
}

#[test]
fn ten_requests_take_one_connection_on_either_leg() {
    run(async {
        let (upstream, mut asked) = server(|_, _| reply(200, "x")).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        for _ in 0..10 {
            client.send(get("/")).await;
            assert_eq!(client.response().await.1, b"x");
            assert_eq!(asked.recv().await.unwrap().0, 0, "the first connection");
        }
    });
}

/// RFC 9112 section 2.2: some old clients send one.
#[test]
fn an_empty_line_behind_a_body_is_no_request() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            while peer.next_head().await.is_some() {
                peer.exactly(3).await;
                peer.send(reply(200, "x")).await;
            }
        })
        .await;
        let mut config = config(&[upstream.addr]);
        config["timeouts"] = json!({ "header": "1s", "keep_alive": "2s" });
        let proxy = TestProxy::start(config).await;
        let post = "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";
        // The next request may follow in the same packet or later, and there may be none.
        let mut client = proxy.client().await;
        client.send(format!("{post}\r\n{post}\r\n")).await;
        for _ in 0..2 {
            assert_eq!(client.response().await.1, b"x");
        }
        client.send(format!("{post}\r")).await;
        assert_eq!(client.response().await.1, b"x");
        client.send("\n").await;
        assert_eq!(client.rest().await.unwrap(), b"", "no 408 comes behind it");
        let mut client = proxy.client().await;
        client.send(format!("{post}\r\n")).await;
        assert_eq!(client.response().await.1, b"x");
        client.finish().await;
        assert_eq!(client.rest().await.unwrap(), b"", "no 400 comes behind it");
    });
}

#[test]
fn requests_sent_together_are_answered_in_order() {
    run(async {
        let (upstream, _asked) = server(|_, head| reply(200, head.split(' ').nth(1).unwrap())).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send((0..20).map(|n| get(&format!("/{n}"))).collect::<String>()).await;
        for n in 0..20 {
            assert_eq!(client.response().await.1, format!("http://a.test/{n}").as_bytes());
        }
    });
}

#[test]
fn a_request_behind_a_body_is_found_where_the_body_ends() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            while let Some(head) = peer.next_head().await {
                let body = if head.contains("chunked") { peer.exactly(13).await } else { peer.exactly(3).await };
                peer.send(reply(200, &String::from_utf8(body).unwrap())).await;
            }
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client
            .send(
                "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc\
                 POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n003;x\r\ndef\r\n0\r\n\r\n\
                 POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nghi",
            )
            .await;
        for wanted in ["abc", "3\r\ndef\r\n0\r\n\r\n", "ghi"] {
            assert_eq!(client.response().await.1, wanted.as_bytes());
        }
    });
}

/// RFC 9112 section 9.3: who keeps no connection says so in each request.
#[test]
fn an_upstream_whose_connections_are_not_kept_is_told_so() {
    run(async {
        let (upstream, mut asked) = server(|_, _| reply(200, "")).await;
        for (kept, told) in [(0, true), (1, false)] {
            let mut config = config(&[upstream.addr]);
            config["limits"] = json!({ "pool_per_upstream": kept });
            let proxy = TestProxy::start(config).await;
            let mut client = proxy.client().await;
            client.send(get("/")).await;
            let (head, _) = client.response().await;
            assert!(!head.contains("Connection: close"), "that is between us and the upstream: {head}");
            assert_eq!(asked.recv().await.unwrap().1.contains("\r\nConnection: close\r\n"), told, "{kept}");
        }
    });
}

#[test]
fn no_more_connections_are_kept_than_the_pool_holds() {
    run(async {
        let (tell, mut told) = unbounded_channel();
        // Answer once eight, then two have asked, so that each takes a connection of its own.
        let gates = std::sync::Arc::new([Barrier::new(8), Barrier::new(2)]);
        let upstream = Double::scripted(move |_, mut peer| {
            let (tell, gates) = (tell.clone(), gates.clone());
            async move {
                peer.head().await;
                gates[0].wait().await;
                peer.send(reply(200, "x")).await;
                let again = peer.next_head().await.is_some();
                let _ = tell.send(again);
                if again {
                    gates[1].wait().await;
                    peer.send(reply(200, "y")).await;
                    let _ = peer.rest().await;
                }
            }
        })
        .await;
        let mut config = config(&[upstream.addr]);
        config["limits"] = json!({ "pool_per_upstream": 2 });
        let proxy = TestProxy::start(config).await;
        let mut clients = Vec::new();
        for _ in 0..8 {
            let mut client = proxy.client().await;
            client.send(get("/")).await;
            clients.push(client);
        }
        for client in &mut clients {
            assert_eq!(client.response().await.1, b"x");
        }
        for _ in 0..6 {
            assert!(!told.recv().await.unwrap(), "closed, not kept");
        }
        for client in &mut clients[..2] {
            client.send(get("/")).await;
        }
        assert!(told.recv().await.unwrap() && told.recv().await.unwrap(), "the two that were kept");
        for client in &mut clients[..2] {
            assert_eq!(client.response().await.1, b"y");
        }
    });
}

#[test]
fn a_kept_connection_that_ends_is_closed_on_our_side_too() {
    run(async {
        let (tell, mut told) = unbounded_channel();
        let upstream = Double::scripted(move |_, mut peer| {
            let tell = tell.clone();
            async move {
                peer.head().await;
                peer.send(reply(200, "x")).await;
                peer.finish().await;
                let _ = tell.send(peer.rest().await);
            }
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        assert_eq!(client.response().await.1, b"x");
        assert_eq!(told.recv().await.unwrap().unwrap(), b"", "swept, with no byte sent");
    });
}

/// An upstream whose first connection answers once and then does `then` when asked again; the others answer "fresh".
async fn stale(then: impl Fn(crate::support::Peer) + Clone + Send + Sync + 'static) -> Double {
    Double::scripted(move |number, mut peer| {
        let then = then.clone();
        async move {
            peer.head().await;
            if number == 0 {
                peer.send(reply(200, "first")).await;
                peer.head().await;
                return then(peer);
            }
            peer.send(reply(200, "fresh")).await;
            let _ = peer.rest().await;
        }
    })
    .await
}

#[test]
fn a_kept_connection_that_dies_under_a_request_is_replaced_and_nobody_blamed() {
    for reset in [false, true] {
        run(async move {
            let upstream = stale(move |peer| if reset { peer.reset() } else { drop(peer) }).await;
            let proxy = TestProxy::before(&[upstream.addr]).await;
            let mut client = proxy.client().await;
            for wanted in ["first", "fresh"] {
                client.send(get("/")).await;
                assert_eq!(client.response().await.1, wanted.as_bytes());
            }
            assert_eq!(proxy.ear.finished(2).await.attempts, 1);
            assert!(nobody_was_blamed(&proxy));
        });
    }
}

#[test]
fn what_cannot_be_sent_twice_goes_on_a_fresh_connection() {
    run(async {
        let (upstream, mut asked) = server(|_, _| reply(200, "x")).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        client.response().await;
        let mut seen = vec![asked.recv().await.unwrap().0];
        for request in [
            POST,
            "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
            "PATCH http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        ] {
            client.send(request).await;
            client.response().await;
            seen.push(asked.recv().await.unwrap().0);
        }
        assert_eq!(seen, [0, 1, 2, 3]);
    });
}

/// In front of `upstream`, with kept connections for all requests.
async fn reusing(upstream: &Double) -> TestProxy {
    let mut config = config(&[upstream.addr]);
    config["timeouts"] = json!({ "pool_idle": "1h", "pool_idle_unrepeatable": "1h" });
    TestProxy::start(config).await
}

#[test]
fn what_cannot_be_sent_twice_takes_a_kept_connection_where_that_is_configured() {
    run(async {
        let (tell, mut told) = unbounded_channel();
        let upstream = Double::scripted(move |number, mut peer| {
            let tell = tell.clone();
            async move {
                while peer.next_head().await.is_some() {
                    let body = peer.exactly(3).await;
                    let _ = tell.send((number, body));
                    peer.send(reply(200, "x")).await;
                }
            }
        })
        .await;
        let proxy = reusing(&upstream).await;
        // One client: what a request leaves behind is kept before the next one of its connection is read.
        let mut client = proxy.client().await;
        for _ in 0..3 {
            client.send("POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc").await;
            assert_eq!(client.response().await.1, b"x");
            assert_eq!(told.recv().await.unwrap(), (0, b"abc".to_vec()));
        }
    });
}

#[test]
fn a_post_on_a_kept_connection_that_dies_is_not_sent_again() {
    for post in ["POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc", POST] {
        run(async move {
            let upstream = stale(drop).await;
            let proxy = reusing(&upstream).await;
            let mut client = proxy.client().await;
            client.send(get("/")).await;
            assert_eq!(client.response().await.1, b"first");
            client.send(post).await;
            assert!(client.response().await.0.starts_with("HTTP/1.1 502 "));
        });
    }
}

#[test]
fn bytes_that_nobody_asked_for_answer_nobody() {
    run(async {
        let (sent, told) = tokio::sync::oneshot::channel();
        let sent = std::sync::Mutex::new(Some(sent));
        let upstream = Double::scripted(move |number, mut peer| {
            let sent = sent.lock().unwrap().take();
            async move {
                peer.head().await;
                if number == 0 {
                    // A body that a reply to HEAD has not got, looking like the next reply.
                    peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", reply(200, "forged"))).await;
                    let _ = sent.unwrap().send(());
                } else {
                    peer.send(reply(200, "true")).await;
                }
                let _ = peer.rest().await;
            }
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send("HEAD http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        client.head().await;
        told.await.unwrap();
        client.send(get("/")).await;
        assert_eq!(client.response().await.1, b"true");
    });
}

#[test]
fn bytes_that_come_while_a_connection_is_kept_answer_nobody() {
    run(async {
        let (told, forge) = tokio::sync::oneshot::channel();
        let forge = std::sync::Mutex::new(Some(forge));
        let (forged, was_forged) = tokio::sync::oneshot::channel();
        let forged = std::sync::Mutex::new(Some(forged));
        let upstream = Double::scripted(move |number, mut peer| {
            let forge = forge.lock().unwrap().take();
            let forged = forged.lock().unwrap().take();
            async move {
                peer.head().await;
                peer.send(reply(200, if number == 0 { "first" } else { "true" })).await;
                if number == 0 {
                    forge.unwrap().await.unwrap();
                    peer.send(reply(200, "forged")).await;
                    let _ = forged.unwrap().send(());
                }
                let _ = peer.rest().await;
            }
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        assert_eq!(client.response().await.1, b"first");
        told.send(()).unwrap();
        was_forged.await.unwrap();
        client.send(get("/")).await;
        assert_eq!(client.response().await.1, b"true");
    });
}

#[test]
fn a_connection_that_will_close_is_not_kept() {
    for told in ["HTTP/1.1 200 OK\r\nConnection: close", "HTTP/1.0 200 OK\r\nConnection: keep-alive"] {
        run(async move {
            let (upstream, mut asked) = server(move |_, _| format!("{told}\r\nContent-Length: 0\r\n\r\n")).await;
            let proxy = TestProxy::before(&[upstream.addr]).await;
            let mut client = proxy.client().await;
            for number in 0..3 {
                client.send(get("/")).await;
                let head = client.head().await;
                assert!(!head.contains("close"), "the client's connection goes on: {head}");
                assert_eq!(asked.recv().await.unwrap().0, number);
            }
        });
    }
}

#[test]
fn a_client_that_asks_for_the_end_gets_it() {
    run(async {
        let (upstream, _asked) = server(|_, _| reply(200, "x")).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        for field in ["Connection: close", "Proxy-Connection: Close"] {
            let mut client = proxy.client().await;
            client.send(format!("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n")).await;
            let head = client.head().await;
            assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
            assert_eq!(client.rest().await.unwrap(), b"x");
        }
    });
}
