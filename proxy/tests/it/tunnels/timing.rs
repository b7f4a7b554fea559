//! Tests everything that takes time in a CONNECT, to the millisecond, on a clock that stands still between deadlines.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use proxy::env::RelayEnd;
use proxy::testing::MemoryStream;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Client, Ear, Heard, Memory, config, parse, run_paused};
use crate::upstreams::tls::Certificates;

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn addr(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 3128))
}

/// A configuration of these upstreams with these time-outs.
pub(crate) fn with_timeouts(upstreams: &[SocketAddr], timeouts: Value) -> Value {
    let mut config = config(upstreams);
    config["server"]["listen_address"] = json!("127.0.0.1:3130");
    config["timeouts"] = timeouts;
    config
}

pub(crate) async fn opening(mut peer: Client<MemoryStream>) {
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
    let _ = peer.rest().await;
}

/// Accepts connections and never says a word.
pub(crate) async fn silent(mut peer: Client<MemoryStream>) {
    let _ = peer.rest().await;
}

/// Sends a CONNECT and returns the status of its answer.
pub(crate) async fn connect(client: &mut Client<MemoryStream>) -> u16 {
    client.send("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").await;
    let head = client.head().await;
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// An open tunnel and both its ends.
pub(crate) async fn joined(net: &Memory, timeouts: Value) -> (Ear, Client<MemoryStream>, Client<MemoryStream>) {
    let (give, mut take) = tokio::sync::mpsc::unbounded_channel();
    net.serve(addr(1), Duration::ZERO, move |mut peer| {
        let give = give.clone();
        async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            give.send(peer).unwrap_or_else(|_| panic!("the test has ended"));
        }
    })
    .await;
    let (_, ear) = net.start(parse(&with_timeouts(&[addr(1)], timeouts))).await;
    let mut client = net.client();
    assert_eq!(connect(&mut client).await, 200);
    (ear, client, take.recv().await.unwrap())
}

async fn reset(peer: &mut Client<MemoryStream>) {
    assert_eq!(peer.rest().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn an_idle_tunnel_is_reset_when_its_time_is_over_and_every_byte_renews_it() {
    run_paused(async {
        let net = Memory::default();
        let (ear, mut client, mut peer) = joined(&net, json!({ "idle_tunnel": "10m" })).await;
        for _ in 0..2 {
            sleep(secs(599)).await;
            client.send("a").await;
            assert_eq!(peer.exactly(1).await, b"a");
            sleep(secs(599)).await;
            peer.send("b").await;
            assert_eq!(client.exactly(1).await, b"b");
        }
        reset(&mut client).await;
        assert_eq!(net.elapsed(), secs(4 * 599 + 600));
        reset(&mut peer).await;
        assert_eq!(ear.finished(1).await.end, Some(RelayEnd::Idle));
    });
}

#[test]
fn a_half_closed_tunnel_has_a_limit_of_its_own_either_way() {
    run_paused(async {
        for client_ends in [true, false] {
            let net = Memory::default();
            let (ear, client, peer) = joined(&net, json!({ "idle_tunnel": "1h", "half_closed": "30s" })).await;
            let (mut ending, mut other) = if client_ends { (client, peer) } else { (peer, client) };
            sleep(secs(600)).await;
            ending.finish().await;
            assert_eq!(other.rest().await.unwrap(), b"");
            // What still comes the other way renews it.
            for _ in 0..3 {
                sleep(secs(29)).await;
                other.send("more").await;
                assert_eq!(ending.exactly(4).await, b"more");
            }
            reset(&mut ending).await;
            assert_eq!(net.elapsed(), secs(600 + 3 * 29 + 30));
            assert_eq!(ear.finished(1).await.end, Some(RelayEnd::HalfClosedIdle));
        }
    });
}

#[test]
fn a_half_closed_limit_longer_than_the_idle_one_is_kept_too() {
    run_paused(async {
        let net = Memory::default();
        let (ear, mut client, _peer) = joined(&net, json!({ "idle_tunnel": "10s", "half_closed": "1m" })).await;
        sleep(secs(9)).await;
        client.finish().await;
        reset(&mut client).await;
        assert_eq!(net.elapsed(), secs(69));
        assert_eq!(ear.finished(1).await.end, Some(RelayEnd::HalfClosedIdle));
    });
}

#[test]
fn silence_costs_the_reply_time_out_and_no_error() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), secs(2), silent).await;
        net.serve(addr(2), secs(3), opening).await;
        let mut config = with_timeouts(&[addr(1), addr(2)], json!({ "reply": "20s" }));
        config["health_check"] = json!({ "backoff_base": "1h", "backoff_max": "1h" });
        let (_, _ear) = net.start(parse(&config)).await;
        let mut took = Vec::new();
        for _ in 0..8 {
            let before = net.elapsed();
            assert_eq!(connect(&mut net.client()).await, 200);
            took.push((net.elapsed() - before).as_secs());
        }
        // Charged to the silent one, since the other opened the target; ejected by the third time.
        assert_eq!(took, [25, 3, 25, 3, 25, 3, 3, 3]);
    });
}

