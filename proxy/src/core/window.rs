//! Adds up what happened in the last 15 minutes, in buckets that are used again.

use std::time::Duration;

use super::time::Timestamp;

/// How far back a window looks.
pub const SPAN: Duration = Duration::from_secs(15 * 60);
/// One bucket: what is older than [`SPAN`] leaves the sum in steps of this.
pub const BUCKET: Duration = Duration::from_secs(10);

const BUCKETS: u64 = SPAN.as_nanos() as u64 / BUCKET.as_nanos() as u64;

/// What can be added up over buckets.
pub trait Tally: Clone + Default {
    /// Adds what `other` counted.
    fn add(&mut self, other: &Self);
}

/// A tally of the last 15 minutes, the current bucket included: never older than [`SPAN`], at least [`SPAN`] less
/// one [`BUCKET`].
#[derive(Clone, Debug)]
pub struct Window<T> {
    buckets: Box<[Bucket<T>]>,
}

#[derive(Clone, Debug, Default)]
struct Bucket<T> {
    /// Which stretch of time it holds, counted in buckets from zero.
    number: u64,
    tally: T,
}

impl<T: Tally> Default for Window<T> {
    fn default() -> Self {
        Window { buckets: vec![Bucket::default(); BUCKETS as usize].into() }
    }
}

impl<T: Tally> Window<T> {
    /// Counts something that happened at `now`. What is older than the window is not counted.
    pub fn record(&mut self, now: Timestamp, count: impl FnOnce(&mut T)) {
        if let Some(tally) = self.tally(number(now)) {
            count(tally);
        }
    }

    /// What was counted in the last 15 minutes.
    pub fn sum(&self, now: Timestamp) -> T {
        let newest = number(now);
        let mut sum = T::default();
        for bucket in &self.buckets {
            if bucket.number <= newest && newest - bucket.number < BUCKETS {
                sum.add(&bucket.tally);
            }
        }
        sum
    }

    /// Adds what `other` counted, each at its time.
    pub fn absorb(&mut self, other: &Self) {
        for bucket in &other.buckets {
            if let Some(tally) = self.tally(bucket.number) {
                tally.add(&bucket.tally);
            }
        }
    }

    /// The bucket of that number, emptied if it held an older one; `None` if it holds a newer one.
    fn tally(&mut self, number: u64) -> Option<&mut T> {
        let bucket = &mut self.buckets[(number % BUCKETS) as usize];
        if bucket.number < number {
            *bucket = Bucket { number, tally: T::default() };
        }
        (bucket.number == number).then_some(&mut bucket.tally)
    }
}

fn number(now: Timestamp) -> u64 {
    now.as_nanos() / BUCKET.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Tally for u64 {
        fn add(&mut self, other: &Self) {
            *self += other;
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn what_is_older_than_the_span_is_forgotten() {
        let mut window = Window::<u64>::default();
        window.record(at(0), |count| *count += 1);
        assert_eq!(window.sum(at(899)), 1);
        assert_eq!(window.sum(at(900)), 0);
    }

    #[test]
    fn a_straggler_neither_empties_a_newer_bucket_nor_counts_in_it() {
        let mut window = Window::<u64>::default();
        window.record(at(1000), |count| *count += 1);
        window.record(at(100), |count| *count += 10);
        window.record(at(990), |count| *count += 100);
        assert_eq!(window.sum(at(1000)), 101);
        assert_eq!(window.sum(at(995)), 100, "a late reader sees no more than there was");
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_a_plain_list(steps in prop::collection::vec((0u64..400, 1u64..9, any::<bool>()), 1..80)) {
            let (mut one, mut two) = (Window::<u64>::default(), Window::<u64>::default());
            let mut list = Vec::new();
            let mut now = 0;
            for (step, amount, left) in steps {
                now += step;
                let window = if left { &mut one } else { &mut two };
                window.record(at(now), |count| *count += amount);
                list.push((now, amount));
                let naive: u64 = list.iter().filter(|(then, _)| now / 10 - then / 10 < 90).map(|(_, n)| n).sum();
                prop_assert_eq!(one.sum(at(now)) + two.sum(at(now)), naive);
                let mut both = one.clone();
                both.absorb(&two);
                prop_assert_eq!(both.sum(at(now)), naive);
            }
        }
    }
}
