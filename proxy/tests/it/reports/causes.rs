//! Tests that each failure says why, in the system's or a library's words: in the event, the log line and the statistics.

use serde_json::json;

use crate::support::{Double, Heard, Memory, TestProxy, config, parse, run, run_paused};
use crate::tunnels::timing::{addr, connect, with_timeouts};
use crate::upstreams::tls::{Certificates, entry, upstream, with_upstreams};

/// One CONNECT through `proxy`: what the attempt's event, the request's summary and the statistics say of it.
async fn cause(proxy: &TestProxy) -> (String, String) {
    proxy.asked("a.test:443").await.response().await;
    let summary = proxy.ear.finished(1).await;
    let failure = summary.failed_attempts.last().unwrap().1.to_owned();
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
