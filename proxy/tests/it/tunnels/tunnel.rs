//! Tests open tunnels: every byte, every end and every reset reaches the other side.

use std::io::ErrorKind;

use mock_upstreams::checksum::Transferred;
use mock_upstreams::targets::{pattern, transferred_of_pattern};
use proxy::core::attribution::Blame;
use proxy::env::RelayEnd;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::support::{Client, Double, Heard, Memory, Peer, TestProxy, WATCHDOG, run, run_paused};

/// A proxy with one open tunnel, and both ends of it.
pub(crate) async fn joined() -> (TestProxy, Client, Peer) {
    let (give, mut take) = mpsc::unbounded_channel();
    let upstream = Double::scripted(move |_, mut peer| {
        let give = give.clone();
        async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            give.send(peer).unwrap_or_else(|_| panic!("the test has ended"));
        }
    })
    .await;
    let proxy = TestProxy::before(&[upstream.addr]).await;
    let client = proxy.tunnel("a.test:80").await;
    let peer = take.recv().await.unwrap();
    (proxy, client, peer)
}

#[test]
fn the_clients_end_is_passed_on_and_the_other_direction_goes_on() {
    run(async {
        let (proxy, mut client, mut peer) = joined().await;
        client.send("last words").await;
        client.finish().await;
        assert_eq!(peer.rest().await.unwrap(), b"last words");
        // The upstream speaks only after it saw the end.
        for part in ["still ", "here"] {
            peer.send(part).await;
            assert_eq!(client.exactly(part.len()).await, part.as_bytes());
        }
        peer.finish().await;
        assert_eq!(client.rest().await.unwrap(), b"");
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.bytes_up, summary.bytes_down, summary.end), (10, 10, Some(RelayEnd::Closed)));
    });
}

#[test]
fn the_upstreams_end_is_passed_on_and_the_other_direction_goes_on() {
    run(async {
        let (proxy, mut client, mut peer) = joined().await;
        peer.send("last words").await;
        peer.finish().await;
        assert_eq!(client.rest().await.unwrap(), b"last words");
        for part in ["still ", "here"] {
            client.send(part).await;
            assert_eq!(peer.exactly(part.len()).await, part.as_bytes());
        }
        client.finish().await;
        assert_eq!(peer.rest().await.unwrap(), b"");
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.bytes_up, summary.bytes_down, summary.end), (10, 10, Some(RelayEnd::Closed)));
    });
}

