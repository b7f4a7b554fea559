//! Tests CONNECT up to the answer: what the upstream is asked, and which of its replies open a tunnel.

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::support::{Double, TestProxy, config, run};

#[test]
fn bytes_behind_both_heads_are_kept() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\nfrom the target").await;
            assert_eq!(peer.exactly(15).await, b"from the client");
            peer.send("!").await;
            peer.finish().await;
            peer.rest().await.unwrap();
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\nfrom the client").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(client.exactly(16).await, b"from the target!");
        client.finish().await;
        assert_eq!(client.rest().await.unwrap(), b"");
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.bytes_up, summary.bytes_down, summary.outcome), (15, 16, "ok"));
    });
}

/// Early data sent to an upstream that then refuses would be read as a request of its own.
#[test]
fn early_data_waits_for_the_2xx() {
    run(async {
        let (told, saw) = oneshot::channel();
        let told = std::sync::Mutex::new(Some(told));
        let refusing = Double::scripted(move |_, mut peer| {
            let told = told.lock().unwrap().take();
            async move {
                peer.head().await;
                peer.send("HTTP/1.1 403 Forbidden\r\n\r\n").await;
                // Everything that came behind the head, up to the end that the proxy makes of it.
                let behind = peer.rest().await.unwrap();
                if let Some(told) = told {
                    told.send(behind).unwrap();
                }
            }
        })
        .await;
        let opening = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            let early = peer.rest().await.unwrap();
            peer.send(early).await;
        })
        .await;
        let proxy = TestProxy::before(&[refusing.addr, opening.addr]).await;
        // Whoever is picked first, one of two requests begins at the refusing one.
        for _ in 0..2 {
            let mut client = proxy.client().await;
            client.send("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\nGET /secret HTTP/1.1\r\n\r\n").await;
            client.finish().await;
            assert!(client.head().await.starts_with("HTTP/1.1 200 "));
            assert_eq!(client.rest().await.unwrap(), b"GET /secret HTTP/1.1\r\n\r\n");
        }
        assert_eq!(saw.await.unwrap(), b"", "the refusing upstream saw early data");
    });
}

/// What an upstream sees of a CONNECT with these fields.
async fn seen(url: impl FnOnce(&str) -> String, connect_headers: serde_json::Value, fields: &str) -> String {
    seen_in("HTTP/1.1", url, connect_headers, fields).await
}

/// As [`seen`], for a client of this version.
async fn seen_in(
    version: &str,
    url: impl FnOnce(&str) -> String,
    connect_headers: serde_json::Value,
    fields: &str,
) -> String {
    let (told, heads) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Double::scripted(move |_, mut peer| {
        let told = told.clone();
        async move {
            told.send(peer.head().await).unwrap();
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = peer.rest().await;
        }
    })
    .await;
    let mut config = config(&[upstream.addr]);
    config["server"]["via"] = json!("here");
    let url = url(&upstream.addr.to_string());
    config["upstream_proxies"] = json!([{ "url": url, "connect_headers": connect_headers }]);
    config["authentication"] = json!({ "enabled": true, "users": [{ "username": "me", "password": "mine" }] });
    let proxy = TestProxy::start(config).await;
    let mut client = proxy.client().await;
    // me:mine
    let auth = "Proxy-Authorization: Basic bWU6bWluZQ==\r\n";
    client.send(format!("CONNECT a.test:80 {version}\r\nHost: other.test\r\n{auth}{fields}\r\n")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    let mut heads = heads;
    heads.recv().await.unwrap()
}

#[test]
fn our_connect_carries_host_and_via_and_nothing_of_the_clients() {
    run(async {
        let fields = "User-Agent: spy\r\nProxy-Connection: keep-alive\r\nX-Forwarded-For: 1.2.3.4\r\nCookie: a=b\r\n";
        let head = seen(|addr| format!("http://{addr}"), json!({}), fields).await;
        assert_eq!(head, "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\nVia: 1.1 here\r\n\r\n");
    });
}

#[test]
fn an_upstreams_own_credentials_are_decoded_and_its_own_fields_sent() {
    run(async {
        let url = |addr: &str| format!("http://us%40er%2Fname:p%3Aa%40s%25s%20%C3%A9@{addr}");
        let head = seen(url, json!({ "X-Exit": "nl-7" }), "").await;
        // base64 of "us@er/name:p:a@s%s é"
        let expected = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\
                        Proxy-Authorization: Basic dXNAZXIvbmFtZTpwOmFAcyVzIMOp\r\n\
                        X-Exit: nl-7\r\nVia: 1.1 here\r\n\r\n";
        assert_eq!(head, expected);
    });
}

#[test]
fn the_clients_via_is_kept_in_front_of_ours() {
    run(async {
        let head = seen(|addr| format!("http://{addr}"), json!({}), "Via: 1.0 before\r\nVia: 1.1 nearer\r\n").await;
        assert!(head.contains("\r\nVia: 1.0 before, 1.1 nearer, 1.1 here\r\n"), "{head}");
        // Ours says what the client spoke (RFC 9110 section 7.6.3), and an empty line adds nothing.
        let head = seen_in("HTTP/1.0", |addr| format!("http://{addr}"), json!({}), "Via:\r\nVia: 1.1 before\r\n").await;
        assert!(head.contains("\r\nVia: 1.1 before, 1.0 here\r\n"), "{head}");
    });
}

/// Every reply that is a 2xx, however odd, opens the tunnel and what follows its head is the target's.
#[test]
fn odd_but_good_replies_open_the_tunnel() {
    let long_reason = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(15_000));
    let fields = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "y".repeat(15_000));
    let replies: [String; 11] = [
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".into(),
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 \r\n\r\nHTTP/1.1 200 OK\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\nTransfer-Encoding: x\r\n\r\n".into(),
        "HTTP/1.0 200 Connection established\r\n\r\n".into(),
        "HTTP/1.1 200\r\n\r\n".into(),
        "HTTP/1.1 200 \r\n\r\n".into(),
        "HTTP/1.1 204 No Content\r\n\r\n".into(),
        long_reason,
        fields,
    ];
    run(async move {
        for reply in replies {
            let shown = reply.get(..60).unwrap_or(&reply).to_owned();
            let upstream = Double::scripted(move |_, mut peer| {
                let reply = reply.clone();
                async move {
                    peer.head().await;
                    peer.send(reply + "7\r\nhello").await;
                    peer.finish().await;
                    let _ = peer.rest().await;
                }
            })
            .await;
            let proxy = TestProxy::before(&[upstream.addr]).await;
            let mut client = proxy.asked("a.test:80").await;
            assert_eq!(client.head().await, "HTTP/1.1 200 Connection established\r\n\r\n", "{shown}");
            assert_eq!(client.rest().await.unwrap(), b"7\r\nhello", "{shown}");
        }
    });
}

