//! How long attempts through an upstream took: percentiles since the start and of late.

use std::time::Duration;

/// Latencies since the start and of the last 15 minutes.
#[derive(Default)]
pub(crate) struct Latency {
    total: Histogram,
    recent: [Option<(u64, Histogram)>; RECENT_SLOTS],
}

/// Five spans of three minutes, the running one among them. Finer ones would cost memory for each upstream.
const RECENT_SLOTS: usize = 5;
const SLOT: Duration = Duration::from_secs(3 * 60);

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
}

impl Latency {
    /// `took` ended `now` (since the proxy started).
    pub(crate) fn record(&mut self, took: Duration, now: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.total.record(micros);
        let number = now.as_secs() / SLOT.as_secs();
        let slot = &mut self.recent[(number % RECENT_SLOTS as u64) as usize];
        match slot {
            Some((held, histogram)) if *held == number => histogram.record(micros),
            _ => {
                let mut histogram = Histogram::default();
                histogram.record(micros);
                *slot = Some((number, histogram));
            }
        }
    }

    /// Since the start.
    pub(crate) fn total(&self) -> Percentiles {
        self.total.percentiles()
    }

    /// Of the last 15 minutes, in steps of three.
    pub(crate) fn recent(&self, now: Duration) -> Percentiles {
        let number = now.as_secs() / SLOT.as_secs();
        let is_recent = |held: u64| number.saturating_sub(held) < RECENT_SLOTS as u64;
        let mut recent = self.recent.iter().flatten().filter(|(held, _)| is_recent(*held)).map(|(_, one)| one);
        let Some(first) = recent.next() else { return Percentiles::default() };
        let mut sum = first.clone();
        recent.for_each(|other| sum.add(other));
        sum.percentiles()
    }
}

/// Counts of microseconds in buckets of two digits: none is wider than a hundred and twenty-eighth of what it holds.
///
/// Our own because the statistics of a thousand upstreams add up thousands of them: over a plain slice that takes a
/// microsecond, through a library that hides its counts twenty.
#[derive(Clone, Default)]
struct Histogram {
    /// As many as have been needed so far.
    buckets: Vec<u32>,
    count: u64,
}

/// Below 256 each value has a bucket, above it each power of two has 128.
const PER_POWER: u64 = 128;

/// Longer ones count as this: an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

const fn bucket(micros: u64) -> usize {
    // How often it has to be halved to be below 256.
    let power = ((micros / PER_POWER) | 1).ilog2() as u64;
    (power * PER_POWER + (micros >> power)) as usize
}

/// The longest of what a bucket holds.
const fn longest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PER_POWER {
        return bucket;
    }
    let power = bucket / PER_POWER - 1;
    ((bucket - power * PER_POWER + 1) << power) - 1
}

impl Histogram {
    fn record(&mut self, micros: u64) {
        let bucket = bucket(micros.min(LONGEST_MICROS));
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(1);
            self.count += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (count, more) in self.buckets.iter_mut().zip(&other.buckets) {
            // Four billion in a quarter of an hour are out of reach, and without a check eight go at once.
            *count = count.wrapping_add(*more);
        }
        self.count += other.count;
    }

    fn percentiles(&self) -> Percentiles {
        if self.count == 0 {
            return Percentiles::default();
        }
        let mut buckets = self.buckets.iter().enumerate();
        let (mut passed, mut reached) = (0, 0);
        let mut at = |percent: u64| {
            let rank = (self.count * percent).div_ceil(100);
            while passed < rank
                && let Some((bucket, count)) = buckets.next()
            {
                passed += u64::from(*count);
                reached = bucket;
            }
            longest(reached) as f64 / 1000.0
        };
        Percentiles { p50: at(50), p90: at(90), p99: at(99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_bucket_next_to_its_neighbours() {
        let mut before = 0;
        for micros in (0..70_000).chain([1 << 20, (1 << 20) + 1, LONGEST_MICROS - 1, LONGEST_MICROS]) {
            let at = bucket(micros);
            assert!(at == before || at == before + 1 || micros > 70_000, "{micros}: {before}, {at}");
            assert!(
                longest(at) >= micros && longest(at) - micros <= micros / PER_POWER,
                "{micros} in {at}: {}",
                longest(at)
            );
            before = at;
        }
        assert_eq!(before, 3286);
    }

    const fn minutes(n: u64) -> Duration {
        Duration::from_secs(n * 60)
    }

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let mut latency = Latency::default();
        for ms in 1..=100 {
            latency.record(Duration::from_millis(ms), minutes(0));
        }
        let Percentiles { p50, p90, p99 } = latency.total();
        assert!((49.0..52.0).contains(&p50) && (89.0..92.0).contains(&p90) && (98.0..101.0).contains(&p99));
        assert_eq!(latency.recent(minutes(1)), latency.total());
    }

    #[test]
    fn old_latencies_leave_the_recent_ones() {
        let mut latency = Latency::default();
        latency.record(Duration::from_secs(9), minutes(0));
        latency.record(Duration::from_millis(1), minutes(14));
        assert!(latency.recent(minutes(14)).p99 > 8000.0);
        assert!(latency.recent(minutes(15)).p99 < 2.0);
        assert!(latency.total().p99 > 8000.0);
    }

    #[test]
    fn a_reader_that_looked_at_the_clock_first_is_no_trouble() {
        let mut latency = Latency::default();
        latency.record(Duration::from_millis(1), minutes(3));
        assert!(latency.recent(minutes(2)).p99 < 2.0);
    }

    #[test]
    fn a_slot_is_cleared_before_it_is_used_again() {
        let mut latency = Latency::default();
        latency.record(Duration::from_secs(9), minutes(0));
        latency.record(Duration::from_millis(1), minutes(15));
        assert!(latency.recent(minutes(15)).p99 < 2.0);
    }
}
