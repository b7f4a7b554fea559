//! Tests that bodies are exact, streamed both ways at once, slowed by slow readers, and never taken for whole when cut.

use std::io::ErrorKind;

use proxy::core::attribution::Blame;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::sleep;

use super::plain::{get, reply, server};
use crate::support::{Double, Heard, Memory, TestProxy, config, parse, run, run_paused};
use crate::tunnels::timing::{addr, millis, secs, with_timeouts};

const MIB: usize = 1024 * 1024;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

/// An upstream that answers any request at once and echoes `length` bytes of body while they come.
async fn echoing(length: usize) -> Double {
    Double::scripted(move |_, mut peer| async move {
        peer.head().await;
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
        let mut left = length;
        while left > 0 {
            let part = peer.exactly(left.min(10_000)).await;
            left -= part.len();
            peer.send(part).await;
        }
        let _ = peer.rest().await;
    })
    .await
}

#[test]
fn bodies_of_any_length_come_back_exactly() {
    run(async {
        let (mock, _journal) = Double::mock("m").await;
        let proxy = TestProxy::before(&[mock.addr]).await;
        let mut client = proxy.client().await;
        for length in [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, MIB] {
            let head = "POST http://http.mock/echo HTTP/1.1\r\nHost: http.mock\r\nContent-Length:";
            client.send([format!("{head} {length}\r\n\r\n").as_bytes(), &pattern(length)].concat()).await;
            let (head, body) = client.response().await;
            assert!(body == pattern(length), "{length} bytes: {head}");
            // An echo begins while the request goes on, so its connection ends behind it.
            if head.contains("Connection: close") {
                client = proxy.client().await;
            }
        }
    });
}

#[test]
fn eight_mebibytes_each_way_at_once_do_not_block_each_other() {
    run(async {
        let length = 8 * MIB;
        let proxy = TestProxy::before(&[echoing(length).await.addr]).await;
        let (mut from, mut to) = TcpStream::connect(proxy.addr).await.unwrap().into_split();
        let sends = async move {
            let head = format!("PUT http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n");
            to.write_all(head.as_bytes()).await.unwrap();
            to.write_all(&pattern(length)).await.unwrap();
            to
        };
        let reads = async move {
            let mut all = Vec::new();
            from.read_to_end(&mut all).await.unwrap();
            all
        };
        let (_to, all) = tokio::join!(sends, reads);
        assert!(all.ends_with(&pattern(length)));
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.bytes_up, summary.bytes_down, summary.outcome), (length as u64, length as u64, "ok"));
    });
}

