//! Tests which requests are tried again on another upstream, and who is blamed.

use proxy::core::attribution::{Blame, Rule};

use serde_json::json;

use crate::http::plain::{get, reply, server};
use crate::support::{Double, Heard, TestProxy, config, run};

/// An upstream that reads a head, sends `reply` and ends in order.
async fn cutting(reply: &'static [u8]) -> Double {
    Double::scripted(move |_, mut peer| async move {
        peer.head().await;
        peer.send(reply).await;
        peer.finish().await;
        let _ = peer.rest().await;
    })
    .await
}

async fn blamed(proxy: &TestProxy) -> (u32, Blame, Rule) {
    proxy
        .ear
        .wait(|heard| match heard {
            Heard::Blamed { upstream, blame, rule } => Some((*upstream, *blame, *rule)),
            _ => None,
        })
        .await
}

fn post(body: &str) -> String {
    format!("POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_get_goes_on_where_a_reply_breaks_the_rules() {
    let oversized = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(17 * 1024));
    let replies: [&'static [u8]; 14] = [
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n \r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        Box::leak(oversized.into_bytes().into_boxed_slice()),
    ];
    for broken in replies {
        run(async move {
            let (good, _asked) = server(|_, _| reply(200, "good")).await;
            let proxy = TestProxy::before(&[cutting(broken).await.addr, good.addr]).await;
            let mut client = proxy.client().await;
            client.send(get("/")).await;
            let shown = String::from_utf8_lossy(&broken[..broken.len().min(80)]);
            assert_eq!(client.response().await.1, b"good", "{shown:?}");
            assert_eq!(blamed(&proxy).await, (0, Blame::Upstream, Rule::OpenedElsewhere), "{shown:?}");
            let summary = proxy.ear.finished(1).await;
            assert_eq!((summary.attempts, summary.failed_attempts[0].failure), (2, "malformed_head"), "{shown:?}");

            // Alone, it is no answer.
            let proxy = TestProxy::before(&[cutting(broken).await.addr]).await;
            let mut client = proxy.client().await;
            client.send(get("/")).await;
            let (head, _) = client.response().await;
            assert!(head.starts_with("HTTP/1.1 502 "), "{shown:?}: {head}");
            assert!(head.contains("Proxy-Status: netdrift; error=http_protocol_error; details=\"1 attempt\"\r\n"));
        });
    }
}

#[test]
fn a_post_whose_body_was_taken_is_sent_once() {
    run(async {
        let dies = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.exactly(5).await;
            peer.reset();
        })
        .await;
        let (good, mut asked) = server(|_, _| reply(200, "good")).await;
        let proxy = TestProxy::before(&[dies.addr, good.addr]).await;
        let mut client = proxy.client().await;
        client.send(post("hello")).await;
        let (head, _) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        assert!(
            head.contains("Proxy-Status: netdrift; error=connection_terminated; details=\"1 attempt\"\r\n"),
            "{head}"
        );
        assert!(asked.try_recv().is_err(), "it did not go to the other upstream");
    });
}

#[test]
fn a_post_without_a_body_is_sent_once() {
    run(async {
        let (good, mut asked) = server(|_, _| reply(200, "good")).await;
        let proxy = TestProxy::before(&[cutting(b"").await.addr, good.addr]).await;
        let mut client = proxy.client().await;
        client.send(post("")).await;
        assert!(client.response().await.0.starts_with("HTTP/1.1 502 "));
        assert!(asked.try_recv().is_err());
    });
}

#[test]
fn a_post_that_nobody_was_sent_goes_on() {
    run(async {
        let good = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            let body = String::from_utf8(peer.exactly(5).await).unwrap();
            peer.send(reply(200, &body)).await;
        })
        .await;
        let proxy = TestProxy::before(&[Double::refusing().await, good.addr]).await;
        let mut client = proxy.client().await;
        client.send(post("hello")).await;
        assert_eq!(client.response().await.1, b"hello");
        assert_eq!(blamed(&proxy).await, (0, Blame::Upstream, Rule::Unreachable));
    });
}

#[test]
fn another_upstream_is_asked_where_a_gateway_could_not_reach_the_target() {
    for status in [502, 503, 504] {
        run(async move {
            let (bad, _) = server(move |_, _| reply(status, "bad")).await;
            let (good, _) = server(|_, _| reply(200, "good")).await;
            let proxy = TestProxy::before(&[bad.addr, good.addr]).await;
            let mut client = proxy.client().await;
            client.send(get("/")).await;
            assert_eq!(client.response().await.1, b"good");
            assert_eq!(blamed(&proxy).await, (0, Blame::Upstream, Rule::OpenedElsewhere));
        });
    }
}

#[test]
fn what_every_gateway_says_is_passed_on_and_ejects_nobody() {
    run(async {
        let (one, _) = server(|_, _| reply(502, "one")).await;
        let (two, _) = server(|_, _| {
            "HTTP/1.1 503 Two\r\nProxy-Status: two; error=dns_error\r\nContent-Length: 3\r\n\r\ntwo".into()
        })
        .await;
        let proxy = TestProxy::before(&[one.addr, two.addr]).await;
        for _ in 0..10 {
            let mut client = proxy.client().await;
            client.send(get("/")).await;
            let (head, body) = client.response().await;
            let attempts = "received-status=50";
            assert!(head.contains(attempts) && head.contains("; details=\"2 attempts\"\r\n"), "{head}");
            if body == b"two" {
                let ours = "Proxy-Status: netdrift; received-status=503; details=\"2 attempts\"";
                let lines: Vec<&str> = head.lines().filter(|line| line.starts_with("Proxy-Status")).collect();
                assert_eq!(lines, ["Proxy-Status: two; error=dns_error", ours]);
            } else {
                assert_eq!(body, b"one");
            }
        }
        proxy.ear.finished(10).await;
        let heard = proxy.ear.heard();
        assert!(!heard.iter().any(|heard| matches!(heard, Heard::Ejected { .. })), "a dead target ejects nobody");
        assert!(heard.iter().any(|heard| matches!(heard, Heard::Blamed { blame: Blame::Target, .. })));
    });
}

