//! Counts what happened, since the start and of late, for the whole proxy and for each upstream.
//!
//! A request is counted once, when its verdict is known, and so is each of its attempts. When nothing is under way:
//! total = success + failed; the upstreams' successes add up to the requests' successes; the upstreams' totals add up
//! to the attempts. An upstream that leaves hands its counts to [`Stats::departed`], so that this stays true.

use std::collections::BTreeMap;
use std::time::Duration;

use super::time::Timestamp;
use super::upstream::UpstreamId;
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

    fn ended(&mut self, success: bool, latency: Duration) {
        *(if success { &mut self.success } else { &mut self.failed }) += 1;
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency_nanos = self.latency_nanos.saturating_add(nanos);
    }

    fn saw(&mut self, concurrency: u64) {
        self.max_concurrency = self.max_concurrency.max(concurrency);
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
#[derive(Clone, Debug, Default)]
pub struct Counters {
    total: Counts,
    recent: Window<Counts>,
    current: u64,
}

impl Counters {
    /// One more is under way.
    pub fn entered(&mut self, now: Timestamp) {
        self.current += 1;
        self.saw(now);
    }

    /// One less is under way.
    pub fn left(&mut self, now: Timestamp) {
        // The level before counts for this bucket too: it may have lasted since long ago.
        self.saw(now);
        self.current = self.current.saturating_sub(1);
    }

    /// The verdict on one is known.
    pub fn ended(&mut self, success: bool, latency: Duration, now: Timestamp) {
        self.total.ended(success, latency);
        self.recent.record(now, |counts| counts.ended(success, latency));
    }

    /// All of it at one moment.
    pub fn read(&self, now: Timestamp) -> Reading {
        Reading { total: self.total, recent: self.recent(now), current: self.current }
    }

    /// Since the start.
    pub fn total(&self) -> Counts {
        self.total
    }

    /// Of the last 15 minutes.
    pub fn recent(&self, now: Timestamp) -> Counts {
        let mut counts = self.recent.sum(now);
        counts.saw(self.current);
        counts
    }

    /// How many are under way.
    pub fn current(&self) -> u64 {
        self.current
    }

    fn saw(&mut self, now: Timestamp) {
        self.total.saw(self.current);
        self.recent.record(now, |counts| counts.saw(self.current));
    }

    fn absorb(&mut self, other: &Self) {
        self.total.add(&other.total);
        self.recent.absorb(&other.recent);
        self.current += other.current;
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

/// All counters of one proxy.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    requests: Counters,
    rejected: u64,
    upstreams: BTreeMap<UpstreamId, Counters>,
    departed: Counters,
}

impl Stats {
    /// Counters for `upstreams`, all at zero.
    pub fn new(upstreams: impl IntoIterator<Item = UpstreamId>) -> Self {
        let upstreams = upstreams.into_iter().map(|id| (id, Counters::default())).collect();
        Stats { upstreams, ..Stats::default() }
    }

    /// Takes over another set of upstreams. Those that stay keep their counts.
    pub fn configure(&mut self, upstreams: impl IntoIterator<Item = UpstreamId>) {
        let mut before = std::mem::take(&mut self.upstreams);
        let counters = |id: UpstreamId| (id, before.remove(&id).unwrap_or_default());
        self.upstreams = upstreams.into_iter().map(counters).collect();
        for counters in before.values() {
            self.departed.absorb(counters);
        }
    }

    /// A request has begun.
    pub fn request_entered(&mut self, now: Timestamp) {
        self.requests.entered(now);
    }

    /// The verdict on a request is known, `latency` after its complete head.
    pub fn request_ended(&mut self, success: bool, latency: Duration, now: Timestamp) {
        self.requests.ended(success, latency, now);
    }

    /// A request, with its tunnel if it opened one, is over.
    pub fn request_left(&mut self, now: Timestamp) {
        self.requests.left(now);
    }

    /// A request was refused for what it asks or who asks it, before an upstream was picked.
    pub fn request_rejected(&mut self) {
        self.rejected += 1;
    }

    /// An attempt through `upstream` has begun.
    pub fn attempt_entered(&mut self, upstream: UpstreamId, now: Timestamp) {
        self.upstream(upstream).entered(now);
    }

    /// An attempt through `upstream` has ended. It counts as a success or a failure here, whoever is to blame.
    pub fn attempt_ended(&mut self, upstream: UpstreamId, success: bool, latency: Duration, now: Timestamp) {
        self.upstream(upstream).ended(success, latency, now);
    }

    /// An attempt through `upstream`, with its tunnel if it opened one, is over.
    pub fn attempt_left(&mut self, upstream: UpstreamId, now: Timestamp) {
        self.upstream(upstream).left(now);
    }

    /// The proxy's requests.
    pub fn requests(&self) -> &Counters {
        &self.requests
    }

    /// Requests that were refused. They are not part of [`Stats::requests`].
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// The attempts through each upstream, in order of id.
    pub fn upstreams(&self) -> impl Iterator<Item = (UpstreamId, &Counters)> {
        self.upstreams.iter().map(|(id, counters)| (*id, counters))
    }

    /// The attempts through upstreams that have left.
    pub fn departed(&self) -> &Counters {
        &self.departed
    }

    fn upstream(&mut self, id: UpstreamId) -> &mut Counters {
        self.upstreams.get_mut(&id).unwrap_or(&mut self.departed)
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
    fn a_request_is_under_way_from_its_begin_to_its_end() {
        let mut stats = Stats::new([]);
        stats.request_entered(at(1));
        stats.request_entered(at(2));
        assert_eq!(stats.requests().current(), 2);
        stats.request_left(at(3));
        assert_eq!(stats.requests().current(), 1);
    }

    #[test]
    fn failures_and_latency_count_in_both_spans() {
        let mut counters = Counters::default();
        counters.ended(true, 10 * MS, at(0));
        counters.ended(false, 30 * MS, at(800));
        assert_eq!(counters.total().mean_latency(), 20 * MS);
        assert_eq!(counters.recent(at(800)), counters.total());
        let recent = counters.recent(at(1000));
        assert_eq!((recent.success, recent.failed, recent.mean_latency()), (0, 1, 30 * MS));
        assert_eq!(Counts::default().mean_latency(), Duration::ZERO);
    }

    #[test]
    fn the_most_at_once_is_remembered_while_it_lasts_and_a_window_longer() {
        let mut counters = Counters::default();
        for _ in 0..3 {
            counters.entered(at(0));
        }
        assert_eq!(counters.recent(at(5_000)).max_concurrency, 3, "they are still under way");
        counters.left(at(5_000));
        counters.left(at(5_000));
        assert_eq!((counters.current(), counters.recent(at(5_899)).max_concurrency), (1, 3));
        assert_eq!(counters.recent(at(5_900)).max_concurrency, 1);
        let (total, recent) = (counters.total(), counters.recent(at(5_900)));
        assert_eq!(counters.read(at(5_900)), Reading { total, recent, current: 1 });
        assert_eq!(counters.total().max_concurrency, 3);
    }

    #[test]
    fn the_rejected_are_no_part_of_the_total() {
        let mut stats = Stats::new([]);
        stats.request_rejected();
        stats.request_rejected();
        assert_eq!((stats.rejected(), stats.requests().total().total()), (2, 0));
    }

    #[test]
    fn an_attempt_under_way_moves_with_its_upstream() {
        let upstream = UpstreamId::new(1);
        let mut stats = Stats::new([upstream]);
        stats.attempt_entered(upstream, at(0));
        stats.configure([]);
        assert_eq!(stats.departed().current(), 1);
        stats.attempt_left(upstream, at(1));
        assert_eq!(stats.departed().current(), 0);
    }

    proptest! {
        /// Requests over five upstreams that come and go: `fails` attempts fail first, then one succeeds or none does.
        #[test]
        fn at_rest_the_sums_agree(
            requests in prop::collection::vec((0u64..300, 0u32..4, any::<bool>(), 0u32..5, any::<bool>()), 0..60)
        ) {
            let id = |n: u32| UpstreamId::new(n % 5);
            let mut stats = Stats::new((0..5).map(id));
            let (mut now, mut attempts) = (0, 0);
            for (pause, fails, success, first, reload) in requests {
                now += pause;
                stats.request_entered(at(now));
                for n in first..first + fails + u32::from(success) {
                    attempts += 1;
                    stats.attempt_entered(id(n), at(now));
                    if reload {
                        // The upstream in use leaves in mid-attempt.
                        stats.configure((0..5).filter(|other| *other != n % 5).map(id));
                    }
                    stats.attempt_ended(id(n), n == first + fails, MS, at(now));
                    stats.attempt_left(id(n), at(now));
                }
                stats.request_ended(success, MS, at(now));
                stats.request_left(at(now));
            }
            for recent in [false, true] {
                let read = |counters: &Counters| if recent { counters.recent(at(now)) } else { counters.total() };
                let all = read(stats.requests());
                let each: Vec<Counts> =
                    stats.upstreams().map(|(_, counters)| counters).chain([stats.departed()]).map(read).collect();
                prop_assert_eq!(all.total(), all.success + all.failed);
                prop_assert_eq!(each.iter().map(|counts| counts.success).sum::<u64>(), all.success);
                if !recent {
                    prop_assert_eq!(each.iter().map(Counts::total).sum::<u64>(), attempts);
                    prop_assert_eq!(each.iter().map(|counts| counts.failed).sum::<u64>(), attempts - all.success);
                }
            }
            let current = stats.upstreams().map(|(_, c)| c.current()).sum::<u64>() + stats.departed().current();
            prop_assert_eq!((stats.requests().current(), current), (0, 0));
        }
    }
}
