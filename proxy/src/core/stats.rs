//! Counts what happened, since the start and of late, for the whole proxy and for each upstream.
//!
//! A request is counted once, when its verdict is known, and so is each of its attempts. When nothing is under way:
//! total = success + failed; the upstreams' successes add up to the requests' successes; the upstreams' totals add up
//! to the attempts. An upstream that leaves hands its counts to [`Stats::depart`], so that this stays true.
//!
//! Any number of threads count, and none of them waits: each counts since the start only, in atomics. What is of late is
//! the business of who reads, which somebody has to do at the end of each [`BUCKET`](super::window::BUCKET).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::time::Timestamp;
use super::window::{Tally, Window};

/// Counts over some span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many ended in success.
    pub success: u64,
    /// How many ended in failure.
    pub failed: u64,
    /// The time that all of them took, in nanoseconds.
    pub latency_nanos: u64,
    /// The most that were under way at once.
    pub max_concurrency: u64,
}

impl Counts {
    /// All that ended.
    pub fn total(&self) -> u64 {
        self.success + self.failed
    }

    /// The mean time taken; zero where nothing ended.
    pub fn mean_latency(&self) -> Duration {
        Duration::from_nanos(self.latency_nanos.checked_div(self.total()).unwrap_or(0))
    }

    fn saw(&mut self, concurrency: u64) {
        self.max_concurrency = self.max_concurrency.max(concurrency);
    }

    /// What came behind `earlier`, while up to `max_concurrency` were under way.
    fn since(&self, earlier: &Self, max_concurrency: u64) -> Self {
        Counts {
            success: self.success - earlier.success,
            failed: self.failed - earlier.failed,
            latency_nanos: self.latency_nanos.wrapping_sub(earlier.latency_nanos),
            max_concurrency,
        }
    }
}

impl Tally for Counts {
    fn add(&mut self, other: &Self) {
        self.success += other.success;
        self.failed += other.failed;
        self.latency_nanos = self.latency_nanos.saturating_add(other.latency_nanos);
        self.saw(other.max_concurrency);
    }
}

/// The counters of one scope: the proxy's requests, or one upstream's attempts.
///
/// They have cache lines of their own, so that threads which count are in the way of nothing else.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    success: AtomicU64,
    failed: AtomicU64,
    latency_nanos: AtomicU64,
    current: AtomicU64,
    /// The most at once since the last reading.
    peak: AtomicU64,
    /// Nobody who counts comes here.
    past: Mutex<Past>,
}

/// What earlier readings found.
#[derive(Debug, Default)]
struct Past {
    /// When the last one was.
    read: Option<Timestamp>,
    total: Counts,
    recent: Window<Counts>,
}

impl Counters {
    /// One more is under way.
    pub fn entered(&self) {
        let current = self.current.fetch_add(1, Ordering::Relaxed) + 1;
        // Looked at first: what is rarely exceeded is rarely written.
        if self.peak.load(Ordering::Relaxed) < current {
            self.peak.fetch_max(current, Ordering::Relaxed);
        }
    }

    /// One less is under way.
    pub fn left(&self) {
        self.current.fetch_sub(1, Ordering::Relaxed);
    }

    /// The verdict on one is known.
    pub fn ended(&self, success: bool, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency_nanos.fetch_add(nanos, Ordering::Relaxed);
        // Who reads this reads all that the same request had counted before; see `Stats`.
        (if success { &self.success } else { &self.failed }).fetch_add(1, Ordering::Release);
    }

    /// All of it. What has come since the last reading counts in the windows for the time of that one, so that it never
    /// stays for longer than it should.
    pub fn read(&self, now: Timestamp) -> Reading {
        let mut past = self.past();
        let (success, failed) = (self.success.load(Ordering::Acquire), self.failed.load(Ordering::Acquire));
        let (latency_nanos, current) =
            (self.latency_nanos.load(Ordering::Relaxed), self.current.load(Ordering::Relaxed));
        // Those who are under way now belong to the next reading too.
        let peak = self.peak.swap(current, Ordering::Relaxed).max(current);
        let total = Counts { success, failed, latency_nanos, max_concurrency: past.total.max_concurrency.max(peak) };
        let more = total.since(&past.total, peak);
        let then = past.read.unwrap_or(now);
        past.recent.record(then, |counts| counts.add(&more));
        past.recent.record(now, |counts| counts.saw(current));
        (past.read, past.total) = (Some(then.max(now)), total);
        Reading { total, recent: past.recent.sum(now), current }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`Counters`] say at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Since the start.
    pub total: Counts,
    /// Of the last 15 minutes.
    pub recent: Counts,
    /// How many are under way.
    pub current: u64,
}

