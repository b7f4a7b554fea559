//! Measures what the core costs: a pick on the hot path, a schedule when eligibility changes, a report when an attempt ends.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use proxy::core::balancer::Balancer;
use proxy::core::health::{AttemptResult, Charge, HealthPolicy};
use proxy::core::schedule::Schedule;
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

fn pick(c: &mut Criterion) {
    let epoch = balancer(&[3, 2, 1]).epoch().clone();
    let ticket = AtomicU64::new(0);
    let take = || epoch.pick(ticket.fetch_add(1, Ordering::Relaxed));
    let mut group = c.benchmark_group("pick");
    group.bench_function("1 thread", |b| b.iter(take));
    group.bench_function("2 threads", |b| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    black_box(take());
                }
            });
            b.iter(take);
            stop.store(true, Ordering::Relaxed);
        });
    });
    group.finish();
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
    for (name, verdict) in
        [("success", AttemptResult::Success), ("failure", AttemptResult::Failure(Charge::Unreachable))]
    {
        let mut balancer = balancer(&[1; 20]);
        let attempt = Attempt { upstream: UpstreamId::new(13), started: Timestamp::from_nanos(1), probe: false };
        group.bench_function(name, |b| {
            b.iter(|| balancer.report(black_box(attempt), verdict, 0, 0, Timestamp::from_nanos(2)));
        });
    }
    group.finish();
}

criterion_group!(benches, pick, schedule, report);
criterion_main!(benches);