#[test]
fn a_gateways_word_at_the_last_attempt_is_passed_on_though_other_upstreams_are_left() {
    run(async {
        let (bad, _) = server(|_, _| reply(502, "bad")).await;
        let (good, _) = server(|_, _| reply(200, "good")).await;
        let none_left = json!({ "retry_budget_percent": 0, "retry_budget_min_per_second": 0 });
        for failover in [json!({ "max_attempts": 1 }), none_left] {
            let mut config = config(&[bad.addr, good.addr]);
            config["failover"] = failover.clone();
            let proxy = TestProxy::start(config).await;
            let mut answers = Vec::new();
            for _ in 0..2 {
                let mut client = proxy.client().await;
                client.send(get("/")).await;
                answers.push(client.response().await.1);
            }
            answers.sort();
            assert_eq!(answers, [b"bad".to_vec(), b"good".to_vec()], "{failover}");
        }
    });
}

#[test]
fn a_gateways_word_on_a_post_is_passed_on_at_once() {
    run(async {
        let bad = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.exactly(5).await;
            peer.send(reply(503, "bad")).await;
        })
        .await;
        let (good, mut asked) = server(|_, _| reply(200, "good")).await;
        let proxy = TestProxy::before(&[bad.addr, good.addr]).await;
        let mut client = proxy.client().await;
        client.send(post("hello")).await;
        assert_eq!(client.response().await.1, b"bad");
        assert!(asked.try_recv().is_err());
    });
}

#[test]
fn an_upstreams_407_never_reaches_the_client() {
    run(async {
        let refusal = "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
        let (bad, _) = server(move |_, _| refusal.into()).await;
        let (good, _) = server(|_, _| reply(200, "good")).await;
        let proxy = TestProxy::before(&[bad.addr, good.addr]).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        assert_eq!(client.response().await.1, b"good");
        assert_eq!(blamed(&proxy).await, (0, Blame::Upstream, Rule::OpenedElsewhere));

        let proxy = TestProxy::before(&[bad.addr]).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        let (head, _) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 502 ") && !head.contains("Proxy-Authenticate"), "{head}");
    });
}

/// The target may have written it, behind having acted (RFC 9110 section 9.2.2).
#[test]
fn a_post_that_got_a_407_goes_to_no_other_upstream() {
    run(async {
        for body in ["", "hello"] {
            let bad = Double::scripted(move |_, mut peer| async move {
                peer.head().await;
                peer.exactly(body.len()).await;
                peer.send(reply(407, "who?")).await;
            })
            .await;
            let (good, mut asked) = server(|_, _| reply(200, "good")).await;
            let proxy = TestProxy::before(&[bad.addr, good.addr]).await;
            let mut client = proxy.client().await;
            client.send(post(body)).await;
            assert!(client.response().await.0.starts_with("HTTP/1.1 502 "));
            assert!(asked.try_recv().is_err(), "with body {body:?}");
        }
    });
}

/// Whether it has gone or only ended its own direction can't be told; the load must not grow by one who has gone.
#[test]
fn a_client_that_ended_its_side_has_no_other_upstream_asked_for_a_page() {
    run(async {
        let (told, ended) = tokio::sync::mpsc::unbounded_channel::<()>();
        let ended = std::sync::Arc::new(tokio::sync::Mutex::new(ended));
        let waits = std::sync::Arc::clone(&ended);
        let bad = Double::scripted(move |_, mut peer| {
            let ended = std::sync::Arc::clone(&waits);
            async move {
                peer.head().await;
                ended.lock().await.recv().await;
                peer.send(reply(503, "bad")).await;
            }
        })
        .await;
        let (good, mut asked) = server(|_, _| reply(200, "good")).await;
        let proxy = TestProxy::before(&[bad.addr, good.addr]).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        client.finish().await;
        told.send(()).unwrap();
        assert_eq!(client.response().await.1, b"bad");
        assert!(asked.try_recv().is_err());
    });
}

#[test]
fn a_client_that_leaves_while_an_upstream_thinks_costs_nobody() {
    run(async {
        let (asked, told) = tokio::sync::oneshot::channel();
        let asked = std::sync::Mutex::new(Some(asked));
        let upstream = Double::scripted(move |_, mut peer| {
            let asked = asked.lock().unwrap().take();
            async move {
                peer.head().await;
                let _ = asked.unwrap().send(());
                assert_eq!(peer.rest().await.unwrap_or_default(), b"");
            }
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        told.await.unwrap();
        client.reset();
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.outcome, summary.blame), ("client_gone", Some(Blame::Client)));
        assert!(!proxy.ear.heard().iter().any(|heard| matches!(heard, Heard::Blamed { .. })));
    });
}