impl Reading {
    fn add(&mut self, other: &Self) {
        self.total.add(&other.total);
        self.recent.add(&other.recent);
        self.current += other.current;
    }
}

/// The counters of one proxy, but those of the upstreams in force, which stand with them.
///
/// A request counts the end of an attempt, then its own verdict. Who reads its verdicts first and the upstreams' attempts
/// behind them therefore never finds a success that no upstream had.
#[derive(Debug, Default)]
pub struct Stats {
    /// The proxy's requests: from the complete head to the verdict, under way until the tunnel is over.
    pub requests: Counters,
    rejected: AtomicU64,
    departed: Mutex<Departed>,
}

/// What upstreams counted that have left.
#[derive(Debug, Default)]
struct Departed {
    /// Something may still be under way through them.
    last: Vec<Arc<Counters>>,
    total: Counts,
    recent: Window<Counts>,
}

impl Stats {
    /// A request was refused for what it asks or who asks it, before an upstream was picked. It is no part of
    /// [`Stats::requests`].
    pub fn request_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that were refused.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// An upstream leaves. Attempts that are still under way through it go on counting.
    pub fn depart(&self, upstream: Arc<Counters>) {
        self.departed().last.push(upstream);
    }

    /// The attempts through upstreams that have left.
    pub fn read_departed(&self, now: Timestamp) -> Reading {
        let mut departed = self.departed();
        let Departed { last, total, recent } = &mut *departed;
        let mut sum = Reading::default();
        for counters in std::mem::take(last) {
            let reading = counters.read(now);
            match Arc::try_unwrap(counters) {
                // Nobody is left to count.
                Ok(counters) => {
                    total.add(&reading.total);
                    recent.absorb(&counters.past().recent);
                }
                Err(counters) => {
                    sum.add(&reading);
                    last.push(counters);
                }
            }
        }
        sum.add(&Reading { total: *total, recent: recent.sum(now), current: 0 });
        sum
    }

    fn departed(&self) -> MutexGuard<'_, Departed> {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_secs(seconds))
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_is_under_way_from_its_begin_to_its_end() {
        let counters = Counters::default();
        counters.entered();
        counters.entered();
        assert_eq!(counters.read(at(0)).current, 2);
        counters.left();
        assert_eq!(counters.read(at(0)).current, 1);
    }

    #[test]
    fn failures_and_latency_count_in_both_spans() {
        let counters = Counters::default();
        counters.ended(true, 10 * MS);
        counters.read(at(0));
        counters.read(at(800));
        counters.ended(false, 30 * MS);
        let Reading { total, recent, .. } = counters.read(at(801));
        assert_eq!((total.mean_latency(), total), (20 * MS, recent));
        let recent = counters.read(at(1000)).recent;
        assert_eq!((recent.success, recent.failed, recent.mean_latency()), (0, 1, 30 * MS));
        assert_eq!(Counts::default().mean_latency(), Duration::ZERO);
    }

    #[test]
    fn what_came_between_two_readings_leaves_as_if_it_had_come_with_the_first() {
        let counters = Counters::default();
        counters.read(at(0));
        counters.ended(true, MS);
        assert_eq!(counters.read(at(10)).recent.total(), 1);
        assert_eq!(counters.read(at(899)).recent.total(), 1);
        assert_eq!(counters.read(at(900)).recent.total(), 0);
    }

    #[test]
    fn a_first_reading_counts_what_came_before_it() {
        let counters = Counters::default();
        counters.ended(true, MS);
        assert_eq!(counters.read(at(5_000)).recent.total(), 1, "the upstream has come a moment ago");
    }

    #[test]
    fn the_most_at_once_is_remembered_while_it_lasts_and_a_window_longer() {
        let counters = Counters::default();
        for _ in 0..3 {
            counters.entered();
        }
        counters.read(at(0));
        assert_eq!(counters.read(at(4_990)).recent.max_concurrency, 3, "they are still under way");
        counters.left();
        counters.left();
        counters.read(at(5_000));
        let read = |seconds| {
            let Reading { total, recent, current } = counters.read(at(seconds));
            (total.max_concurrency, recent.max_concurrency, current)
        };
        assert_eq!(read(5_889), (3, 3, 1));
        assert_eq!(read(5_890), (3, 1, 1));
    }

