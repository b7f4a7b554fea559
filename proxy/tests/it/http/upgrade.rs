//! Tests that a change to WebSocket passes, and no other change does.

use super::plain::{reply, server};
use crate::support::{Double, TestProxy, run};

const ASK: &str = "GET http://a.test/chat HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: eQ==\r\n\r\n";

#[test]
fn a_websocket_carries_bytes_both_ways_from_the_first_on() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            let head = peer.head().await;
            assert!(head.contains("Connection: Upgrade\r\nUpgrade: websocket\r\n") && !head.contains("keep-alive"));
            assert!(head.contains("Sec-WebSocket-Key: eA==\r\n"));
            peer.send(format!("{SWITCH}greeting")).await;
            assert_eq!(peer.exactly(10).await, b"earlylater");
            peer.send("bye").await;
            peer.finish().await;
            let _ = peer.rest().await;
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send(format!("{ASK}early")).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Sec-WebSocket-Accept: eQ==\r\n"), "{head}");
        assert!(head.contains("Connection: Upgrade\r\nUpgrade: websocket\r\n"), "{head}");
        assert_eq!(client.exactly(8).await, b"greeting");
        client.send("later").await;
        assert_eq!(client.exactly(3).await, b"bye");
        client.finish().await;
        assert_eq!(client.rest().await.unwrap(), b"");
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.status, summary.bytes_up, summary.bytes_down), (101, 10, 11));
    });
}

#[test]
fn bytes_behind_an_upgrade_that_is_declined_are_the_next_request() {
    run(async {
        let (upstream, mut asked) = server(|_, _| reply(200, "no")).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send(format!("{ASK}{}", super::plain::get("/next"))).await;
        assert_eq!(client.response().await.1, b"no");
        assert_eq!(client.response().await.1, b"no");
        assert!(asked.recv().await.unwrap().1.contains("/chat"));
        assert!(asked.recv().await.unwrap().1.contains("/next"));
    });
}

#[test]
fn no_other_upgrade_is_asked_for() {
    run(async {
        let (upstream, mut asked) = server(|_, _| reply(200, "")).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        for fields in [
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
            // Without Connection it is no upgrade (RFC 9110 section 7.8).
            "Upgrade: websocket\r\n",
        ] {
            client.send(format!("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")).await;
            client.response().await;
            let head = asked.recv().await.unwrap().1.to_ascii_lowercase();
            assert!(!head.contains("upgrade") && !head.contains("http2-settings"), "{head}");
        }
        // A server ignores it in HTTP/1.0 (RFC 9110 section 7.8).
        client.send(ASK.replace("HTTP/1.1", "HTTP/1.0")).await;
        client.response().await;
        assert!(!asked.recv().await.unwrap().1.to_ascii_lowercase().contains("upgrade"));
    });
}

#[test]
fn a_switch_that_nobody_asked_for_is_no_answer() {
    let switches = [
        "HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
    ];
    for switch in switches {
        run(async move {
            let (bad, _) = server(move |_, _| switch.into()).await;
            let (good, _) = server(|_, _| reply(200, "good")).await;
            let proxy = TestProxy::before(&[bad.addr, good.addr]).await;
            let mut client = proxy.client().await;
            client.send(ASK).await;
            assert_eq!(client.response().await.1, b"good");
            assert_eq!(proxy.ear.finished(1).await.failed_attempts[0].failure, "malformed_head");
        });
    }
}

/// RFC 9931: capsules that a client sends in the hope of a 101 could be made to look like requests.
#[test]
fn nothing_behind_a_refused_upgrade_to_connect_udp_is_a_request() {
    run(async {
        let (upstream, mut asked) = server(|_, _| reply(200, "no")).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let forged = "GET http://a.test/forged HTTP/1.1\r\nHost: a.test\r\n\r\n";
        // Names of protocols are compared without regard to case (RFC 9110 section 7.8).
        for protocols in ["connect-udp", "x/1, Connect-UDP", "CONNECT-TCP"] {
            let mut client = proxy.client().await;
            let fields = format!("Connection: Upgrade\r\nUpgrade: {protocols}\r\n");
            client.send(format!("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n{forged}")).await;
            let answers = String::from_utf8(client.rest().await.unwrap()).unwrap();
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
            assert!(!asked.recv().await.unwrap().1.contains("Upgrade"), "it does not pass");
            assert!(asked.try_recv().is_err());
        }
    });
}
