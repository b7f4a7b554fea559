//! Tests the driver and the client on in-memory pipes, under paused time.

mod http;

use super::starts::Starts;
use super::{RequestEvent, Shard, drive};
use crate::client::{FailureKind, OpenTunnels, Phase, RequestRecord};
use crate::workload::{Action, Pace, Stage, Stop, Workload};
use mock_upstreams::{Journal, Upstream};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

fn upstream() -> Arc<Upstream> {
    let journal = Journal::new("u", Arc::new(|| SystemTime::UNIX_EPOCH), 1000, None);
    Arc::new(Upstream::new("u", Default::default(), Arc::new(journal)))
}

/// Runs `workload` against a double on in-memory pipes.
async fn run(workload: &Workload, upstream: &Arc<Upstream>) -> Vec<RequestRecord> {
    let connector = || {
        let (client, server) = tokio::io::duplex(8192);
        let upstream = upstream.clone();
        tokio::task::spawn_local(async move {
            upstream.serve(server, |_| async { Err::<DuplexStream, _>(io::ErrorKind::NotFound.into()) }).await;
        });
        async { Ok::<_, io::Error>(client) }
    };
    let mut done = Vec::new();
    let mut observe = |event| {
        if let RequestEvent::Ended(one) = event {
            done.push(*one);
        }
    };
    let local = tokio::task::LocalSet::new();
    let open_tunnels = OpenTunnels::default();
    let driving = drive(workload, Shard::WHOLE, &connector, &open_tunnels, &mut observe, std::future::pending());
    local.run_until(driving).await;
    assert_eq!(open_tunnels.now(), 0);
    // The double may learn of the end later.
    local.await;
    done
}

fn closed(clients: usize, requests: u64, action: &str) -> Workload {
    let pace = Pace::Closed { clients, ramp_up: Duration::ZERO, think: Duration::ZERO };
    let stop = Stop { requests: Some(requests), after: None };
    Workload::new(1, pace, stop, action.parse::<Action>().unwrap())
}

#[tokio::test(start_paused = true)]
async fn every_action_works_with_a_good_upstream_which_saw_the_same_bytes() {
    for action in [
        "connect",
        "echo:rounds=3,bytes=1000",
        "echo:rounds=2,early",
        "echo:slow=16/5ms",
        "upload:bytes=100000",
        "download:bytes=100000",
        "download:bytes=70000,send=40000",
        "hold:for=12s,every=5s",
        "http:bytes=70000",
        "http:path=/chunked/5000,pattern=5000,keep-alive",
        "http:method=POST,path=/echo,send=300",
        "http:method=POST,path=/echo,send=30000,chunked,keep-alive",
        "http:method=POST,path=/echo,send=3000,chunked,trailers",
        "http:method=POST,path=/echo,send=3000,expect,keep-alive",
        "http:path=/trailers/5000,pattern=5000,trailers,keep-alive",
        "http:method=HEAD,bytes=5000",
        "http:method=HEAD,bytes=5000,keep-alive",
        "http:version=1.0,bytes=5000",
        "http:version=1.0,bytes=5000,keep-alive",
        "http:version=1.0,path=/chunked/5000,pattern=5000",
        "http:version=1.0,method=POST,path=/echo,send=300",
        "http:bytes=50,pipeline=2",
        "websocket:rounds=3,bytes=100",
        "websocket:rounds=2,bytes=64k",
    ] {
        let upstream = upstream();
        let done = run(&closed(2, 4, action), &upstream).await;
        assert_eq!(done.len(), 4, "{action}");
        for one in done {
            assert_eq!(one.outcome, Ok(()), "{action}");
            let records = upstream.journal().requests();
            let record = records.iter().find(|record| record.id.as_ref() == Some(&one.request.id)).unwrap();
            let bytes = |tally: &mock_upstreams::checksum::Transferred| (tally.bytes, tally.checksum.value());
            assert_eq!(bytes(&record.up), (one.up.bytes, one.up.checksum), "{action}");
            assert_eq!(bytes(&record.down), (one.down.bytes, one.down.checksum), "{action}");
        }
    }
}

#[test]
fn driving_may_move_between_threads_where_its_net_may() {
    fn sent(_: impl Send) {}
    let workload = closed(1, 1, "tls");
    let connector = || async { Ok::<_, io::Error>(tokio::io::duplex(1).0) };
    let open_tunnels = OpenTunnels::default();
    let mut observe = |_| {};
    sent(drive(&workload, Shard::WHOLE, &connector, &open_tunnels, &mut observe, std::future::pending()));
}

#[tokio::test(start_paused = true)]
async fn kept_connections_are_used_again() {
    let upstream = upstream();
    let done = run(&closed(1, 5, "http:bytes=10,keep-alive"), &upstream).await;
    assert_eq!(done.iter().filter(|one| one.reused).count(), 4);
    assert_eq!(upstream.journal().counts().connections, 1);
    let done = run(&closed(1, 5, "http:bytes=10"), &upstream).await;
    assert_eq!(done.iter().filter(|one| one.reused).count(), 0);
}