#[test]
fn a_head_that_comes_byte_by_byte_opens_the_tunnel() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            for byte in b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nhello" {
                peer.send([*byte]).await;
                tokio::task::yield_now().await;
            }
            let _ = peer.rest().await;
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        assert_eq!(proxy.tunnel("a.test:80").await.exactly(5).await, b"hello");
    });
}

#[test]
fn replies_that_are_odd_but_have_one_reading_open_the_target() {
    run(async {
        for reply in [
            "HTTP/1.1 200 OK\nA: b\n\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: \x1b[2J\r\nA(b): c\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            // A 2xx to CONNECT has no body (RFC 9110 section 9.3.6).
            "HTTP/1.1 204 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            let proxy = TestProxy::before(&[Double::replying(reply).await.addr]).await;
            proxy.tunnel("a.test:80").await;
        }
    });
}

/// None of these is a 2xx: the client hears of it and the upstream is blamed where its head is at fault.
#[test]
fn bad_replies_open_nothing() {
    let too_long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "y".repeat(17_000));
    let endless = format!("HTTP/1.1 200 {}", "x".repeat(20_000));
    let interims = "HTTP/1.1 100 Continue\r\n\r\n".repeat(17) + "HTTP/1.1 200 OK\r\n\r\n";
    let replies: [(String, &str); 12] = [
        ("HTTP/1.1 404 not 200 OK\r\n\r\n".into(), "status_4xx"),
        ("HTTP/1.1 302 Found\r\nLocation: http://200/\r\n\r\n".into(), "status_3xx"),
        ("HTTP/1.1 500 HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".into(), "status_5xx"),
        ("HTTP/1.1 200 OK\r\nA: b\n\r\n".into(), "malformed_head"),
        ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n".into(), "malformed_head"),
        ("HTTP/1.1 2000 OK\r\n\r\n".into(), "malformed_head"),
        ("HTTP/2.0 200 OK\r\n\r\n".into(), "malformed_head"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n".into(), "malformed_head"),
        ("SSH-2.0-OpenSSH_9.6\r\n".into(), "malformed_head"),
        (too_long, "malformed_head"),
        (endless, "malformed_head"),
        (interims, "malformed_head"),
    ];
    run(async move {
        for (reply, word) in replies {
            let shown = reply.get(..60).unwrap_or(&reply).to_owned();
            let upstream = Double::scripted(move |_, mut peer| {
                let reply = reply.clone();
                async move {
                    peer.head().await;
                    // The proxy may close before it has read all of it.
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, reply.as_bytes()).await;
                    let _ = tokio::io::AsyncWriteExt::shutdown(&mut peer.stream).await;
                    let _ = peer.rest().await;
                }
            })
            .await;
            let proxy = TestProxy::before(&[upstream.addr]).await;
            let (head, _) = proxy.asked("a.test:80").await.response().await;
            assert!(head.starts_with("HTTP/1.1 502 "), "{shown}: {head}");
            let summary = proxy.ear.finished(1).await;
            let words: Vec<&str> = summary.failed_attempts.iter().map(|one| one.failure).collect();
            assert_eq!(words, [word], "{shown}");
        }
    });
}

#[test]
fn an_upstream_is_found_by_name() {
    run(async {
        let (upstream, _) = Double::mock("a").await;
        let mut config = config(&[]);
        config["upstream_proxies"] = json!([{ "url": format!("http://localhost:{}", upstream.addr.port()) }]);
        let proxy = TestProxy::start(config).await;
        let mut client = proxy.tunnel("echo.mock:80").await;
        client.send("hello").await;
        assert_eq!(client.exactly(5).await, b"hello");
    });
}

#[test]
fn an_upstream_is_reached_by_an_ipv6_literal() {
    run(async {
        // A machine without IPv6 has nothing to show here.
        let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut peer = crate::support::Client::over(stream);
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\nsix").await;
            let _ = peer.rest().await;
        });
        let proxy = TestProxy::before(&[addr]).await;
        assert_eq!(proxy.tunnel("[2001:db8::1]:443").await.exactly(3).await, b"six");
        assert_eq!(proxy.stats().await["total"]["upstream_metrics"][0]["url"], format!("http://[::1]:{}", addr.port()));
    });
}
