//! Tests answers that come early, stand still or are our own, on a clock that stands still between deadlines.

use std::io::ErrorKind;
use std::time::Duration;

use proxy::testing::MemoryStream;
use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::sleep;

use crate::http::plain::get;
use crate::support::{Client, Memory, parse, run_paused};
use crate::tunnels::timing::{addr, secs, with_timeouts};

#[test]
fn a_reply_that_stands_still_is_given_up_on_from_its_last_byte_on() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), Duration::ZERO, async |mut peer: Client<MemoryStream>| {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").await;
            for part in ["one", "two"] {
                sleep(secs(7)).await;
                peer.send(part).await;
            }
            let _ = peer.rest().await;
        })
        .await;
        let timeouts = json!({ "body": "10s", "reply": "30s" });
        let (_, ear) = net.start(parse(&with_timeouts(&[addr(1)], timeouts))).await;
        let mut client = net.client();
        client.send(get("/")).await;
        client.head().await;
        assert_eq!(client.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(net.elapsed(), secs(7 + 7 + 10));
        assert_eq!(ear.finished(1).await.outcome, "body_timeout");
    });
}

/// The upstream answers early, and is gone when the rest of the request's body comes. Where its own end frames the reply, that
/// end may have been a reset.
#[test]
fn an_upstream_that_refused_the_rest_of_a_body_has_ended_no_reply_by_its_end() {
    for (length, outcome) in [("Content-Length: 4\r\n", "ok"), ("", "reply_cut")] {
        run_paused(async move {
            let net = Memory::default();
            let (give, mut take) = unbounded_channel();
            net.serve(addr(1), Duration::ZERO, move |mut peer| {
                let give = give.clone();
                async move {
                    peer.head().await;
                    peer.send(format!("HTTP/1.1 200 OK\r\n{length}\r\npa")).await;
                    give.send(peer).unwrap_or_else(|_| panic!("the test has ended"));
                }
            })
            .await;
            let (_, ear) = net.start(parse(&with_timeouts(&[addr(1)], json!({})))).await;
            let mut client = net.client();
            client.send("POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello").await;
            let mut upstream = take.recv().await.unwrap();
            client.head().await;
            // All of it at once, as the proxy sees it.
            upstream.send("rt").await;
            drop(upstream);
            client.send("world").await;
            assert_eq!(ear.finished(1).await.outcome, outcome, "{length:?}");
        });
    }
}

#[test]
fn a_connection_outlives_an_answer_of_ours_unless_something_of_the_request_is_left() {
    run_paused(async {
        let net = Memory::default();
        let (_, _ear) = net.start(parse(&with_timeouts(&[addr(1)], json!({})))).await;
        let mut client = net.client();
        // Nobody serves the upstream's address; and no hop is left.
        let options = "OPTIONS http://a.test/ HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 0\r\n";
        for (request, status) in [(get("/"), 502), (format!("{options}\r\n"), 200), (get("/"), 502)] {
            client.send(&request).await;
            let (head, _) = client.response().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
            assert!(!head.contains("Connection: close"), "{request}: {head}");
        }
        let post = "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\n";
        for request in [post, options] {
            for rest in ["Content-Length: 1\r\n\r\nx", "Connection: close\r\n\r\n"] {
                let mut client = net.client();
                client.send(format!("{request}{rest}")).await;
                let (head, _) = client.response().await;
                assert!(head.contains("\r\nConnection: close\r\n"), "{request}{rest}: {head}");
            }
        }
    });
}
