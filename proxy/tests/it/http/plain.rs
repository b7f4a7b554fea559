//! Tests plain HTTP: what a head loses and gains on its way, methods, loops, hops, old clients.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::support::{Double, Heard, TestProxy, config, run};

/// A GET of `path` at `a.test`.
pub(crate) fn get(path: &str) -> String {
    format!("GET http://a.test{path} HTTP/1.1\r\nHost: a.test\r\n\r\n")
}

/// A reply of `status` with `body`.
pub(crate) fn reply(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// An upstream that gives each request without a body what `answer` says, on connections that stay open, and tells of
/// each: the connection's number and the head.
pub(crate) async fn server(
    answer: impl Fn(usize, &str) -> String + Clone + Send + Sync + 'static,
) -> (Double, UnboundedReceiver<(usize, String)>) {
    let (tell, told) = unbounded_channel();
    let upstream = Double::scripted(move |number, mut peer| {
        let (tell, answer) = (tell.clone(), answer.clone());
        async move {
            while let Some(head) = peer.next_head().await {
                let answer = answer(number, &head);
                // A test that does not listen is none of the upstream's business.
                let _ = tell.send((number, head));
                peer.send(answer).await;
            }
        }
    })
    .await;
    (upstream, told)
}

#[test]
fn every_method_reaches_the_target_in_absolute_form() {
    run(async {
        let (upstream, mut asked) = server(|_, _| reply(200, "")).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        for method in ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "PROPFIND"] {
            let mut client = proxy.client().await;
            client.send(format!("{method} http://A.test:80/x?y=z HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 200 Said\r\n") && head.contains("\r\nDate: "), "{method}: {head}");
            let (_, head) = asked.recv().await.unwrap();
            assert_eq!(head.lines().next(), Some(&*format!("{method} http://a.test/x?y=z HTTP/1.1")));
        }
        let mut client = proxy.client().await;
        client.send("OPTIONS http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        client.head().await;
        assert!(asked.recv().await.unwrap().1.starts_with("OPTIONS http://a.test HTTP/1.1\r\n"), "asks for the server");
    });
}

#[test]
fn a_head_keeps_what_is_for_the_target_and_loses_what_was_for_us() {
    run(async {
        let (upstream, mut asked) = server(|_, _| {
            "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
             Upgrade: h2c\r\nProxy-Authenticate: Basic\r\nVia: 1.0 there\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
             WWW-Authenticate: Basic realm=\"a\" , New x=1\r\nAuthentication-Info: y\r\nAllow: GET,ODD\r\nDate: then\r\nContent-Length: 0\r\n\r\n"
                .into()
        })
        .await;
        let mut config = config(&[]);
        config["server"]["via"] = json!("ours");
        config["upstream_proxies"] = json!([{ "url": format!("http://us:s3cret@{}", upstream.addr) }]);
        config["authentication"] = json!({ "enabled": true, "users": [{ "username": "me", "password": "pw" }] });
        let proxy = TestProxy::start(config).await;
        let mut client = proxy.client().await;
        client
            .send(
                "GET http://a.test/ HTTP/1.1\r\nHost: elsewhere.test\r\nProxy-Authorization: Basic bWU6cHc=\r\n\
                 Connection: X-Named, Host, Via\r\nX-Named: 1\r\nKeep-Alive: 1\r\nProxy-Connection: keep-alive\r\n\
                 Upgrade: h2c\r\nTE: trailers, gzip\r\nVia: 1.1 before\r\nAuthorization: Basic eDp5\r\nX-Kept: 1\r\n\
                 Expect: 100-continue\r\n\r\n",
            )
            .await;
        let head = client.head().await;
        assert_eq!(
            head,
            "HTTP/1.1 200 OK\r\nVia: 1.0 there\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
             WWW-Authenticate: Basic realm=\"a\" , New x=1\r\nAuthentication-Info: y\r\nAllow: GET,ODD\r\nDate: then\r\n\
             Content-Length: 0\r\n\
             Via: 1.1 ours\r\n\r\n"
        );
        let (_, head) = asked.recv().await.unwrap();
        assert_eq!(
            head,
            "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nVia: 1.1 before\r\nAuthorization: Basic eDp5\r\n\
             X-Kept: 1\r\nVia: 1.1 ours\r\nConnection: TE\r\nTE: trailers\r\n\
             Proxy-Authorization: Basic dXM6czNjcmV0\r\n\r\n"
        );
    });
}

/// RFC 9110 section 7.7: neither is ours to tidy up.
#[test]
fn a_path_and_its_query_pass_as_they_came() {
    run(async {
        let (upstream, mut asked) = server(|_, _| reply(200, "")).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        for path in ["/a/../b/./c", "//a//b", "/%7e%2F%zz", "/;a=b?c=%0d%0a&&d?e", "/a?http://b/", "/\\'\"<>{}|^`"] {
            client.send(get(path)).await;
            client.response().await;
            let head = asked.recv().await.unwrap().1;
            assert_eq!(head.lines().next(), Some(&*format!("GET http://a.test{path} HTTP/1.1")));
        }
    });
}

/// RFC 9110 section 15.5.22. In any other reply Upgrade is between the upstream and us.
#[test]
fn a_426_says_what_the_target_wants_spoken() {
    run(async {
        let (upstream, _asked) = server(|_, head| {
            let status = if head.contains("/426") { "426 Upgrade Required" } else { "200 OK" };
            format!("HTTP/1.1 {status}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: x/2\r\nContent-Length: 0\r\n\r\n")
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send(get("/426")).await;
        let head = client.head().await;
        assert!(head.contains("\r\nConnection: Upgrade\r\nUpgrade: websocket, x/2\r\n"), "{head}");
        client.send(get("/")).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("pgrade"), "{head}");
        client.send("GET http://a.test/426 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
        let head = client.head().await;
        assert!(head.contains("\r\nUpgrade: websocket, x/2\r\nConnection: close\r\n"), "{head}");
    });
}

#[test]
fn replies_without_a_body_leave_the_connection_usable() {
    run(async {
        let (upstream, _asked) = server(|_, head| match head {
            head if head.starts_with("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n".into(),
            head if head.contains("/204") => "HTTP/1.1 204 None\r\n\r\n".into(),
            head if head.contains("/304") => "HTTP/1.1 304 Same\r\nContent-Length: 99\r\n\r\n".into(),
            _ => reply(200, "last"),
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send("HEAD http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert!(client.head().await.contains("Content-Length: 99\r\n"));
        client.send(get("/204")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 204 "));
        client.send(get("/304")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 304 "));
        client.send(get("/")).await;
        assert_eq!(client.response().await.1, b"last");
    });
}

#[test]
fn max_forwards_counts_down_and_ends_here_at_zero() {
    run(async {
        let (upstream, mut asked) = server(|_, _| reply(200, "there")).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        let ask = |method: &str, hops: &str| {
            format!(
                "{method} http://a.test/ HTTP/1.1\r\nHost: a.test\r\nCookie: secret\r\nX-Me: 1\r\nMax-Forwards: {hops}\r\n\r\n"
            )
        };
        client.send(ask("OPTIONS", "0")).await;
        assert_eq!(client.response().await.1, b"");
        client.send(ask("TRACE", "0")).await;
        let (head, body) = client.response().await;
        assert!(head.contains("Content-Type: message/http\r\n"), "{head}");
        assert_eq!(
            String::from_utf8(body).unwrap(),
            "TRACE http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX-Me: 1\r\nMax-Forwards: 0\r\n\r\n"
        );
        assert!(asked.try_recv().is_err(), "nothing has gone on so far");
        for (method, hops, left) in [
            ("TRACE", "3", "2"),
            // One that is too large for us is the largest that we know from here on.
            ("TRACE", "99999999999999999999", "18446744073709551614"),
            ("OPTIONS", "x", "x"),
            ("OPTIONS", "+0", "+0"),
            ("GET", "0", "0"),
        ] {
            client.send(ask(method, hops)).await;
            assert_eq!(client.response().await.1, b"there");
            assert!(asked.recv().await.unwrap().1.contains(&format!("Max-Forwards: {left}\r\n")), "{method} {hops}");
        }
    });
}

/// RFC 9110 section 9.3.7.
#[test]
fn options_of_the_proxy_itself_are_answered_here() {
    run(async {
        let (upstream, mut asked) = server(|_, _| reply(200, "there")).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        let (head, body) = client.response().await;
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.contains("\r\nAllow: GET, HEAD, OPTIONS, CONNECT\r\n"),
            "{head}"
        );
        assert_eq!(body, b"");
        client.send(get("/")).await;
        assert_eq!(client.response().await.1, b"there");
        assert!(asked.recv().await.unwrap().1.starts_with("GET "));
    });
}

#[test]
fn a_request_that_was_here_before_is_refused() {
    run(async {
        let (upstream, mut asked) = server(|_, _| reply(200, "")).await;
        let mut config = config(&[upstream.addr]);
        config["server"]["via"] = json!("ours");
        let proxy = TestProxy::start(config).await;
        let mut client = proxy.client().await;
        client.send("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nVia: 1.1 a, 1.1 Ours (x), 1.0 b\r\n\r\n").await;
        let (head, _) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        assert!(head.contains("Proxy-Status: netdrift; error=proxy_loop_detected\r\n"), "{head}");
        assert!(asked.try_recv().is_err());
        assert_eq!(proxy.ear.finished(1).await.outcome, "loop");
    });
}

#[test]
fn an_old_client_gets_plain_bytes_and_an_end() {
    run(async {
        let (upstream, mut asked) = server(|_, head| {
            let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n";
            let body = if head.starts_with("HEAD") { "" } else { "3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n" };
            format!("{chunked}{body}")
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        for (method, wanted) in [("GET", "abcde"), ("HEAD", "")] {
            let mut client = proxy.client().await;
            client
                .send(format!("{method} http://a.test/ HTTP/1.0\r\nConnection: keep-alive, TE\r\nTE: trailers\r\n\r\n"))
                .await;
            let head = client.head().await;
            assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
            assert!(!head.to_ascii_lowercase().contains("\r\ntra"), "no coding, no trailers: {head}");
            assert_eq!(client.rest().await.unwrap(), wanted.as_bytes());
            let (_, head) = asked.recv().await.unwrap();
            assert!(head.contains("Via: 1.0 netdrift-") && head.contains("Host: a.test\r\n"), "{head}");
            assert!(!head.contains("TE: "), "no trailers are passed on to it: {head}");
        }
    });
}

#[test]
fn the_figures_add_up_after_a_mixed_run() {
    run(async {
        let (good, _asked) = server(|_, head| reply(if head.contains("/404") { 404 } else { 200 }, "x")).await;
        let proxy = TestProxy::before(&[good.addr, Double::refusing().await]).await;
        let mut client = proxy.client().await;
        for path in ["/", "/404", "/", "/404", "/", "/"] {
            client.send(get(path)).await;
            assert_eq!(client.response().await.1, b"x");
        }
        client.send("GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert!(client.response().await.0.starts_with("HTTP/1.1 400 "));
        let mut gone = proxy.client().await;
        gone.send("POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nab").await;
        gone.finish().await;
        assert!(gone.response().await.0.starts_with("HTTP/1.1 "));
        proxy.ear.finished(8).await;

        let stats = proxy.stats().await;
        let (total, number) = (&stats["total"], |value: &serde_json::Value| value.as_u64().unwrap());
        assert_eq!(number(&total["total_requests"]), 7);
        assert_eq!(number(&stats["rejected_requests"]), 1);
        assert_eq!(number(&stats["current_requests"]), 0);
        let (success, failed) = (number(&total["success_requests"]), number(&total["failed_requests"]));
        assert_eq!(success + failed, 7);
        let upstreams = total["upstream_metrics"].as_array().unwrap();
        let sum = |name: &str| upstreams.iter().map(|one| number(&one[name])).sum::<u64>();
        assert_eq!(sum("success_requests"), success);
        assert_eq!(sum("success_requests") + sum("failed_requests"), sum("total_requests"));
        let picks = proxy.ear.heard().iter().filter(|heard| matches!(heard, Heard::Pick { .. })).count();
        assert_eq!(sum("total_requests"), picks as u64, "every attempt is counted once: {stats}");
    });
}

/// Whoever still listens takes what comes; a connection that is closed answers it with a reset.
#[test]
fn only_a_client_that_may_still_send_is_listened_to_behind_its_answer() {
    run(async {
        let (upstream, _asked) = server(|_, _| reply(200, "x")).await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let asks =
            |version: &str, field: &str| format!("GET http://a.test/ HTTP/{version}\r\nHost: a.test\r\n{field}\r\n");
        for (request, listens) in [
            (asks("1.1", "Connection: close\r\n"), false),
            (asks("1.0", ""), false),
            (asks("1.0", "Connection: keep-alive\r\n"), true),
            // It has broken its word once.
            (asks("1.1", "Connection: close\r\n") + "G", true),
        ] {
            let mut client = proxy.client().await;
            client.send(&request).await;
            client.head().await;
            assert_eq!(client.rest().await.unwrap(), b"x");
            client.send("more").await;
            let sent = client.stream.write_all(b"more").await;
            assert_eq!(sent.is_ok(), listens, "{request:?}: {sent:?}");
        }
    });
}
