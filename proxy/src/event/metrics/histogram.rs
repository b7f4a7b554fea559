//! Counts times by how long they were.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The upper bounds of the buckets, in seconds. The last bucket has none.
const BOUNDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Times since the proxy started, in buckets.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    beyond: AtomicU64,
    /// All of them together.
    micros: AtomicU64,
}

impl Histogram {
    pub(super) fn record(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).and_then(|place| self.buckets.get(place));
        self.micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
        bucket.unwrap_or(&self.beyond).fetch_add(1, Relaxed);
    }

    /// How many seconds they took in all, how many there are, and how many lie in each bucket.
    pub(super) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let buckets = BOUNDS.iter().zip(&self.buckets).map(|(bound, count)| (*bound, count.load(Relaxed)));
        let buckets: Vec<_> = buckets.chain([(f64::MAX, self.beyond.load(Relaxed))]).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (self.micros.load(Relaxed) as f64 / 1e6, count, buckets)
    }
}
