//! Tests that each failure says why, in the system's or a library's words: in the event, the log line and the statistics.

use proxy::env::RelayEnd;
use serde_json::{Value, json};

use crate::http::plain::get;
use crate::support::{Double, Heard, Memory, TestProxy, config, parse, run, run_paused};
use crate::tunnels::timing::{self, addr, connect, secs, with_timeouts};
use crate::upstreams::tls::{Certificates, entry, upstream, upstream_with, with_upstreams};

/// One CONNECT through `proxy`: what the attempt's event, the request's summary and the statistics say of it.
async fn cause(proxy: &TestProxy) -> (String, String) {
    proxy.asked("a.test:443").await.response().await;
    let summary = proxy.ear.finished(1).await;
    let failure = summary.failed_attempts.last().unwrap().failure.to_owned();
    let cause = summary.cause.unwrap_or_else(|| panic!("{failure} has no cause")).to_string();
    let told = |heard: &Heard| match heard {
        Heard::Attempt { cause, .. } => cause.clone(),
        _ => None,
    };
    assert_eq!(proxy.ear.wait(told).await, cause);
    let last = &proxy.stats().await["total"]["upstream_metrics"][0]["last_failure"];
    assert_eq!((&last["failure"], &last["cause"]), (&json!(failure), &json!(cause)));
    assert!(last["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{last}");
    (failure, cause)
}

#[test]
fn a_refused_connection_is_told_in_the_systems_words() {
    run(async {
        let proxy = TestProxy::before(&[Double::refusing().await]).await;
        let told = cause(&proxy).await;
        assert_eq!(told, ("connect_refused".to_owned(), "Connection refused (os error 111)".to_owned()));
    });
}

#[test]
fn a_refused_certificate_is_told_in_the_librarys_words() {
    run(async {
        let certificates = Certificates::new();
        let stranger = Certificates::new();
        std::fs::copy(stranger.path("ca.pem"), certificates.path("stranger.pem")).unwrap();
        let port = upstream(&certificates, |_| async {}).await;
        for (entry, word) in [
            (entry("localhost", port, "stranger.pem"), "invalid peer certificate"),
            (entry("127.0.0.1", port, "ca.pem"), "not valid for name"),
        ] {
            let proxy = TestProxy::with(certificates.read(&with_upstreams(json!([entry])))).await;
            let (failure, cause) = cause(&proxy).await;
            assert_eq!(failure, "tls_failed");
            assert!(cause.contains(word), "{cause}");
        }
    });
}

#[test]
fn a_reply_that_cant_be_used_is_told_by_what_is_wrong_with_it() {
    run(async {
        let long = Box::leak(format!("HTTP/1.1 200 OK\r\nLong: {}\r\n\r\n", "x".repeat(70_000)).into_boxed_str());
        for (reply, failure, cause_of_it) in [
            ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "malformed_head", "bare CR in the head"),
            ("SSH-2.0-OpenSSH_9.9\r\n", "malformed_head", "no HTTP/1 reply"),
            (long, "malformed_head", "head larger than 16384 bytes"),
            ("HTTP/1.1 502 a secret of the target's\r\nContent-Length: 0\r\n\r\n", "status_5xx", "status 502"),
        ] {
            let mut config = config(&[Double::replying(reply).await.addr]);
            config["limits"] = json!({ "max_header_bytes": 16_384 });
            let proxy = TestProxy::start(config).await;
            assert_eq!(cause(&proxy).await, (failure.to_owned(), cause_of_it.to_owned()));
        }
    });
}

/// Those who sell proxies say in a field of their own why they refuse.
#[test]
fn an_upstream_that_says_why_it_refuses_is_quoted_unless_it_shows_a_secret() {
    run(async {
        let long = format!("no exit left{}", "!".repeat(500));
        for (field, told) in [
            ("X-Error-Description: no exit\tin \u{e9} city", "status 502: no exit in    city"),
            ("X-Squid-Error: ERR_DNS_FAIL 0", "status 502: ERR_DNS_FAIL 0"),
            ("Proxy-Status: far; error=dns_error", "status 502: far; error=dns_error"),
            (&format!("X-Brd-Error: {long}"), &format!("status 502: {long}")[..200]),
            ("X-Error-Description: \r\nX-Other: words", "status 502"),
            ("X-Unknown: words", "status 502"),
            ("X-Error-Description: who is p+w?", "status 502"),
            ("X-Error-Description: who is p%2Bw?", "status 502"),
            ("X-Error-Description: dTpwK3c=", "status 502"),
            ("X-Error-Description: bad session 0t0ken", "status 502"),
        ] {
            let reply = format!("HTTP/1.1 502 No\r\n{field}\r\nContent-Length: 0\r\n\r\n");
            let mut config = config(&[]);
            let addr = Double::replying(reply.leak()).await.addr;
            config["upstream_proxies"] =
                json!([{ "url": format!("http://u:p%2Bw@{addr}"), "connect_headers": { "X-Session": "0t0ken" } }]);
            let proxy = TestProxy::start(config).await;
            assert_eq!(cause(&proxy).await, ("status_5xx".to_owned(), told.to_owned()), "{field}");
        }
    });
}