#[test]
fn chunks_are_written_anew_and_trailers_kept_both_ways() {
    run(async {
        let (tell, mut told) = unbounded_channel();
        let upstream = Double::scripted(move |_, mut peer| {
            let tell = tell.clone();
            async move {
                peer.head().await;
                let wanted = "3\r\nabc\r\na\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n";
                let _ = tell.send(String::from_utf8(peer.exactly(wanted.len()).await).unwrap() == wanted);
                peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: X-End\r\nConnection: x-hop\r\n\r\n").await;
                peer.send(
                    "0003 ; a=\"b\"\r\nxyz\r\n0;last\r\nX-End: yes\r\nContent-Length: 5\r\nSet-Cookie: a\r\nX-Hop: 1\r\n\r\n",
                )
                .await;
                let _ = peer.rest().await;
            }
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send("POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: X-Hop\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.send("03;ext=1\r\nabc\r\n0000000a;x;y\r\n0123456789\r\n").await;
        client.send("0\r\nX-Hop: 1\r\nX-Sum: 1\r\nTransfer-Encoding: gzip\r\n\r\n").await;
        assert!(told.recv().await.unwrap());
        let head = client.head().await;
        assert!(head.contains("Trailer: X-End\r\n") && !head.contains("close"), "{head}");
        let wanted = "3\r\nxyz\r\n0\r\nX-End: yes\r\n\r\n";
        assert_eq!(client.exactly(wanted.len()).await, wanted.as_bytes());
        client.finish().await;
        assert_eq!(client.rest().await.unwrap(), b"");
    });
}

#[test]
fn a_client_that_does_not_read_stops_the_upstream() {
    run(async {
        let (tell, mut told) = unbounded_channel();
        let upstream = Double::scripted(move |_, mut peer| {
            let tell = tell.clone();
            async move {
                peer.head().await;
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n").await;
                let part = vec![0; 64 * 1024];
                let mut sent = 0;
                while let Ok(count) = peer.stream.write(&part).await {
                    sent += count;
                }
                let _ = tell.send(sent);
            }
        })
        .await;
        let mut config = config(&[upstream.addr]);
        config["timeouts"] = json!({ "body": "1s" });
        let proxy = TestProxy::start(config).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.outcome, summary.blame), ("body_timeout", Some(Blame::Client)));
        let sent = told.recv().await.unwrap();
        assert!(sent < 64 * MIB, "what the four socket buffers hold and no more, not {sent}");
        assert_eq!(client.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_body_that_stands_still_ends_in_a_reset() {
    run(async {
        let (upstream, _asked) = server(|_, _| "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".into()).await;
        let mut config = config(&[upstream.addr]);
        config["timeouts"] = json!({ "body": "1s" });
        let proxy = TestProxy::start(config).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        client.head().await;
        assert_eq!(client.exactly(4).await, b"half");
        assert_eq!(client.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(proxy.ear.finished(1).await.outcome, "body_timeout");
    });
}

#[test]
fn a_refusal_overtakes_an_upload() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.send(reply(413, "too much")).await;
            // Gone, with most of the body unread.
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let (mut from, mut to) = TcpStream::connect(proxy.addr).await.unwrap().into_split();
        let sends = async move {
            let head = format!("PUT http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", 8 * MIB);
            to.write_all(head.as_bytes()).await.unwrap();
            // Not all of it is taken.
            let _ = to.write_all(&pattern(8 * MIB)).await;
        };
        let reads = async move {
            let mut all = Vec::new();
            // A reset behind the whole answer is how it may end: the rest of the body is not wanted.
            let _ = from.read_to_end(&mut all).await;
            String::from_utf8(all).unwrap()
        };
        let ((), all) = tokio::join!(sends, reads);
        assert!(all.starts_with("HTTP/1.1 413 ") && all.ends_with("\r\n\r\ntoo much"), "{all}");
        assert!(all.contains("\r\nConnection: close\r\n"), "{all}");
    });
}

/// As curl's library, urllib and axios do: nothing is read before all of the body is sent. Closing early would reset the
/// connection, and the reset would take the answer.
#[test]
fn an_answer_reaches_a_client_that_reads_none_before_its_upload_is_sent() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.send(reply(413, "too much")).await;
            // Gone, with most of the body unread.
        })
        .await;
        let open = TestProxy::before(&[upstream.addr]).await;
        let mut locked = config(&[upstream.addr]);
        locked["authentication"] = json!({ "enabled": true, "users": [{ "username": "a", "password": "b" }] });
        let locked = TestProxy::start(locked).await;
        for (proxy, status) in [(&open, 413), (&locked, 407)] {
            for mebibytes in [1, 3, 20] {
                let length = mebibytes * MIB;
                let body = vec![b'x'; length];
                let mut client = proxy.client().await;
                // Where sockets have taken all of the body before the answer came, the connection would be kept otherwise.
                let head = "PUT http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: ";
                client.send(format!("{head}{length}\r\n\r\n")).await;
                client.send(body).await;
                let all = String::from_utf8(client.rest().await.unwrap()).unwrap();
                assert!(all.starts_with(&format!("HTTP/1.1 {status} ")), "{mebibytes} MiB: {all}");
            }
        }
    });
}

/// In memory, since it is time that bounds it.
#[test]
fn a_refused_client_is_listened_to_for_as_long_as_it_sends_in_earnest() {
    run_paused(async {
        let refused = async |bytes: usize, every: u64| {
            let net = Memory::default();
            let (_, _ear) = net.start(parse(&with_timeouts(&[addr(1)], json!({})))).await;
            let mut client = net.client();
            client.send("CONNECT nobody HTTP/1.1\r\n\r\n").await;
            assert!(client.head().await.starts_with("HTTP/1.1 400 "));
            while client.stream.write_all(&vec![b'x'; bytes]).await.is_ok() {
                sleep(millis(every)).await;
            }
            net.elapsed()
        };
        assert!((secs(2)..=secs(3)).contains(&refused(1, 400).await), "a byte now and then earns nothing");
        assert!((secs(22)..=secs(26)).contains(&refused(60_000, 1000).await), "a little too slow");
        assert!((secs(30)..=secs(31)).contains(&refused(100_000, 100).await));
    });
}

