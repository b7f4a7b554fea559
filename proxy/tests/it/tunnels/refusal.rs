//! What follows a refused CONNECT is never taken for a request, whoever refused it (RFC 9931), and what an upstream
//! says in refusing never becomes an answer of its own.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::support::{Client, Double, Heard, TestProxy, config, run};

/// A complete request that works when it is asked for honestly.
const FORGED: &str = "GET http://http.mock/ HTTP/1.1\r\nHost: http.mock\r\n\r\n";

const CONNECT: &str = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n";

/// The one answer, to the end of the stream.
async fn only_answer(client: &mut Client) -> String {
    let text = String::from_utf8(client.rest().await.unwrap()).unwrap();
    assert_eq!(text.matches("HTTP/1.").count(), 1, "{text}");
    assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
    text
}

/// An upstream that answers the first head of each connection with `reply` and tells of every byte it gets.
async fn telling(reply: &'static str) -> (Double, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (tell, told) = mpsc::unbounded_channel();
    let upstream = Double::scripted(move |_, mut peer| {
        let tell = tell.clone();
        async move {
            let mut seen = peer.head().await.into_bytes();
            peer.send(reply).await;
            seen.extend(peer.rest().await.unwrap_or_default());
            tell.send(seen).unwrap();
        }
    })
    .await;
    (upstream, told)
}

#[test]
fn a_request_in_the_early_data_of_a_connect_that_the_upstream_refuses_is_never_served() {
    run(async {
        for (reply, status) in [
            ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "502"),
            ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "502"),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "503"),
            ("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "502"),
            ("HTTP/1.1 302 Found\r\nLocation: http://http.mock/\r\nContent-Length: 0\r\n\r\n", "502"),
            ("garbage\r\n\r\n", "502"),
        ] {
            let (upstream, mut told) = telling(reply).await;
            let proxy = TestProxy::before(&[upstream.addr]).await;
            let mut client = proxy.client().await;
            client.send(format!("{CONNECT}{FORGED}")).await;
            let text = only_answer(&mut client).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}: {text}");
            let seen = String::from_utf8(told.recv().await.unwrap()).unwrap();
            assert!(seen.starts_with("CONNECT a.test:80 ") && seen.ends_with("\r\n\r\n"), "{seen}");
            assert!(!seen.contains("http.mock"), "early data went out before a 2xx: {seen}");
            let requests = proxy.ear.heard().iter().filter(|heard| matches!(heard, Heard::Finished(_))).count();
            assert_eq!(requests, 1, "{reply}");
        }
    });
}

#[test]
fn bytes_that_come_behind_the_refusal_are_not_served_either() {
    run(async {
        let (upstream, mut told) = telling("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send(CONNECT).await;
        let (head, _) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("\r\nConnection: close\r\n"), "{head}");
        // The refusal is here, so the proxy has ended its side; what it still reads goes nowhere.
        let _ = client.stream.write_all(FORGED.as_bytes()).await;
        assert_eq!(client.rest().await.unwrap_or_default(), b"");
        assert!(!String::from_utf8_lossy(&told.recv().await.unwrap()).contains("http.mock"));
        let stats = proxy.stats().await;
        assert_eq!((&stats["rejected_requests"], &stats["total"]["total_requests"]), (&json!(0), &json!(1)));
    });
}

