//! Measures what the faulty upstream costs: so little that a slow run is the plan's doing and not the engine's.

use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use faulty_upstream::draw::{Draw, Probability};
use faulty_upstream::plan::{Plan, parse};
use faulty_upstream::{CATALOGUE, FaultyUpstream};
use mock_upstreams::listen::dial;
use mock_upstreams::{Journal, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

fn draws(criterion: &mut Criterion) {
    let chance = Probability::new(0.5).expect("between 0 and 1");
    let mut connection = 0;
    criterion.bench_function("draw", |bencher| {
        bencher.iter(|| {
            connection += 1;
            Draw::new(1, "faulty-3027", "cut", black_box(connection), 1).happens(chance)
        });
    });
}

fn plans(criterion: &mut Criterion) {
    let faults: Vec<String> = CATALOGUE.iter().map(|fault| format!(r#"{{"fault": "{}"}}"#, fault.name)).collect();
    let text = format!(r#"{{"faults": [{}]}}"#, faults.join(","));
    criterion.bench_function("parse a plan of every fault", |bencher| bencher.iter(|| parse(black_box(&text))));
}

/// One CONNECT to `source.mock`, read to its end.
async fn tunnel(upstream: &FaultyUpstream, bytes: u64) -> u64 {
    let (mut client, served) = tokio::io::duplex(64 * 1024);
    let talk = async {
        let head = format!("CONNECT n{bytes}.source.mock:80 HTTP/1.1\r\nHost: source.mock\r\n\r\n");
        client.write_all(head.as_bytes()).await?;
        client.shutdown().await?;
        let mut buffer = vec![0; 64 * 1024];
        let mut total = 0;
        loop {
            match client.read(&mut buffer).await? {
                0 => return std::io::Result::Ok(total),
                count => total += count as u64,
            }
        }
    };
    let (read, ()) = tokio::join!(talk, upstream.serve(served, dial));
    read.expect("a pipe in this process does not fail")
}

fn tunnels(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let upstream = |plan: &str| {
        let plan: Plan = parse(plan).expect("the plan is good");
        let journal = Journal::new("bench", Arc::new(|| SystemTime::UNIX_EPOCH), 1000, None);
        FaultyUpstream::new("bench", Settings::default(), Arc::new(journal), plan)
    };
    const BYTES: u64 = 4 << 20;
    let mut group = criterion.benchmark_group("tunnel of 4 MiB");
    group.throughput(Throughput::Bytes(BYTES)).sample_size(20);
    for (name, plan) in [
        ("no fault", r#"{}"#),
        ("shaped, nothing altered", r#"{"faults": [{"fault": "duplicate", "with": {"at": 1000000000}}]}"#),
        ("corrupt", r#"{"faults": [{"fault": "corrupt"}]}"#),
    ] {
        let upstream = upstream(plan);
        group.bench_function(name, |bencher| bencher.iter(|| runtime.block_on(tunnel(&upstream, BYTES))));
    }
    group.finish();

    let upstream = upstream("{}");
    criterion.bench_function("CONNECT from head to close", |bencher| {
        bencher.iter(|| runtime.block_on(tunnel(&upstream, 1)));
    });
}

criterion_group!(benches, draws, plans, tunnels);
criterion_main!(benches);