/// The time-out is for the whole head: a byte now and then does not renew it.
#[test]
fn a_reply_that_drips_is_silence() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), Duration::ZERO, async |mut peer: Client<MemoryStream>| {
            peer.head().await;
            for byte in b"HTTP/1.1 200 OK\r\n\r\n" {
                sleep(secs(2)).await;
                if tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &[*byte]).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let (_, ear) = net.start(parse(&with_timeouts(&[addr(1)], json!({ "reply": "20s" })))).await;
        assert_eq!(connect(&mut net.client()).await, 504);
        assert_eq!(net.elapsed(), secs(20));
        let failed = ear.finished(1).await.failed_attempts;
        assert_eq!(failed.iter().map(|one| one.failure).collect::<Vec<_>>(), ["reply_timeout"]);
    });
}

#[test]
fn a_connection_that_vanishes_costs_the_connect_time_out() {
    run_paused(async {
        let net = Memory::default();
        net.black_hole(addr(1));
        net.serve(addr(2), Duration::ZERO, opening).await;
        let (_, _ear) = net.start(parse(&with_timeouts(&[addr(1), addr(2)], json!({ "connect": "7s" })))).await;
        assert_eq!(connect(&mut net.client()).await, 200);
        assert_eq!(net.elapsed(), secs(7));
    });
}

/// An upstream that accepts the connection and never answers the handshake is one that can't be reached.
#[test]
fn a_tls_handshake_that_vanishes_costs_the_connect_time_out() {
    run_paused(async {
        let certificates = Certificates::new();
        let net = Memory::default();
        net.serve(addr(1), secs(2), silent).await;
        let mut config = with_timeouts(&[], json!({ "connect": "7s" }));
        let url = format!("https://{}", addr(1));
        config["upstream_proxies"] = json!([{ "url": url, "tls": { "ca_file": "ca.pem" } }]);
        let (_, ear) = net.start(certificates.read(&config)).await;
        assert_eq!(connect(&mut net.client()).await, 504);
        assert_eq!(net.elapsed(), secs(7));
        let failed = ear.finished(1).await.failed_attempts;
        assert_eq!(failed.iter().map(|one| one.failure).collect::<Vec<_>>(), ["connect_timeout"]);
    });
}

/// Each attempt that does not fit may take half of what is left, the last one all of it.
#[test]
fn all_attempts_together_end_at_the_deadline() {
    run_paused(async {
        let net = Memory::default();
        for last in 1..=3 {
            net.serve(addr(last), Duration::ZERO, silent).await;
        }
        let timeouts = json!({ "request": "40s", "reply": "1h", "connect": "100s" });
        let (_, _ear) = net.start(parse(&with_timeouts(&[addr(1), addr(2), addr(3)], timeouts))).await;
        assert_eq!(connect(&mut net.client()).await, 504);
        assert_eq!(net.elapsed(), secs(40));
        let starts: Vec<Duration> = net.connects().iter().map(|(at, _)| *at).collect();
        assert_eq!(starts, [0, 20, 30].map(secs));
    });
}