#[test]
fn early_data_reaches_only_the_upstream_that_opened_the_target() {
    run(async {
        let (refusing, mut told) = telling("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
        let (mock, _) = Double::mock("mock").await;
        let proxy = TestProxy::before(&[refusing.addr, mock.addr]).await;
        // Whichever comes first, one of two tries to begin with the one that refuses.
        for _ in 0..2 {
            let mut client = proxy.client().await;
            client.send("CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock:80\r\n\r\nearly").await;
            assert!(client.head().await.starts_with("HTTP/1.1 200 "));
            assert_eq!(client.exactly(5).await, b"early");
        }
        let seen = String::from_utf8(told.recv().await.unwrap()).unwrap();
        assert!(!seen.contains("early"), "{seen}");
    });
}

#[test]
fn a_forged_answer_in_a_refusal_stays_with_us() {
    run(async {
        let forged = "HTTP/1.1 200 OK\r\nX-Forged: yes\r\n\r\nforged";
        let replies = [
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 407 Proxy Authentication Required\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 403 Forbidden\r\nX-Forged: yes\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 403 HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 407 No\rHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 407 No\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 407 No\r\n HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\0\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
        ];
        for reply in replies {
            let reply: &'static str = format!("{reply}{forged}").leak();
            let upstream = Double::replying(reply).await;
            let proxy = TestProxy::before(&[upstream.addr]).await;
            let mut client = proxy.client().await;
            client.send(CONNECT).await;
            let text = only_answer(&mut client).await;
            assert!(text.starts_with("HTTP/1.1 502 ") || text.starts_with("HTTP/1.1 403 "), "{reply:?}: {text}");
            assert!(text.contains("\r\nProxy-Status: netdrift; "), "{text}");
            assert!(!text.contains("orged") && !text.contains("Proxy-Authenticate"), "{reply:?}: {text}");
        }
    });
}

#[test]
fn requests_behind_a_good_one_are_served_in_turn_until_one_is_bad() {
    run(async {
        let (upstream, journal) = Double::mock("mock").await;
        let mut config = config(&[upstream.addr]);
        config["server"]["via"] = json!("ring");
        let proxy = TestProxy::start(config).await;
        let mut client = proxy.client().await;
        let bad = "GET http://http.mock/ HTTP/1.1\r\nHost: http.mock\r\nX : y\r\n\r\n";
        client.send(format!("{FORGED}{FORGED}{bad}{FORGED}")).await;
        for _ in 0..2 {
            assert!(client.response().await.0.starts_with("HTTP/1.1 200 "));
        }
        assert!(only_answer(&mut client).await.starts_with("HTTP/1.1 400 "));
        let served = journal.until(|counts| counts.requests >= 2 && counts.open_requests == 0).await.requests;
        assert_eq!(served, 2);
    });
}

/// Whatever is wrong with it, and however early that is seen: the answer to HEAD ends with its head.
#[test]
fn no_body_comes_behind_the_refusal_of_a_head() {
    run(async {
        let silent = Double::scripted(|_, mut peer| async move {
            let _ = peer.rest().await;
        })
        .await;
        let mut config = config(&[silent.addr]);
        config["timeouts"] = json!({ "header": "100ms" });
        let proxy = TestProxy::start(config).await;
        let long = "x".repeat(20_000);
        for (request, status) in [
            ("HEAD http://a.test/ HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n".to_owned(), 400),
            ("\r\nHEAD http://a.test/ HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("HEAD http://a.test/ HTTP/9.1\r\nHost: a.test\r\n\r\n".to_owned(), 505),
            ("HEAD https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(), 400),
            ("HEAD http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n".to_owned(), 400),
            ("HEAD http://a.test/ HTTP/1.1\nHost: a.test\r\n\r\n".to_owned(), 400),
            (format!("HEAD http://a.test/{long} HTTP/1.1\r\n"), 414),
            (format!("HEAD http://a.test/ HTTP/1.1\r\nX: {long}\r\n"), 431),
            ("HEAD http://a.test/ HTTP/1.1\r\nHost: a.t".to_owned(), 408),
            (format!("HEAD http://{}/ HTTP/1.1\r\nHost: a.test\r\n\r\n", proxy.addr), 403),
            (
                "HEAD http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(),
                501,
            ),
            ("HEAD http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n".to_owned(), 400),
        ] {
            let mut client = proxy.client().await;
            // It may be refused before all of it is there.
            let _ = client.stream.write_all(request.as_bytes()).await;
            let text = only_answer(&mut client).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.80}: {text}");
            assert!(text.ends_with("\r\n\r\n"), "{request:.80}: {text}");
        }
    });
}

/// RFC 9110 sections 15.5.2, 15.5.20 and 15.5.22: a 401 needs a challenge, a 426 the protocols, and no proxy says 421.
#[test]
fn a_status_that_no_proxy_may_make_up_is_told_as_received() {
    run(async {
        for (status, told) in [(401, 502), (403, 403), (404, 404), (421, 502), (426, 502)] {
            let reply: &'static str =
                Box::leak(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").into_boxed_str());
            let proxy =
                TestProxy::before(&[Double::replying(reply).await.addr, Double::replying(reply).await.addr]).await;
            let (head, _) = proxy.asked("a.test:80").await.response().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {told} ")), "{status}: {head}");
            assert!(head.contains(&format!("; received-status={status}; details=\"2 attempts\"\r\n")), "{head}");
        }
    });
}