    #[test]
    fn the_most_at_once_are_known_though_nobody_looked_then() {
        let counters = Counters::default();
        (0..3).for_each(|_| counters.entered());
        (0..3).for_each(|_| counters.left());
        counters.entered();
        assert_eq!(counters.read(at(1)).total.max_concurrency, 3);
    }

    #[test]
    fn the_rejected_are_no_part_of_the_total() {
        let stats = Stats::default();
        stats.request_rejected();
        stats.request_rejected();
        assert_eq!((stats.rejected(), stats.requests.read(at(0)).total.total()), (2, 0));
    }

    #[test]
    fn an_attempt_under_way_moves_with_its_upstream() {
        let (stats, upstream) = (Stats::default(), Arc::new(Counters::default()));
        upstream.entered();
        stats.depart(Arc::clone(&upstream));
        assert_eq!(stats.read_departed(at(0)).current, 1);
        upstream.ended(true, MS);
        upstream.left();
        drop(upstream);
        for _ in 0..2 {
            let Reading { total, recent, current } = stats.read_departed(at(1));
            assert_eq!((total.success, recent.success, current), (1, 1, 0));
        }
        assert!(stats.departed().last.is_empty(), "it is added up once nobody counts in it");
        assert_eq!(stats.read_departed(at(1_000)).recent.success, 0);
    }

    /// Requests are counted in one thread, each attempt before its verdict, while another reads.
    #[test]
    fn no_reader_finds_a_success_that_no_upstream_had() {
        let (stats, upstream) = (Stats::default(), Counters::default());
        std::thread::scope(|scope| {
            let counting = scope.spawn(|| {
                for _ in 0..20_000 {
                    upstream.ended(true, MS);
                    stats.requests.ended(true, MS);
                }
            });
            while !counting.is_finished() {
                let requests = stats.requests.read(at(0)).total.success;
                assert!(upstream.read(at(0)).total.success >= requests);
            }
        });
        assert_eq!(stats.requests.read(at(0)).recent.success, 20_000);
    }

    proptest! {
        /// Requests over five upstreams that come and go: `fails` attempts fail first, then one succeeds or none does.
        #[test]
        fn at_rest_the_sums_agree(
            requests in prop::collection::vec((0u64..300, 0u32..4, any::<bool>(), 0u32..5, any::<bool>()), 0..60)
        ) {
            let stats = Stats::default();
            let mut upstreams: [Arc<Counters>; 5] = Default::default();
            let (mut now, mut attempts) = (0, 0);
            for (pause, fails, success, first, reload) in requests {
                now += pause;
                stats.requests.entered();
                for n in first..first + fails + u32::from(success) {
                    attempts += 1;
                    let one = &mut upstreams[n as usize % 5];
                    let used = Arc::clone(one);
                    used.entered();
                    if reload {
                        // The upstream in use leaves in mid-attempt.
                        stats.depart(std::mem::take(one));
                        one.read(at(now));
                    }
                    used.ended(n == first + fails, MS);
                    used.left();
                }
                stats.requests.ended(success, MS);
                stats.requests.left();
                // As whoever samples does.
                let read = [stats.requests.read(at(now)), stats.read_departed(at(now))];
                let each = upstreams.iter().map(|one| one.read(at(now))).chain([read[1]]);
                let recent: u64 = each.map(|one| one.recent.success).sum();
                prop_assert_eq!(recent, read[0].recent.success);
            }
            let all = stats.requests.read(at(now));
            let each: Vec<Reading> =
                upstreams.iter().map(|one| one.read(at(now))).chain([stats.read_departed(at(now))]).collect();
            for read in [|reading: &Reading| reading.total, |reading: &Reading| reading.recent] {
                prop_assert_eq!(read(&all).total(), read(&all).success + read(&all).failed);
                prop_assert_eq!(each.iter().map(|one| read(one).success).sum::<u64>(), read(&all).success);
            }
            prop_assert_eq!(each.iter().map(|one| one.total.total()).sum::<u64>(), attempts);
            prop_assert_eq!(each.iter().map(|one| one.total.failed).sum::<u64>(), attempts - all.total.success);
            prop_assert_eq!((all.current, each.iter().map(|one| one.current).sum::<u64>()), (0, 0));
        }
    }
}