/// Serves each connection with `serve`, in the caller's task.
async fn against<F: Future<Output = ()> + 'static>(
    workload: &Workload,
    serve: impl Fn(DuplexStream) -> F,
) -> Vec<RequestRecord> {
    let done = RefCell::new(Vec::new());
    let connector = || {
        let (client, server) = tokio::io::duplex(1000);
        tokio::task::spawn_local(serve(server));
        async { Ok::<_, io::Error>(client) }
    };
    let mut observe = |event| {
        if let RequestEvent::Ended(one) = event {
            done.borrow_mut().push(*one);
        }
    };
    let local = tokio::task::LocalSet::new();
    let open_tunnels = OpenTunnels::default();
    let driving = drive(workload, Shard::WHOLE, &connector, &open_tunnels, &mut observe, std::future::pending());
    local.run_until(driving).await;
    assert_eq!(open_tunnels.now(), 0);
    done.into_inner()
}

/// Waits for a head, answers with `text` and ends its side.
async fn answer(mut stream: DuplexStream, text: &'static str) {
    let _ = stream.read(&mut [0; 900]).await;
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
    while stream.read(&mut [0; 900]).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test(start_paused = true)]
async fn bytes_that_went_out_count_though_the_rest_did_not() {
    for action in ["echo:bytes=5000", "echo:bytes=5000,slow=700/1ms", "upload:bytes=5000"] {
        let serve = |mut stream: DuplexStream| async move {
            let _ = stream.read(&mut [0; 900]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = stream.read_exact(&mut [0; 1700]).await;
        };
        let up = against(&closed(1, 1, action), serve).await[0].up.bytes;
        assert!((1700..5000).contains(&up), "{action}: {up}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_failure_is_told_from_the_others() {
    use FailureKind::*;
    for (action, text, kind, phase) in [
        ("connect", "HTTP/1.1 407 No\r\n\r\n", Status(407), Phase::Reply),
        ("connect", "", Cut, Phase::Reply),
        ("connect", "nonsense", Malformed, Phase::Reply),
        ("echo", "HTTP/1.1 200 OK\r\n\r\n", Cut, Phase::Data),
        ("echo:bytes=3", "HTTP/1.1 200 OK\r\n\r\nabc", Corrupt, Phase::Data),
        ("download:bytes=3", "HTTP/1.1 200 OK\r\n\r\n\0\x01", Cut, Phase::Data),
        ("download:bytes=3", "HTTP/1.1 200 OK\r\n\r\n\0\x01\x03", Corrupt, Phase::Data),
        ("download:bytes=3", "HTTP/1.1 200 OK\r\n\r\n\0\x01\x02\x03", Corrupt, Phase::Data),
        ("http:bytes=3", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\0\x01", Cut, Phase::Data),
        ("http:bytes=3", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\0\x01", Corrupt, Phase::Data),
        ("http:bytes=2", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\0\x02", Corrupt, Phase::Data),
        ("http", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Status(503), Phase::Reply),
        ("upload:bytes=3", "HTTP/1.1 200 OK\r\n\r\n3 0\n", Corrupt, Phase::Data),
        // The first wrong byte is enough: the rest, which never comes, is not waited for.
        ("http:bytes=2,keep-alive", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\0\x02", Corrupt, Phase::Data),
        ("http:bytes=2,keep-alive", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\0\x01\x02", Corrupt, Phase::Data),
        // Bytes behind a response that is over.
        ("http", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", Corrupt, Phase::Data),
        (
            "http:method=HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
            Corrupt,
            Phase::Data,
        ),
        ("http:method=HEAD,keep-alive", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", Corrupt, Phase::Data),
        ("http:method=HEAD,bytes=2", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", Corrupt, Phase::Data),
        ("http:method=HEAD,bytes=2", "HTTP/1.1 200 OK\r\n\r\n", Corrupt, Phase::Data),
        // Neither chunks nor interim responses are for HTTP/1.0, nor a change of protocol for who asked for none.
        ("http:version=1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Malformed, Phase::Data),
        ("http:version=1.0", "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Malformed, Phase::Reply),
        ("http", "HTTP/1.1 101 Change\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Malformed, Phase::Reply),
        ("http:trailers", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", Corrupt, Phase::Data),
        (
            "http:trailers",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            Corrupt,
            Phase::Data,
        ),
        (
            "http:trailers",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-checksum: 0\r\n\r\n",
            Corrupt,
            Phase::Data,
        ),
        (
            "http:trailers",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nno trailer\r\n\r\n",
            Malformed,
            Phase::Data,
        ),
        // Of what is too long the rest is not read, which may have no end.
        ("http:version=1.0,most=2", "HTTP/1.0 200 OK\r\n\r\nabc", Corrupt, Phase::Data),
        // A body that nobody waited for.
        (
            "http:path=/echo,method=POST,send=2,expect",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Corrupt,
            Phase::Data,
        ),
        (
            "http:path=/expect,method=POST,send=2,expect",
            "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n",
            Status(417),
            Phase::Reply,
        ),
        ("websocket", "HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n", Status(426), Phase::Reply),
        (
            "websocket",
            "HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n",
            Malformed,
            Phase::Reply,
        ),
    ] {
        let done = against(&closed(1, 1, action), |stream| answer(stream, text)).await;
        assert_eq!(done[0].outcome, Err(kind.at(phase)), "{action} {text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_timeout_at_the_workloads_limit() {
    let mut workload = closed(1, 1, "connect");
    workload.timeout = Duration::from_secs(7);
    let done = against(&workload, |stream| async move {
        let _stream = stream;
        std::future::pending().await
    })
    .await;
    assert_eq!(done[0].outcome, Err(FailureKind::Timeout.at(Phase::Reply)));
    assert_eq!(done[0].uncorrected(), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_had_to_wait_counts_from_when_it_was_due() {
    // 10 requests a second into a server that takes a second for each, one at a time.
    let stages = vec![Stage { from: 10_000, to: 10_000, span: Duration::from_millis(300) }];
    let mut workload = closed(1, 3, "connect");
    workload.pace = Pace::Open { stages, poisson: false };
    workload.max_in_flight = 1;
    let done = against(&workload, |stream| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        answer(stream, "HTTP/1.1 200 OK\r\n\r\n").await;
    })
    .await;
    let millis = |span: Duration| span.as_millis();
    let latencies: Vec<_> = done.iter().map(|one| (millis(one.corrected()), millis(one.uncorrected()))).collect();
    assert_eq!(latencies, [(1000, 1000), (1900, 1000), (2800, 1000)]);
}

#[tokio::test(start_paused = true)]
async fn listed_requests_are_due_at_their_times_whatever_becomes_of_others() {
    let mut workload = closed(1, 9, "connect");
    workload.pace = Pace::Listed([0, 30, 30, 700].map(Duration::from_millis).into());
    let begun = tokio::time::Instant::now();
    let done = against(&workload, |stream| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        answer(stream, "HTTP/1.1 200 OK\r\n\r\n").await;
    })
    .await;
    let intended: Vec<_> = done.iter().map(|one| one.intended.as_millis()).collect();
    assert_eq!(intended, [0, 30, 30, 700]);
    assert_eq!(begun.elapsed().as_millis(), 1700);
}

#[tokio::test(start_paused = true)]
async fn an_open_loop_does_not_wait_for_answers() {
    let stages = vec![Stage { from: 100_000, to: 100_000, span: Duration::from_secs(1) }];
    let mut workload = closed(1, 100, "connect");
    workload.pace = Pace::Open { stages, poisson: false };
    let done = against(&workload, |stream| async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        answer(stream, "HTTP/1.1 200 OK\r\n\r\n").await;
    })
    .await;
    assert_eq!(done.len(), 100);
    assert!(done.iter().all(|one| one.started < Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn shards_make_up_the_whole() {
    let stages = vec![Stage { from: 50_000, to: 90_000, span: Duration::from_secs(2) }];
    let mut workload = closed(1, 120, "connect");
    workload.pace = Pace::Open { stages, poisson: true };
    let due = |shard| {
        let mut starts = Starts::new(&workload, shard);
        std::iter::from_fn(move || starts.due(Duration::MAX)).map(|one| (one.index, one.at)).collect::<Vec<_>>()
    };
    let mut parts: Vec<_> = Shard::all(3).flat_map(due).collect();
    parts.sort();
    assert_eq!(parts, due(Shard::WHOLE));
    assert_eq!(Shard::all(3).map(|shard| shard.share(10)).sum::<u64>(), 10);
}

#[tokio::test(start_paused = true)]
async fn stopping_tells_of_what_was_in_flight() {
    let workload = closed(3, 100, "connect");
    let mut ended = Vec::new();
    let connector = || async { std::future::pending::<io::Result<DuplexStream>>().await };
    let mut observe = |event| {
        if let RequestEvent::Ended(one) = event {
            ended.push(one.outcome);
        }
    };
    let stop = tokio::time::sleep(Duration::from_secs(1));
    drive(&workload, Shard::WHOLE, &connector, &OpenTunnels::default(), &mut observe, stop).await;
    assert_eq!(ended, vec![Err(FailureKind::Unfinished.at(Phase::Data)); 3]);
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_that_was_closed_meanwhile_is_replaced_once() {
    // Promises to keep each connection and closes it behind its first answer.
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\0";
    let done = against(&closed(1, 3, "http:bytes=1,keep-alive"), |stream| answer(stream, text)).await;
    assert!(done.iter().all(|one| one.outcome == Ok(()) && !one.reused), "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn phases_add_up_to_the_latency() {
    let done = against(&closed(1, 1, "http:bytes=2"), |mut stream| async move {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\0").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let _ = stream.write_all(b"\x01").await;
    })
    .await;
    let phases = done[0].phases;
    let millis = |ms| Some(Duration::from_millis(ms));
    assert_eq!((phases.connect, phases.first_byte, phases.last_byte), (millis(0), millis(30), millis(50)));
    assert_eq!(done[0].uncorrected(), Duration::from_millis(80));
}
