//! Tests absolute-form requests, and the upstream's own pages.

use mock_upstreams::Settings;
use mock_upstreams::checksum::Transferred;
use mock_upstreams::journal::Outcome;
use mock_upstreams::targets::{pattern, transferred_of_pattern};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Mock, read_head, read_to_end, split, watched, with_auth};

#[tokio::test]
async fn a_connection_serves_request_after_request() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let mut client = mock.connect().await;
        for size in [5, 0, 70_000] {
            let request = format!("GET http://k{size}.http.mock/bytes/{size} HTTP/1.1\r\nHost: http.mock\r\n\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            let head = read_head(&mut client).await;
            assert!(head.contains(&format!("content-length: {size}\r\n")), "{head}");
            let mut body = vec![0; size];
            client.read_exact(&mut body).await.unwrap();
            assert_eq!(body, pattern(0, size));
        }
        drop(client);
        let seen: Vec<_> = mock.requests(3).await.into_iter().map(|r| (r.request, r.id, r.down, r.outcome)).collect();
        let expected = [(1, "k5", 5), (2, "k0", 0), (3, "k70000", 70_000)]
            .map(|(number, id, size)| (number, Some(id.to_owned()), transferred_of_pattern(size), Outcome::Completed));
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test]
async fn a_login_stays_with_its_connection_and_with_no_other() {
    watched(async {
        let mock = Mock::start(with_auth()).await;
        let (ann, ben) = ("Authorization: Negotiate YW5u\r\n", "Authorization: ntlm YmVu\r\n");
        let good = "Proxy-Authorization: Basic dTpw\r\n";
        for (fields, connection) in [
            (vec!["", ann, "", ben, ""], good),
            // Whoever is not let in gets to no target, and Basic goes with each request.
            (vec![ann], ""),
            (vec!["Authorization: Basic YTpi\r\n", ""], good),
        ] {
            let mut client = mock.connect().await;
            for field in fields {
                let request = format!("GET http://http.mock/status/204 HTTP/1.1\r\nHost: x\r\n{connection}{field}\r\n");
                client.write_all(request.as_bytes()).await.unwrap();
                read_head(&mut client).await;
            }
        }
        let mut seen = mock.requests(8).await;
        seen.sort_by_key(|record| (record.connection, record.request));
        let seen: Vec<_> = seen.iter().map(|record| record.served_as.as_deref()).collect();
        assert_eq!(seen, [None, Some("ann"), Some("ann"), Some("ben"), Some("ben"), None, None, None]);
    })
    .await;
}

#[tokio::test]
async fn http_mock_answers_by_path() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let (head, body) = mock.get("http://http.mock/status/418").await;
        assert!(head.starts_with("HTTP/1.1 418 "), "{head}");
        assert_eq!(body, b"418 I'm a teapot\n");
        assert_eq!(mock.get("http://http.mock/ip").await.1, b"m\n");
        assert!(mock.get("http://http.mock/status/204").await.1.is_empty());
        let (head, body) = mock.get("http://http.mock/chunked/3").await;
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert_eq!(body, b"3\r\n\x00\x01\x02\r\n0\r\n\r\n");
        let (_, body) = mock.get("http://http.mock/headers").await;
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["headers"][0], serde_json::json!(["host", "x"]));
        assert!(mock.get("http://http.mock/nothing").await.0.starts_with("HTTP/1.1 404 "));
    })
    .await;
}

#[tokio::test]
async fn trailers_are_sent_to_who_wants_them() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let request = "GET http://http.mock/trailers/2 HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n";
        let (_, body) = split(&mock.exchange(request).await);
        let checksum = Transferred::of(&[0, 1]).checksum;
        assert_eq!(body, format!("2\r\n\0\u{1}\r\n0\r\nx-checksum: {checksum}\r\n\r\n").into_bytes());
    })
    .await;
}

