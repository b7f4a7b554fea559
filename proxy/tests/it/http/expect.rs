//! Tests `Expect: 100-continue`: the body waits for the upstream's word. How long it waits is proven under paused time.

use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;

use super::plain::reply;
use crate::support::{Client, Double, Heard, TestProxy, config, run};

const ASK: &str = "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

/// An upstream that asks for the body in the orderly way and sends it back.
async fn orderly() -> Double {
    Double::scripted(|_, mut peer| async move {
        assert!(peer.head().await.contains("Expect: 100-continue\r\n"));
        peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = String::from_utf8(peer.exactly(5).await).unwrap();
        peer.send(reply(200, &body)).await;
    })
    .await
}

async fn sends_when_told(client: &mut Client) {
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(client.response().await.1, b"hello");
}

#[test]
fn the_client_is_told_to_go_on_when_the_upstream_says_so() {
    run(async {
        let proxy = TestProxy::before(&[orderly().await.addr]).await;
        let mut client = proxy.client().await;
        client.send(ASK).await;
        sends_when_told(&mut client).await;
        client.send(ASK).await;
        sends_when_told(&mut client).await;
    });
}

#[test]
fn a_final_answer_instead_leaves_the_body_with_the_client() {
    run(async {
        let (tell, mut told) = unbounded_channel();
        let upstream = Double::scripted(move |_, mut peer| {
            let tell = tell.clone();
            async move {
                peer.head().await;
                peer.send("HTTP/1.1 417 No\r\nContent-Length: 10\r\n\r\nno").await;
                // The rest of the answer keeps the exchange open while the client sends all the same.
                peer.finish().await;
                let _ = tell.send(peer.rest().await);
            }
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send(format!("{ASK}hello")).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 417 ") && head.contains("Connection: close\r\n"), "{head}");
        let rest = told.recv().await.unwrap();
        assert_eq!(rest.unwrap_or_default(), b"", "no byte of the body went on");
    });
}

#[test]
fn a_post_whose_body_still_waits_goes_to_another_upstream() {
    for broken in ["", "HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n"] {
        run(async move {
            let fails = Double::scripted(move |_, mut peer| async move {
                peer.head().await;
                peer.send(broken).await;
            })
            .await;
            let proxy = TestProxy::before(&[fails.addr, orderly().await.addr]).await;
            let mut client = proxy.client().await;
            client.send(ASK).await;
            if broken.contains(" 102 ") {
                assert!(client.head().await.starts_with("HTTP/1.1 102 "));
            }
            sends_when_told(&mut client).await;
            assert_eq!(proxy.ear.finished(1).await.attempts, 2, "{broken:?}");
        });
    }
}

#[test]
fn the_client_is_told_once_even_if_the_upstream_fails_after_it() {
    run(async {
        let fails = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        })
        .await;
        let proxy = TestProxy::before(&[fails.addr, orderly().await.addr]).await;
        let mut client = proxy.client().await;
        client.send(ASK).await;
        // Its body would not be there any more for another upstream, had it come sooner.
        proxy.ear.wait_nth(2, |heard| matches!(heard, Heard::Pick { .. }).then_some(())).await;
        sends_when_told(&mut client).await;
        client.finish().await;
        assert_eq!(client.rest().await.unwrap(), b"");
    });
}

/// An upstream that says more than one thing before its answer.
async fn talkative() -> Double {
    Double::scripted(|_, mut peer| async move {
        peer.head().await;
        peer.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n")
            .await;
        peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\r\n").await;
        peer.send(format!("HTTP/1.1 199 Odd\r\n\r\n{}", reply(200, "x"))).await;
    })
    .await
}

#[test]
fn interim_answers_are_passed_on() {
    run(async {
        let mut config = config(&[talkative().await.addr]);
        config["server"]["via"] = json!("ours");
        let proxy = TestProxy::start(config).await;
        let mut client = proxy.client().await;
        client.send(super::plain::get("/")).await;
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(client.head().await, "HTTP/1.1 102 Processing\r\nVia: 1.1 ours\r\n\r\n");
        assert_eq!(client.head().await, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nVia: 1.1 ours\r\n\r\n");
        assert_eq!(client.head().await, "HTTP/1.1 199 Odd\r\nVia: 1.1 ours\r\n\r\n");
        let (head, body) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 200 ") && body == b"x", "{head}");
    });
}

#[test]
fn a_client_of_http_1_0_hears_no_interim_answer() {
    run(async {
        let proxy = TestProxy::before(&[talkative().await.addr]).await;
        let mut client = proxy.client().await;
        client.send("GET http://a.test/ HTTP/1.0\r\n\r\n").await;
        let (head, body) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 200 ") && body == b"x", "{head}");
    });
}

#[test]
fn interim_answers_to_a_connect_stay_with_us() {
    run(async {
        let proxy = TestProxy::before(&[talkative().await.addr]).await;
        let mut client = proxy.tunnel("a.test:80").await;
        assert_eq!(client.exactly(1).await, b"x");
    });
}

#[test]
fn interim_answers_without_end_are_no_answer() {
    run(async {
        let floods = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 102 Processing\r\n\r\n".repeat(17)).await;
            let _ = peer.rest().await;
        })
        .await;
        let (good, _asked) = super::plain::server(|_, _| reply(200, "good")).await;
        let proxy = TestProxy::before(&[floods.addr, good.addr]).await;
        let mut client = proxy.client().await;
        client.send(super::plain::get("/")).await;
        for _ in 0..16 {
            assert!(client.head().await.starts_with("HTTP/1.1 102 "));
        }
        assert_eq!(client.response().await.1, b"good");
    });
}
