//! Measures what the core costs: a pick and the counts on the hot path, a schedule when eligibility changes, a report when an
//! attempt ends.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use proxy::core::balancer::Balancer;
use proxy::core::health::{AttemptResult, Charge, HealthPolicy};
use proxy::core::schedule::Schedule;
use proxy::core::stats::Counters;
use proxy::core::time::Timestamp;
use proxy::core::upstream::{Attempt, Member, UpstreamId, Weight};

const POLICY: HealthPolicy = HealthPolicy {
    failure_threshold: NonZeroU32::MAX,
    recovery_threshold: NonZeroU32::MIN,
    backoff_base: Duration::from_secs(5),
    backoff_max: Duration::from_secs(300),
    max_ejection_percent: 50,
};

fn members(weights: &[u32]) -> Vec<Member> {
    let weight = |weight| Weight::new(weight).expect("a bench's weights are small");
    (0..).zip(weights).map(|(n, &w)| Member { id: UpstreamId::new(n), weight: weight(w) }).collect()
}

fn balancer(weights: &[u32]) -> Balancer {
    Balancer::new(POLICY, &members(weights)).expect("a bench's weights are small")
}

/// Measures `one` alone, and while another thread does the same.
fn alone_and_contended<T>(c: &mut Criterion, group: &str, name: &str, one: impl Fn() -> T + Sync) {
    let mut group = c.benchmark_group(group);
    group.bench_function(format!("{name}, 1 thread"), |b| b.iter(&one));
    group.bench_function(format!("{name}, 2 threads"), |b| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    black_box(one());
                }
            });
            b.iter(&one);
            stop.store(true, Ordering::Relaxed);
        });
    });
    group.finish();
}

/// Weights that differ, so that the schedule is as long as it gets: half a million slots for a thousand upstreams.
fn weights(upstreams: u32) -> Vec<u32> {
    (1..=upstreams).collect()
}

fn pick(c: &mut Criterion) {
    for upstreams in [6, 1_000] {
        let epoch = balancer(&weights(upstreams)).epoch().clone();
        let ticket = AtomicU64::new(0);
        alone_and_contended(c, "pick", &format!("{upstreams} upstreams"), || {
            epoch.pick(ticket.fetch_add(1, Ordering::Relaxed))
        });
    }
}

/// All that a request adds to the counters of the proxy; an attempt adds as much to those of its upstream.
fn count(c: &mut Criterion) {
    let counters = Counters::default();
    alone_and_contended(c, "count", "one request", || {
        counters.entered();
        counters.ended(true, Duration::from_millis(3));
        counters.left();
    });
}

fn schedule(c: &mut Criterion) {
    let mut group = c.benchmark_group("schedule");
    group.sample_size(10);
    // Nothing in these can be divided out.
    let thousands = [[1_111; 8].as_slice(), &[1_112]].concat();
    let million = [[5_000; 199].as_slice(), &[4_999, 1]].concat();
    for (slots, weights) in [(6, &[3, 2, 1][..]), (100, &[50, 30, 19, 1]), (10_000, &thousands), (1_000_000, &million)]
    {
        let members = members(weights);
        let period = Schedule::build(&members).map(|schedule| schedule.period());
        assert_eq!(period, Ok(slots), "the bench is named after its period");
        group.bench_function(format!("{slots} slots, {} upstreams", members.len()), |b| {
            b.iter(|| Schedule::build(black_box(&members)));
        });
    }
    group.finish();
}

fn report(c: &mut Criterion) {
    let mut group = c.benchmark_group("report");
    for upstreams in [6, 1_000] {
        for (name, verdict) in
            [("success", AttemptResult::Success), ("failure", AttemptResult::Failure(Charge::Unreachable))]
        {
            let mut balancer = balancer(&weights(upstreams));
            let upstream = UpstreamId::new(upstreams * 2 / 3);
            let attempt = Attempt { upstream, started: Timestamp::from_nanos(1), probe: false };
            group.bench_function(format!("{name}, {upstreams} upstreams"), |b| {
                b.iter(|| balancer.report(black_box(attempt), verdict, 0, 0, Timestamp::from_nanos(2)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, pick, count, schedule, report);
criterion_main!(benches);