#[test]
fn the_wrong_scheme_is_told_as_such() {
    run(async {
        let alert = "\u{15}\u{3}\u{1}\0\u{2}\u{2}F";
        let proxy = TestProxy::before(&[Double::replying(alert).await.addr]).await;
        let told = cause(&proxy).await;
        assert_eq!(told, ("malformed_head".to_owned(), "speaks TLS on an http:// port".to_owned()));
        let certificates = Certificates::new();
        let plain = Double::scripted(|_, mut peer| async move {
            peer.exactly(1).await;
            peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            let _ = peer.rest().await;
        })
        .await;
        let entry = entry("localhost", plain.addr.port(), "ca.pem");
        let proxy = TestProxy::with(certificates.read(&with_upstreams(json!([entry])))).await;
        let (failure, cause) = cause(&proxy).await;
        assert_eq!(failure, "tls_failed");
        assert!(cause.starts_with("speaks no TLS on an https:// port: "), "{cause}");
    });
}

#[test]
fn a_certificate_that_is_out_of_date_is_told_with_its_date() {
    run(async {
        let certificates = Certificates::new();
        certificates.add_expired("old");
        let port = upstream_with(certificates.acceptor_with("old"), |_| async {}).await;
        let proxy =
            TestProxy::with(certificates.read(&with_upstreams(json!([entry("localhost", port, "old.pem")])))).await;
        let (failure, cause) = cause(&proxy).await;
        assert_eq!(failure, "tls_failed");
        let (days, date) = cause.strip_prefix("certificate expired ").unwrap().split_once(" days ago, at ").unwrap();
        assert!(days.parse::<u32>().is_ok_and(|days| days > 2_000), "{cause}");
        assert_eq!(date, "2020-02-01T00:00:00Z");
    });
}

#[test]
fn a_name_that_does_not_exist_is_told_in_the_systems_words() {
    run(async {
        let mut config = config(&[]);
        config["upstream_proxies"] = json!([{ "url": "http://nobody.invalid:80" }]);
        let (failure, cause) = cause(&TestProxy::start(config).await).await;
        assert_eq!(failure, "dns_error");
        assert!(cause.starts_with("failed to lookup address information"), "{cause}");
    });
}

/// Plain HTTP reads its replies elsewhere.
#[test]
fn the_cause_is_told_of_plain_http_as_well() {
    run(async {
        let upstream = Double::replying("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n").await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        client.response().await;
        assert_eq!(proxy.ear.finished(1).await.cause.as_deref(), Some("malformed Content-Length"));
        let broken = Double::replying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").await;
        let proxy = TestProxy::before(&[broken.addr]).await;
        let mut client = proxy.client().await;
        client.send("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        let _ = client.rest().await;
        let summary = proxy.ear.finished(1).await;
        assert_eq!(summary.outcome, "reply_malformed");
        assert!(summary.cause.is_some(), "{summary:?}");
    });
}

#[test]
fn what_took_too_long_is_told_with_its_limit() {
    run_paused(async {
        let net = Memory::default();
        net.black_hole(addr(1));
        let (_, ear) = net.start(parse(&with_timeouts(&[addr(1)], json!({ "connect": "2s" })))).await;
        assert_eq!(connect(&mut net.client()).await, 504);
        assert_eq!(ear.finished(1).await.cause.as_deref(), Some("no connection within 2s"));
    });
}

/// Whoever reads the log at its usual level must see why an upstream went out.
#[test]
fn an_ejection_carries_the_cause_of_the_last_failure() {
    run(async {
        let proxy = TestProxy::before(&[Double::refusing().await]).await;
        for _ in 0..3 {
            proxy.asked("a.test:443").await.response().await;
        }
        let cause = proxy
            .ear
            .wait(|heard| match heard {
                Heard::Ejected { cause, .. } => cause.clone(),
                _ => None,
            })
            .await;
        assert_eq!(cause, "Connection refused (os error 111)");
    });
}

/// Of the only upstream.
async fn last_failure(proxy: &TestProxy) -> Value {
    proxy.stats().await["total"]["upstream_metrics"][0]["last_failure"].clone()
}

const RESET: &str = "Connection reset by peer (os error 104)";

#[test]
fn a_tunnel_that_was_reset_is_told_with_the_systems_words() {
    run(async {
        for (delivered, word) in [("", "empty_tunnel"), ("words", "upstream_reset")] {
            let (proxy, mut client, mut peer) = crate::tunnels::tunnel::joined().await;
            peer.send(delivered).await;
            client.exactly(delivered.len()).await;
            peer.reset();
            let summary = proxy.ear.finished(1).await;
            assert_eq!((summary.end, summary.cause.as_deref()), (Some(RelayEnd::UpstreamReset), Some(RESET)));
            let last = last_failure(&proxy).await;
            assert_eq!((&last["failure"], &last["cause"]), (&json!(word), &json!(RESET)));
        }
        let (proxy, client, _peer) = crate::tunnels::tunnel::joined().await;
        client.reset();
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.end, summary.cause.as_deref()), (Some(RelayEnd::ClientReset), Some(RESET)));
        assert_eq!(last_failure(&proxy).await, Value::Null, "that is nothing of the upstream's");
    });
}

