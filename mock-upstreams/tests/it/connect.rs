//! Tests CONNECT: early data, half-closes, resets, credentials, targets out of reach.

use mock_upstreams::Settings;
use mock_upstreams::checksum::Transferred;
use mock_upstreams::journal::{End, Event, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Mock, connect_to, read_head, read_to_end, split, upstream, watched, with_auth};

#[tokio::test]
async fn bytes_behind_the_head_reach_the_target_and_the_journal_counts_both_ways() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let answer = mock.exchange(connect_to("r8f3.echo.mock:80") + "early").await;
        assert_eq!(answer, b"HTTP/1.1 200 Connection established\r\n\r\nearly");

        let record = mock.requests(1).await.remove(0);
        assert_eq!((record.connection, record.request, record.status), (1, 1, Some(200)));
        assert_eq!((record.id.as_deref(), record.method.as_str()), (Some("r8f3"), "CONNECT"));
        assert_eq!(record.target, "r8f3.echo.mock:80");
        assert_eq!((record.up, record.down), (Transferred::of(b"early"), Transferred::of(b"early")));
        assert_eq!((record.client_end, record.upstream_end), (End::Fin, End::Fin));
        assert_eq!(record.outcome, Outcome::Completed);
        assert!(record.faults.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_real_target_may_answer_after_the_client_has_ended_its_side() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = mock.connect().await;
        client.write_all(connect_to(&target.local_addr().unwrap().to_string()).as_bytes()).await.unwrap();
        let (mut far, _) = target.accept().await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 "));

        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut far).await, b"question");
        far.write_all(b"answer").await.unwrap();
        far.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut client).await, b"answer");
        assert_eq!(mock.requests(1).await[0].outcome, Outcome::Completed);
    })
    .await;
}

#[tokio::test]
async fn a_real_target_may_end_its_side_first() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = mock.connect().await;
        client.write_all(connect_to(&target.local_addr().unwrap().to_string()).as_bytes()).await.unwrap();
        let (mut far, _) = target.accept().await.unwrap();
        far.shutdown().await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 "));
        assert!(read_to_end(&mut client).await.is_empty());

        client.write_all(b"still open").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut far).await, b"still open");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_resets_is_written_down_as_such() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let mut client = mock.connect().await;
        client.write_all(connect_to("echo.mock:80").as_bytes()).await.unwrap();
        read_head(&mut client).await;
        client.set_zero_linger().unwrap();
        drop(client);

        let record = mock.requests(1).await.remove(0);
        assert_eq!((record.client_end, record.outcome), (End::Rst, Outcome::Aborted));
    })
    .await;
}

#[tokio::test]
async fn wrong_credentials_get_407_on_a_connection_that_stays_usable() {
    watched(async {
        let mock = Mock::start(with_auth()).await;
        let mut client = mock.connect().await;
        for credentials in ["", "Proxy-Authorization: Basic dTp4\r\n"] {
            let head = format!("CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock:80\r\n{credentials}\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            let head = read_head(&mut client).await;
            assert!(head.starts_with("HTTP/1.1 407 "), "{head}");
            assert!(head.contains("proxy-authenticate: Basic realm="), "{head}");
            let mut body = [0; 25];
            client.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"proxy credentials needed\n");
        }
        let head = "CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock:80\r\nProxy-Authorization: Basic dTpw\r\n\r\nx";
        client.write_all(head.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let (head, body) = split(&read_to_end(&mut client).await);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, b"x");

        let seen: Vec<_> = mock.requests(3).await.into_iter().map(|r| (r.request, r.outcome, r.user)).collect();
        let user = Some("u".to_owned());
        let expected =
            [(1, Outcome::Refused, None), (2, Outcome::Refused, user.clone()), (3, Outcome::Completed, user)];
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test]
async fn a_target_out_of_reach_is_502() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        // Bound and dropped: nobody listens there.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        for target in [free.as_str(), "no-such.mock:80"] {
            let (head, _) = split(&mock.exchange(connect_to(target)).await);
            assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        }
        let seen: Vec<_> = mock.requests(2).await.into_iter().map(|r| (r.status, r.outcome)).collect();
        assert_eq!(seen, [(Some(502), Outcome::Unreachable); 2]);
    })
    .await;
}

#[tokio::test]
async fn a_head_that_is_no_http_closes_the_connection_and_says_why() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let answer = mock.exchange("nonsense\r\n\r\n").await;
        assert!(answer.starts_with(b"HTTP/1.1 400 "));
        mock.upstream.journal().until(|counts| counts.connections == 1 && counts.open_connections == 0).await;
        let entries = mock.upstream.journal().entries();
        let reason = entries.iter().find_map(|entry| match &entry.event {
            Event::Closed { reason, requests: 0, .. } => Some(*reason),
            _ => None,
        });
        assert_eq!(reason, Some(Some("malformed request")));
    })
    .await;
}

#[tokio::test]
async fn the_same_bytes_make_the_same_journal() {
    let run = async || {
        let upstream = upstream(Settings::default());
        let (mut client, served) = tokio::io::duplex(100);
        let talk = async {
            client.write_all((connect_to("n3000.source.mock:80") + "x").as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            read_to_end(&mut client).await
        };
        let serve = upstream.serve(served, mock_upstreams::listen::dial);
        let (answer, ()) = tokio::join!(talk, serve);
        (answer, upstream.journal().json_lines())
    };
    let first = run().await;
    assert!(first.1.contains(r#""outcome":"completed""#), "{}", first.1);
    assert_eq!(first, run().await);
}