#[test]
fn an_upstream_that_recovers_while_a_request_waits_costs_it_no_attempt_at_another() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), Duration::ZERO, opening).await;
        net.serve(addr(3), Duration::ZERO, opening).await;
        let mut config = with_timeouts(&[addr(1), addr(2), addr(3)], json!({ "reply": "20s" }));
        config["upstream_proxies"][1]["weight"] = json!(3);
        config["health_check"] = json!({ "failure_threshold": 1, "backoff_base": "5s" });
        let (_, _ear) = net.start(parse(&config)).await;
        let open = async || assert_eq!(connect(&mut net.client()).await, 200);
        // The heaviest has the first turn; it refuses and is out.
        open().await;
        net.serve(addr(1), Duration::ZERO, silent).await;
        // One of these two waits for the silent one, with one more upstream eligible.
        let waiting = async { tokio::join!(open(), open()) };
        let meanwhile = async {
            sleep(secs(3)).await;
            net.serve(addr(2), Duration::ZERO, opening).await;
            // Its probe comes at 4 s: the heaviest is eligible again, and goes wrong again.
            sleep(secs(2)).await;
            net.refuse(addr(2));
        };
        tokio::join!(waiting, meanwhile);
        let dialled: Vec<SocketAddr> = net.connects().iter().map(|(_, to)| *to).collect();
        let expected = [addr(2), addr(2), addr(3), addr(1)];
        assert_eq!(
            dialled[dialled.len() - 4..],
            expected,
            "the probe, the one that waited, and the silent one's probe"
        );
    });
}

#[test]
fn a_client_that_leaves_stops_the_search_at_once() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), Duration::ZERO, silent).await;
        let (_, ear) = net.start(parse(&with_timeouts(&[addr(1)], json!({})))).await;
        let mut client = net.client();
        client.send("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").await;
        sleep(secs(5)).await;
        client.abort();
        assert_eq!(ear.finished(1).await.outcome, "client_gone");
        assert_eq!(net.elapsed(), secs(5));
    });
}

/// Without checks and without traffic: not before the back-off is over, and one at a time.
#[test]
fn a_probe_comes_when_the_back_off_is_over_and_no_request_waits_for_it() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(2), Duration::ZERO, opening).await;
        let mut config = with_timeouts(&[addr(1), addr(2)], json!({ "reply": "20s" }));
        config["health_check"] = json!({ "failure_threshold": 1, "backoff_base": "5s", "timeout_seconds": 7 });
        let (_, ear) = net.start(parse(&config)).await;
        let to_first = || net.connects().iter().filter(|(_, to)| *to == addr(1)).count();
        let open = async || assert_eq!(connect(&mut net.client()).await, 200);
        open().await;
        open().await;
        assert_eq!(to_first(), 1, "ejected by its first failure");
        net.serve(addr(1), Duration::ZERO, silent).await;
        sleep(millis(3_999)).await;
        assert_eq!(to_first(), 1, "not before 4 s");
        sleep(millis(2)).await;
        assert_eq!(to_first(), 2, "nobody has asked for anything meanwhile");
        // While the probe waits for the silent one, requests do not.
        let before = net.elapsed();
        for _ in 0..4 {
            open().await;
        }
        assert_eq!((net.elapsed(), to_first()), (before, 2));
        // What another opened moments ago is asked three times before it is held against the upstream.
        ear.wait(|heard| matches!(heard, Heard::BackedOff { .. }).then_some(())).await;
        assert_eq!((net.elapsed(), to_first()), (secs(4 + 3 * 7), 4));
    });
}