#[tokio::test]
async fn a_body_comes_back_and_is_counted_both_ways() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let request = "POST http://http.mock/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let (_, body) = split(&mock.exchange(request).await);
        assert_eq!(body.iter().filter(|byte| byte.is_ascii_lowercase()).copied().collect::<Vec<_>>(), b"abcde");
        let record = mock.requests(1).await.remove(0);
        assert_eq!((record.up, record.down), (Transferred::of(b"abcde"), Transferred::of(b"abcde")));
    })
    .await;
}

#[tokio::test]
async fn trailers_come_back_behind_the_body() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let request = "POST http://http.mock/echo HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nTrailer: a-sum\r\n\
                       Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA-Sum: 7\r\n\r\n";
        let (_, body) = split(&mock.exchange(request).await);
        assert_eq!(body, b"3\r\nabc\r\n0\r\na-sum: 7\r\n\r\n");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_comes_before_a_body_that_waits_for_100() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let head = |path| {
            format!(
                "POST http://http.mock{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
            )
        };
        let mut client = mock.connect().await;
        client.write_all(head("/expect").as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 417 "));

        let mut client = mock.connect().await;
        client.write_all(head("/echo").as_bytes()).await.unwrap();
        assert_eq!(read_head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"ok").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(split(&read_to_end(&mut client).await).1, b"ok");
    })
    .await;
}

#[tokio::test]
async fn a_real_target_gets_origin_form_without_the_fields_of_the_hop() {
    watched(async {
        let mock = Mock::start(with_auth()).await;
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = target.local_addr().unwrap().to_string();
        let mut client = mock.connect().await;
        let request = format!(
            "POST http://{authority}/a?b HTTP/1.1\r\nHost: wrong\r\nProxy-Authorization: Basic dTpw\r\n\
             Connection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\nContent-Length: 4\r\n\r\nbody"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut far, _) = target.accept().await.unwrap();
        let head = read_head(&mut far).await;
        assert!(head.starts_with("POST /a?b HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {authority}\r\n")) && head.contains("x-end: 2"), "{head}");
        assert!(!head.contains("x-hop") && !head.contains("proxy-authorization"), "{head}");
        let mut body = [0; 4];
        far.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"body");

        far.write_all(b"HTTP/1.1 201 Created\r\nConnection: close\r\n\r\nuntil the end").await.unwrap();
        far.shutdown().await.unwrap();
        client.shutdown().await.unwrap();
        let (head, body) = split(&read_to_end(&mut client).await);
        assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
        assert!(String::from_utf8(body).unwrap().contains("until the end"));
        let record = mock.requests(1).await.remove(0);
        assert_eq!(
            (record.status, record.outcome, record.up.bytes, record.down.bytes),
            (Some(201), Outcome::Completed, 4, 13)
        );
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_the_client_does_not_wait_for_is_aborted() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let mut client = mock.connect().await;
        client.write_all(b"GET http://http.mock/bytes/100000000 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        read_head(&mut client).await;
        client.set_zero_linger().unwrap();
        drop(client);
        let record = mock.requests(1).await.remove(0);
        assert_eq!(record.outcome, Outcome::Aborted);
        assert!(record.down.bytes < 100_000_000);
    })
    .await;
}

#[tokio::test]
async fn status_and_journal_tell_what_was_and_reset_forgets_it() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        mock.get("http://r1.http.mock/bytes/10").await;
        mock.requests(1).await;

        let status: serde_json::Value = serde_json::from_slice(&mock.get("/status").await.1).unwrap();
        assert_eq!((&status["name"], &status["requests"], &status["bytes_down"]), (&"m".into(), &1.into(), &10.into()));
        let lines = String::from_utf8(mock.get("/journal").await.1).unwrap();
        assert!(lines.lines().any(|line| line.contains(r#""event":"request""#) && line.contains(r#""id":"r1""#)));

        mock.exchange("POST /reset HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        let status: serde_json::Value = serde_json::from_slice(&mock.get("/status").await.1).unwrap();
        assert_eq!(status["requests"], 0);
        assert!(mock.get("/reset").await.0.starts_with("HTTP/1.1 405 "));
        assert!(mock.get("/else").await.0.starts_with("HTTP/1.1 400 "));
    })
    .await;
}