/// In memory, where a write is sure to run into the reset before a read does.
#[test]
fn a_tunnel_whose_write_failed_is_told_with_the_systems_words() {
    run_paused(async {
        let net = Memory::default();
        let (ear, mut client, peer) = timing::joined(&net, json!({})).await;
        client.send("a request").await;
        peer.abort();
        let summary = ear.finished(1).await;
        assert_eq!((summary.end, summary.cause.as_deref()), (Some(RelayEnd::UpstreamReset), Some("connection reset")));
    });
}

#[test]
fn a_tunnel_without_a_byte_for_too_long_is_told_with_its_limit() {
    run_paused(async {
        let net = Memory::default();
        let (ear, _client, _peer) = timing::joined(&net, json!({ "idle_tunnel": "10m" })).await;
        assert_eq!(ear.finished(1).await.cause.as_deref(), Some("no byte either way within 10m"));
        let net = Memory::default();
        let (ear, mut client, _peer) = timing::joined(&net, json!({ "half_closed": "30s" })).await;
        client.finish().await;
        assert_eq!(ear.finished(1).await.cause.as_deref(), Some("no byte either way within 30s"));
    });
}

#[test]
fn a_tunnel_that_ended_in_order_has_no_cause() {
    run(async {
        let (proxy, mut client, mut peer) = crate::tunnels::tunnel::joined().await;
        client.finish().await;
        peer.finish().await;
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.end, summary.cause), (Some(RelayEnd::Closed), None));
    });
}

#[test]
fn a_reply_that_broke_off_is_told_with_the_reason() {
    run(async {
        for (resets, cause) in [(true, RESET), (false, "the connection ended before the body")] {
            let (give, mut go) = tokio::sync::mpsc::unbounded_channel();
            let go_on = std::sync::Arc::new(tokio::sync::Notify::new());
            let upstream = {
                let go_on = std::sync::Arc::clone(&go_on);
                Double::scripted(move |_, mut peer| {
                    let (give, go_on) = (give.clone(), std::sync::Arc::clone(&go_on));
                    async move {
                        peer.head().await;
                        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
                        let _ = give.send(());
                        go_on.notified().await;
                        if resets { peer.reset() } else { peer.finish().await }
                    }
                })
                .await
            };
            let proxy = TestProxy::before(&[upstream.addr]).await;
            let mut client = proxy.client().await;
            client.send(get("/")).await;
            go.recv().await.unwrap();
            client.head().await;
            client.exactly(4).await;
            go_on.notify_one();
            let summary = proxy.ear.finished(1).await;
            assert_eq!((summary.outcome, summary.cause.as_deref()), ("reply_cut", Some(cause)));
            let last = last_failure(&proxy).await;
            assert_eq!((&last["failure"], &last["cause"]), (&json!("reply_cut"), &json!(cause)));
        }
    });
}

#[test]
fn a_reply_that_stands_still_is_told_with_its_limit() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), secs(0), |mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
            let _ = peer.rest().await;
        })
        .await;
        let (_, ear) = net.start(parse(&with_timeouts(&[addr(1)], json!({ "body": "20s" })))).await;
        let mut client = net.client();
        client.send(get("/")).await;
        let _ = client.rest().await;
        let summary = ear.finished(1).await;
        assert_eq!((summary.outcome, summary.cause.as_deref()), ("body_timeout", Some("no byte within 20s")));
    });
}

#[test]
fn a_client_that_is_gone_is_told_with_the_systems_words() {
    run(async {
        for request in [get("/"), "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n".to_owned()] {
            let (give, mut asked) = tokio::sync::mpsc::unbounded_channel();
            let upstream = Double::scripted(move |_, mut peer| {
                let give = give.clone();
                async move {
                    peer.head().await;
                    let _ = give.send(());
                    let _ = peer.rest().await;
                }
            })
            .await;
            let proxy = TestProxy::before(&[upstream.addr]).await;
            let mut client = proxy.client().await;
            client.send(request).await;
            asked.recv().await.unwrap();
            client.reset();
            let summary = proxy.ear.finished(1).await;
            assert_eq!((summary.outcome, summary.cause.as_deref()), ("client_gone", Some(RESET)));
        }
    });
}
