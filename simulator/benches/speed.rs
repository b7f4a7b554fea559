//! Measures what a virtual minute costs: a busy one, and one in which next to nothing happens.
//!
//! The scenarios are files, so that `simulator run` can play thousands of seeds of the same.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use simulator::judge::{Verdict, run};
use simulator::scenario;

const MINUTES: [(&str, &str); 2] =
    [("busy minute", include_str!("busy-minute.json")), ("idle minute", include_str!("idle-minute.json"))];

fn minutes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seed");
    group.sample_size(20);
    for (name, text) in MINUTES {
        let scenario = scenario::parse(text).expect("the file beside this one is a scenario");
        let mut seed = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                seed += 1;
                let report = run(black_box(&scenario), seed);
                assert_eq!(report.verdict, Verdict::Passed, "seed {seed}: {:?}", report.violations);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, minutes);
criterion_main!(benches);
