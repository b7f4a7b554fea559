//! Puts load on a proxy over in-memory pipes, in virtual time: ten seconds of load take a few milliseconds.
//!
//! `cargo run -p loadgen --example in_memory`

use std::io;
use std::time::Duration;

use loadgen::{Action, OpenTunnels, Pace, RequestEvent, Shard, Stage, Stop, Tally, Workload, drive};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::{LocalSet, spawn_local};

/// A proxy that takes 20 ms to open a tunnel, and is the target as well: it sends back whatever comes.
async fn proxy(mut client: DuplexStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    let (mut from, mut to) = tokio::io::split(client);
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}

/// 100 tunnels a second for ten seconds, each with two echoes of 1 KiB; returns the sums over them.
pub(crate) async fn load() -> Tally {
    let action: Action = "echo:rounds=2,bytes=1k".parse().expect("it is written as on loadgen's command line");
    let span = Duration::from_secs(10);
    let pace = Pace::Open { stages: vec![Stage { from: 100_000, to: 100_000, span }], poisson: false };
    let workload = Workload::new(7, pace, Stop::default(), action);
    let connector = || async {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        spawn_local(proxy(theirs));
        Ok(ours)
    };
    let mut tally = Tally::default();
    let mut observer = |event: RequestEvent| tally.on(&event);
    drive(&workload, Shard::WHOLE, &connector, &OpenTunnels::default(), &mut observer, std::future::pending()).await;
    tally
}

/// Runs the load, and prints what came of it.
pub(crate) fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let tally = runtime.expect("a runtime without sockets needs nothing").block_on(LocalSet::new().run_until(load()));
    let p99 = tally.corrected.ok.percentile(99.0);
    println!("{} requests, {} errors, 99 % within {p99:?}", tally.began, tally.errors());
}
