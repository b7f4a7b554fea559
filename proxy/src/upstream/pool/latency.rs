//! How long attempts through an upstream took: percentiles since the start and of late.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::core::time::Timestamp;
use crate::env::Lock;

/// Latencies since the start and of the last 15 minutes: counts of microseconds in buckets of two digits, none of which is wider
/// than a hundred and twenty-eighth of what it holds. Any number of threads record, and none of them waits.
///
/// Our own because the statistics of a thousand upstreams add up thousands of them: over plain slices that takes a
/// microsecond, through a library that hides its counts twenty.
#[derive(Default)]
pub(crate) struct Latency {
    /// Since the start. A power of two gets its memory when it is needed.
    counts: [OnceLock<Box<[AtomicU64; PER_POWER as usize]>>; POWERS],
    /// Nobody who records comes here.
    past: Lock<VecDeque<Mark>>,
}

/// What had been counted when a span of [`SLOT`] began.
struct Mark {
    slot: u64,
    /// Their lower halves: what matters is how much more there is a quarter of an hour later.
    counts: Vec<u32>,
}

/// Five spans of three minutes, the running one among them. Finer ones would cost memory for each upstream.
const RECENT_SLOTS: u64 = 5;
const SLOT: Duration = Duration::from_secs(3 * 60);

/// Below 256 each value has a bucket, above it each power of two has 128.
const PER_POWER: u64 = 128;

/// Longer ones count as this: an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

const POWERS: usize = bucket(LONGEST_MICROS) / PER_POWER as usize + 1;

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
}

impl Latency {
    /// One `took` so long.
    pub(crate) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket(micros.min(LONGEST_MICROS));
        let (power, place) = (bucket / PER_POWER as usize, bucket % PER_POWER as usize);
        let counts =
            self.counts.get(power).map(|counts| counts.get_or_init(|| [const { AtomicU64::new(0) }; _].into()));
        if let Some(count) = counts.and_then(|counts| counts.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Since the start, and of the last 15 minutes in steps of three.
    pub(crate) fn read(&self, now: Timestamp) -> [Percentiles; 2] {
        let counts = self.counts();
        let mut past = self.past.lock();
        mark(&mut past, &counts, now);
        let before = past.front().map_or(&[][..], |mark| &mark.counts);
        let before = before.iter().copied().chain(std::iter::repeat(0));
        let recent: Vec<u64> =
            counts.iter().zip(before).map(|(count, before)| u64::from((*count as u32).wrapping_sub(before))).collect();
        drop(past);
        [percentiles(&counts), percentiles(&recent)]
    }

    /// Looks at the counts, which somebody has to do once in a [`SLOT`] at least.
    pub(crate) fn sample(&self, now: Timestamp) {
        let mut past = self.past.lock();
        if past.back().is_none_or(|mark| mark.slot < slot(now)) {
            mark(&mut past, &self.counts(), now);
        }
    }

    /// By bucket, up to the longest that there was.
    fn counts(&self) -> Vec<u64> {
        let powers = self.counts.iter().rposition(|counts| counts.get().is_some()).map_or(0, |last| last + 1);
        let mut all = Vec::with_capacity(powers * PER_POWER as usize);
        for counts in self.counts.iter().take(powers) {
            match counts.get() {
                Some(counts) => all.extend(counts.iter().map(|count| count.load(Ordering::Relaxed))),
                None => all.extend([0; PER_POWER as usize]),
            }
        }
        all
    }
}

/// Marks the begin of a slot, if it is new, and forgets what is no longer of late.
fn mark(past: &mut VecDeque<Mark>, counts: &[u64], now: Timestamp) {
    let slot = slot(now);
    match past.back() {
        // All that there is has come a moment ago.
        None => past.push_back(Mark { slot, counts: Vec::new() }),
        Some(last) if last.slot < slot => {
            past.push_back(Mark { slot, counts: counts.iter().map(|count| *count as u32).collect() });
        }
        Some(_) => {}
    }
    while past.front().is_some_and(|first| slot.saturating_sub(first.slot) >= RECENT_SLOTS) {
        past.pop_front();
    }
}

fn slot(now: Timestamp) -> u64 {
    now.since(Timestamp::ZERO).as_secs() / SLOT.as_secs()
}

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

fn percentiles(counts: &[u64]) -> Percentiles {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return Percentiles::default();
    }
    let mut buckets = counts.iter().enumerate();
    let (mut passed, mut reached) = (0, 0);
    let mut at = |percent: u64| {
        let rank = (all * percent).div_ceil(100);
        while passed < rank
            && let Some((bucket, count)) = buckets.next()
        {
            passed += count;
            reached = bucket;
        }
        longest(reached) as f64 / 1000.0
    };
    Percentiles { p50: at(50), p90: at(90), p99: at(99) }
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
            assert_eq!((bucket(longest(at)), bucket(longest(at) + 1)), (at, at + 1), "{micros}");
            before = at;
        }
        assert_eq!(before, 3286);
    }

    const fn minutes(n: u64) -> Timestamp {
        Timestamp::from_nanos(n * 60 * 1_000_000_000)
    }

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let latency = Latency::default();
        for ms in 1..=100 {
            latency.record(Duration::from_millis(ms));
        }
        let [total, recent] = latency.read(minutes(0));
        let Percentiles { p50, p90, p99 } = total;
        assert!((49.0..52.0).contains(&p50) && (89.0..92.0).contains(&p90) && (98.0..101.0).contains(&p99));
        assert_eq!(recent, total);
    }

    #[test]
    fn the_longest_have_a_place_too() {
        let latency = Latency::default();
        latency.record(Duration::MAX);
        assert!((3_600_000.0..3_630_000.0).contains(&latency.read(minutes(0))[0].p50));
    }

    #[test]
    fn old_latencies_leave_the_recent_ones() {
        let latency = Latency::default();
        let recent = |n| latency.read(minutes(n))[1].p99;
        latency.sample(minutes(0));
        latency.record(Duration::from_secs(9));
        // As often as somebody has to look.
        for minute in 1..15 {
            latency.sample(minutes(minute));
        }
        latency.record(Duration::from_millis(1));
        assert!(recent(14) > 8000.0);
        assert!(recent(15) < 2.0);
        assert!(latency.read(minutes(15))[0].p99 > 8000.0);
        assert!(recent(26) > 0.0);
        assert_eq!(recent(27), 0.0);
    }

    #[test]
    fn a_reader_that_looked_at_the_clock_first_is_no_trouble() {
        let latency = Latency::default();
        latency.sample(minutes(0));
        latency.record(Duration::from_millis(1));
        latency.sample(minutes(3));
        assert!((0.0..2.0).contains(&latency.read(minutes(2))[1].p99));
        latency.read(minutes(3));
        assert_eq!(latency.past.lock().len(), 2, "one mark for each slot, however often somebody looks");
    }

    #[test]
    fn what_came_before_the_first_look_is_recent() {
        let latency = Latency::default();
        latency.record(Duration::from_millis(1));
        assert!(latency.read(minutes(500))[1].p99 > 0.0, "the upstream has come a moment ago");
    }
}