#[test]
fn the_clients_reset_resets_the_upstream() {
    run(async {
        let (proxy, client, mut peer) = joined().await;
        client.reset();
        assert_eq!(peer.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(proxy.ear.finished(1).await.end, Some(RelayEnd::ClientReset));
    });
}

#[test]
fn the_upstreams_reset_resets_the_client() {
    run(async {
        let (proxy, mut client, peer) = joined().await;
        peer.reset();
        assert_eq!(client.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(proxy.ear.finished(1).await.end, Some(RelayEnd::UpstreamReset));
    });
}

/// A write that runs into a reset takes its place: the next read sees an end, which must not be passed on as one.
#[test]
fn a_reset_that_early_bytes_run_into_resets_the_client() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            peer.reset();
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        for _ in 0..20 {
            let mut client = proxy.client().await;
            client.send("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\nearly").await;
            // Ejected or not, it is the only one there is.
            assert!(client.head().await.starts_with("HTTP/1.1 200 "));
            assert_eq!(client.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn a_reset_behind_an_end_is_passed_on_too() {
    run(async {
        let (_proxy, mut client, mut peer) = joined().await;
        client.finish().await;
        assert_eq!(peer.rest().await.unwrap(), b"");
        peer.reset();
        assert_eq!(client.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn bytes_delivered_before_a_reset_are_not_lost() {
    run(async {
        let (_proxy, mut client, mut peer) = joined().await;
        peer.send("kept").await;
        // Delivered once the client has seen the first of it.
        assert_eq!(client.exactly(1).await, b"k");
        peer.reset();
        assert_eq!(client.exactly(3).await, b"ept");
        assert_eq!(client.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn bytes_in_front_of_an_end_are_not_lost_however_many() {
    run(async {
        const MANY: usize = 3_000_000;
        let (proxy, mut client, mut peer) = joined().await;
        let sending = tokio::spawn(async move {
            peer.send(pattern(0, MANY)).await;
            // Closed at once: everything is in buffers on the way by now.
            peer.finish().await;
            peer.rest().await.unwrap();
        });
        client.finish().await;
        assert_eq!(Transferred::of(&client.rest().await.unwrap()), transferred_of_pattern(MANY as u64));
        sending.await.unwrap();
        assert_eq!(proxy.ear.finished(1).await.bytes_down, MANY as u64);
    });
}

/// A server that answers before it has read everything and closes: what the client sends then is refused, but the
/// answer was there first. In memory, since only there the refusal is sure to be seen before the answer.
#[test]
fn an_answer_is_delivered_although_the_upstream_takes_nothing_more() {
    run_paused(async {
        let net = Memory::default();
        let (ear, mut client, mut peer) = super::timing::joined(&net, json!({})).await;
        // Nothing yields in here, so the proxy sees all of it at once.
        client.send("a long upload").await;
        peer.send("413 too long").await;
        peer.abort();
        assert_eq!(client.exactly(12).await, b"413 too long");
        assert_eq!(client.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(ear.finished(1).await.end, Some(RelayEnd::UpstreamReset));
    });
}

/// Writes are refused behind its orderly end, which says nothing of the upstream that passed it on.
#[test]
fn a_target_that_hangs_up_without_a_word_is_not_the_upstreams_fault() {
    run_paused(async {
        let net = Memory::default();
        let (ear, mut client, mut peer) = super::timing::joined(&net, json!({})).await;
        peer.finish().await;
        assert_eq!(client.rest().await.unwrap(), b"");
        drop(peer);
        client.send("hello").await;
        assert_eq!(ear.finished(1).await.end, Some(RelayEnd::UpstreamClosed));
        let blamed = |heard: &Heard| matches!(heard, Heard::Blamed { blame: Blame::Upstream, .. });
        assert!(!ear.heard().iter().any(blamed));
    });
}

/// One direction through the kernel's pipes: both ends at full speed, both ways at once.
#[test]
fn large_transfers_both_ways_at_once_keep_every_byte() {
    const BYTES: u64 = 64 << 20;
    const PART: usize = 1 << 20;
    async fn send(mut to: impl tokio::io::AsyncWrite + Unpin) {
        for part in 0..BYTES / PART as u64 {
            to.write_all(&pattern(part * PART as u64, PART)).await.unwrap();
        }
        to.shutdown().await.unwrap();
    }
    async fn receive(mut from: impl tokio::io::AsyncRead + Unpin) -> Transferred {
        let mut transferred = Transferred::EMPTY;
        let mut buffer = vec![0; PART];
        loop {
            match from.read(&mut buffer).await.unwrap() {
                0 => return transferred,
                count => transferred.add(&buffer[..count]),
            }
        }
    }
    run(async {
        let (proxy, client, peer) = joined().await;
        let (client_from, client_to) = client.stream.into_split();
        let (peer_from, peer_to) = peer.stream.into_split();
        let up = tokio::spawn(send(client_to));
        let down = tokio::spawn(send(peer_to));
        let (at_peer, at_client) = (tokio::spawn(receive(peer_from)), tokio::spawn(receive(client_from)));
        let whole = transferred_of_pattern(BYTES);
        assert_eq!(at_peer.await.unwrap(), whole);
        assert_eq!(at_client.await.unwrap(), whole);
        up.await.unwrap();
        down.await.unwrap();
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.bytes_up, summary.bytes_down, summary.end), (BYTES, BYTES, Some(RelayEnd::Closed)));
    });
}

#[test]
fn two_hundred_tunnels_at_once_keep_their_bytes_apart() {
    const TUNNELS: u64 = 200;
    run(async {
        let (upstream, journal) = Double::mock("a").await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut clients = Vec::new();
        for number in 0..TUNNELS {
            clients.push(proxy.tunnel(&format!("r{number}.echo.mock:80")).await);
        }
        let stats = proxy.stats().await;
        assert_eq!(stats["current_requests"], TUNNELS);
        assert_eq!(stats["total"]["upstream_metrics"][0]["current_connections"], TUNNELS);
        let mut running = tokio::task::JoinSet::new();
        for (number, mut client) in clients.into_iter().enumerate() {
            running.spawn(async move {
                let sent = pattern(number as u64, 5_000 + number);
                client.send(&sent).await;
                client.finish().await;
                assert_eq!(client.rest().await.unwrap(), sent, "tunnel {number}");
            });
        }
        while let Some(done) = running.join_next().await {
            done.unwrap();
        }
        proxy.ear.finished(TUNNELS as usize).await;
        let bytes = 5_000 * TUNNELS + (0..TUNNELS).sum::<u64>();
        let counts = journal.until(|counts| counts.completed == TUNNELS).await;
        assert_eq!((counts.bytes_up, counts.bytes_down), (bytes, bytes));
        // What a tunnel held is given back when its end has been told.
        let mut stats = proxy.stats().await;
        let one = |stats: &Value| stats["total"]["upstream_metrics"][0].clone();
        while (&one(&stats)["current_connections"], &stats["current_requests"]) != (&0.into(), &0.into()) {
            stats = proxy.stats().await;
        }
        let one = one(&stats);
        assert_eq!((&one["bytes_up"], &one["bytes_down"]), (&bytes.into(), &bytes.into()));
        assert_eq!(stats["total"]["success_requests"], TUNNELS);
    });
}

/// Bytes are counted when they are delivered, not when the tunnel ends.
#[test]
fn an_open_tunnels_bytes_are_in_the_statistics() {
    run(async {
        let (upstream, _) = Double::mock("a").await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.tunnel("echo.mock:80").await;
        client.send("0123456789").await;
        client.exactly(10).await;
        // A byte is counted once it is written, a moment after it may have arrived; the second round is carried by the
        // same task, so that by its end the first is in the count.
        client.send("x").await;
        client.exactly(1).await;
        let one = &proxy.stats().await["total"]["upstream_metrics"][0];
        let counted = |name: &str| one[name].as_u64().unwrap();
        assert_eq!(counted("bytes_up"), 11);
        assert!(counted("bytes_down") >= 10, "{one}");
    });
}

/// What the buffers between an upstream and a client that reads nothing hold with ease, and the client's own does not.
const SLOW_BYTES: usize = 400_000;

/// A target that sends all it has and hangs up, and a slow client that has not noticed and still sends. Its bytes meet a
/// closed socket; what the upstream had sent in order stands in buffers on the way and must come through, with its end.
#[test]
fn what_came_in_order_reaches_a_slow_client_that_still_sends() {
    run(async {
        const MANY: usize = SLOW_BYTES;
        let (proxy, mut client, mut peer) = joined().await;
        let sending = tokio::spawn(async move {
            peer.send(pattern(0, MANY)).await;
            peer.finish().await;
            let stream = peer.stream.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            // Closing waits until the proxy's kernel has everything.
            socket2::SockRef::from(&stream).set_linger(Some(WATCHDOG)).unwrap();
            tokio::task::spawn_blocking(|| drop(stream)).await.unwrap();
        });
        sending.await.unwrap();
        for _ in 0..3 {
            client.send("are you there?").await;
            proxy.stats().await;
        }
        let got = client.rest().await.unwrap();
        assert_eq!(Transferred::of(&got), transferred_of_pattern(MANY as u64));
        client.finish().await;
        assert_eq!(proxy.ear.finished(1).await.end, Some(RelayEnd::UpstreamClosed));
    });
}

/// Nor does a reset take what came before it.
#[test]
fn what_came_before_a_reset_reaches_a_slow_client() {
    run(async {
        const MANY: u64 = SLOW_BYTES as u64;
        let (proxy, mut client, mut peer) = joined().await;
        let sent = pattern(0, MANY as usize);
        peer.send(&sent).await;
        // Everything that the proxy counts has left it; the client has read none of it.
        while proxy.stats().await["total"]["upstream_metrics"][0]["bytes_down"] != json!(MANY) {
            tokio::task::yield_now().await;
        }
        peer.reset();
        let mut got = Vec::new();
        let end = loop {
            match client.stream.read_buf(&mut got).await {
                Ok(0) => panic!("an end, though it was cut"),
                Ok(_) => {}
                Err(error) => break error.kind(),
            }
        };
        assert_eq!((end, got == sent), (ErrorKind::ConnectionReset, true), "{} bytes", got.len());
    });
}