#[test]
fn a_client_that_ends_its_side_behind_its_request_gets_its_answer() {
    run(async {
        let (go, wait) = tokio::sync::watch::channel(false);
        let upstream = Double::scripted(move |_, mut peer| {
            let mut wait = wait.clone();
            async move {
                peer.head().await;
                wait.wait_for(|go| *go).await.unwrap();
                peer.send(reply(200, "still here")).await;
            }
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        client.finish().await;
        go.send(true).unwrap();
        assert_eq!(client.response().await.1, b"still here");
        assert_eq!(client.rest().await.unwrap(), b"");
    });
}

#[test]
fn a_body_that_the_client_cuts_or_garbles_is_refused_and_nobody_else_blamed() {
    run(async {
        let silent = Double::scripted(|_, mut peer| async move {
            let _ = peer.rest().await;
        })
        .await;
        let proxy = TestProxy::before(&[silent.addr]).await;
        let bodies = [
            ("Content-Length: 5\r\n\r\nab", "body_cut"),
            ("Transfer-Encoding: chunked\r\n\r\n3\r\nab", "body_cut"),
            ("Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "bad_chunk_size"),
            ("Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "bad_chunk_end"),
        ];
        for (nth, (body, outcome)) in bodies.into_iter().enumerate() {
            let mut client = proxy.client().await;
            client.send(format!("POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\n{body}")).await;
            client.finish().await;
            let (head, _) = client.response().await;
            assert!(head.starts_with("HTTP/1.1 400 ") && head.contains("Connection: close\r\n"), "{body:?}: {head}");
            let summary = proxy.ear.finished(nth + 1).await;
            assert_eq!((summary.outcome, summary.blame), (outcome, Some(Blame::Client)));
        }
        assert!(!proxy.ear.heard().iter().any(|heard| matches!(heard, Heard::Blamed { .. })));
    });
}

#[test]
fn a_reply_cut_behind_its_head_never_looks_whole() {
    let cut: [&'static str; 5] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX: 1\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n-1\r\n\r\n",
    ];
    for cut in cut {
        for old in [false, true] {
            run(async move {
                let upstream = Double::scripted(move |_, mut peer| async move {
                    peer.head().await;
                    peer.send(cut).await;
                })
                .await;
                let proxy = TestProxy::before(&[upstream.addr]).await;
                let mut client = proxy.client().await;
                let version = if old { "1.0" } else { "1.1" };
                client.send(format!("GET http://a.test/ HTTP/{version}\r\nHost: a.test\r\n\r\n")).await;
                let error = client.rest().await.expect_err(cut);
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{cut:?}");
                assert!(proxy.ear.finished(1).await.outcome.starts_with("reply_"), "{cut:?}");
            });
        }
    }
}

#[test]
fn a_reply_that_ends_with_its_connection_is_whole_only_by_an_orderly_end() {
    for reset in [false, true] {
        run(async move {
            let (read, was_read) = tokio::sync::watch::channel(false);
            let upstream = Double::scripted(move |_, mut peer| {
                let mut was_read = was_read.clone();
                async move {
                    peer.head().await;
                    peer.send("HTTP/1.1 200 OK\r\n\r\nall of it").await;
                    // A reset overtakes what the other side has not read.
                    was_read.wait_for(|read| *read).await.unwrap();
                    if reset {
                        peer.reset();
                    }
                }
            })
            .await;
            let proxy = TestProxy::before(&[upstream.addr]).await;
            let mut client = proxy.client().await;
            client.send(get("/")).await;
            assert!(client.head().await.contains("\r\nConnection: close\r\n"));
            assert_eq!(client.exactly(9).await, b"all of it");
            read.send(true).unwrap();
            match client.rest().await {
                Ok(rest) => assert_eq!((reset, rest), (false, Vec::new())),
                Err(error) => assert_eq!((reset, error.kind()), (true, ErrorKind::ConnectionReset)),
            }
        });
    }
}
