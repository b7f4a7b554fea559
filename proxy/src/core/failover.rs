//! Decides how many attempts a request may make, how long each may take, and how many failovers all requests together may have.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::attribution::Failure;
use super::time::Timestamp;

/// The figures that bound a request's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailoverPolicy {
    /// Attempts of one request at most.
    pub max_attempts: NonZeroU32,
    /// From the request's complete head to its verdict.
    pub request_timeout: Duration,
    /// For the connection to an upstream, TLS included.
    pub connect_timeout: Duration,
    /// From a connection to the upstream's reply head.
    pub reply_timeout: Duration,
    /// What all requests together may add.
    pub retry_budget: RetryBudgetPolicy,
}

/// An attempt that is cut short does not begin with less than this.
const LEAST: Duration = Duration::from_secs(1);

impl FailoverPolicy {
    /// Whether the request's time-out outlasts all attempts but the last when each of those uses up its own
    /// time-outs, with `candidates` upstreams to try. Where it does not, attempts are cut short.
    pub fn fits(&self, candidates: usize) -> bool {
        let most = self.max_attempts.get().min(u32::try_from(candidates).unwrap_or(u32::MAX));
        self.fit(most, self.request_timeout)
    }

    /// Whether `attempts` have room in `remains`: all but the last whole, and the last with what it needs to begin.
    fn fit(&self, attempts: u32, remains: Duration) -> bool {
        let whole = self.whole().saturating_mul(attempts.saturating_sub(1));
        whole.saturating_add(self.least()) <= remains
    }

    /// What an attempt that uses up its own time-outs takes.
    fn whole(&self) -> Duration {
        self.connect_timeout.saturating_add(self.reply_timeout)
    }

    /// With less than a second, or a tenth of the connection's time-out, an attempt is not worth its load on others.
    fn least(&self) -> Duration {
        LEAST.max(self.connect_timeout / 10).min(self.whole())
    }
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetSpent {
    /// All attempts that were allowed have been made.
    AttemptsUsedUp,
    /// The request's time is over, or too little of it is left to begin another attempt.
    DeadlinePassed,
}

/// What one request has left.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    policy: FailoverPolicy,
    attempts_left: u32,
    deadline: Timestamp,
}

impl Budget {
    /// The budget of a request whose head was complete at `now`.
    pub fn new(policy: FailoverPolicy, now: Timestamp) -> Self {
        Budget { policy, attempts_left: policy.max_attempts.get(), deadline: now.after(policy.request_timeout) }
    }

    /// Takes the next attempt out of the budget; behind it there are `behind` upstreams that could still be tried. It
    /// has its own time-outs in full where the attempts behind it can have theirs too, else half of what remains. The
    /// last one may take all that remains.
    ///
    /// Who could be tried is asked anew each time: upstreams recover while a request lasts, and one that is picked then
    /// must not use up the attempt at another.
    ///
    /// # Errors
    /// [`BudgetSpent`] if nothing is left.
    pub fn next(&mut self, behind: usize, now: Timestamp) -> Result<Allowance, BudgetSpent> {
        let remains = self.deadline.since(now);
        if !self.has_time(remains) {
            return Err(BudgetSpent::DeadlinePassed);
        }
        self.attempts_left = self.attempts_left.checked_sub(1).ok_or(BudgetSpent::AttemptsUsedUp)?;
        let behind = self.attempts_left.min(u32::try_from(behind).unwrap_or(u32::MAX));
        let least = self.policy.least();
        let half = (remains / 2).max(least);
        let share = if behind == 0 || remains.saturating_sub(half) < least {
            remains
        } else if self.policy.fit(behind.saturating_add(1), remains) {
            self.policy.whole()
        } else {
            half
        };
        Ok(Allowance {
            connect_timeout: self.policy.connect_timeout,
            reply_timeout: self.policy.reply_timeout,
            began: now,
            ends: now.after(share),
        })
    }

    /// Whether [`Budget::next`] would give an attempt.
    pub fn allows(&self, now: Timestamp) -> bool {
        self.attempts_left > 0 && self.has_time(self.deadline.since(now))
    }

    /// The first attempt begins with whatever time there is.
    fn has_time(&self, remains: Duration) -> bool {
        let first = self.attempts_left == self.policy.max_attempts.get();
        !remains.is_zero() && (first || remains >= self.policy.least())
    }

    /// When the request's time is over.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }
}

/// What one attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    connect_timeout: Duration,
    reply_timeout: Duration,
    began: Timestamp,
    ends: Timestamp,
}

impl Allowance {
    /// An attempt's own time-outs in full, from `now` on: for whoever has no deadline of a request.
    pub fn whole(connect_timeout: Duration, reply_timeout: Duration, now: Timestamp) -> Self {
        Allowance { connect_timeout, reply_timeout, began: now, ends: Timestamp::NEVER }
    }

    /// For the connection, TLS included.
    pub fn connect(&self) -> Limit {
        Limit::new(self.connect_timeout, self.ends.since(self.began), Failure::ConnectTimeout)
    }

    /// For the reply, once the connection stands at `now`.
    pub fn reply(&self, now: Timestamp) -> Limit {
        Limit::new(self.reply_timeout, self.ends.since(now), Failure::ReplyTimeout)
    }
}

/// A time limit, and what it means when it passes: an own time-out tells something of the upstream, one that the
/// request's deadline cut short does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How long.
    pub span: Duration,
    /// What has happened when it is over.
    pub failure: Failure,
}

impl Limit {
    fn new(own: Duration, left: Duration, failure: Failure) -> Self {
        let failure = if left < own { Failure::CutShort } else { failure };
        Limit { span: own.min(left), failure }
    }
}

/// How many failovers all requests together may make, as a share of the requests of the last ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudgetPolicy {
    /// Failovers for each hundred requests.
    pub percent: u32,
    /// Failovers a second that are allowed however few requests there are.
    pub min_per_second: u32,
}

/// Whole seconds that a [`RetryBudget`] looks back.
const SECONDS: u64 = 10;

/// What of the retry budget is used up. Any number of threads count in it, and none of them waits.
#[derive(Clone, Debug, Default)]
pub struct RetryBudget {
    requests: PerSecond,
    failovers: PerSecond,
}

impl RetryBudget {
    /// A request began.
    pub fn request(&self, now: Timestamp) {
        self.requests.add(now, 1);
    }

    /// Takes one failover out of the budget, if it has one.
    pub fn take(&self, policy: &RetryBudgetPolicy, now: Timestamp) -> bool {
        // Taken first and given back where it was too many, so that two who come at once don't both take the last one.
        self.failovers.add(now, 1);
        let allowed = self.failovers.sum(now) <= self.most(policy, now);
        if !allowed {
            self.failovers.add(now, -1);
        }
        allowed
    }

    /// Whether [`RetryBudget::take`] would give one.
    pub fn allows(&self, policy: &RetryBudgetPolicy, now: Timestamp) -> bool {
        self.failovers.sum(now) < self.most(policy, now)
    }

    fn most(&self, policy: &RetryBudgetPolicy, now: Timestamp) -> u64 {
        self.requests.sum(now) * u64::from(policy.percent) / 100 + SECONDS * u64::from(policy.min_per_second)
    }
}

/// How many in each of the last [`SECONDS`]: the number of the second in the upper half of each place, the count in the
/// lower one, so that a place changes at once.
#[derive(Debug, Default)]
#[repr(align(128))] // so that counting is in the way of nothing that lies beside it
struct PerSecond([AtomicU64; SECONDS as usize]);

impl PerSecond {
    fn add(&self, now: Timestamp, more: i32) {
        let number = number(now);
        let added = |held: u64| {
            let count = if (held >> 32) == number { held as u32 } else { 0 };
            Some(number << 32 | u64::from(count.saturating_add_signed(more)))
        };
        // It ends: whoever comes in between has made the place change.
        let _ = self.0[(number % SECONDS) as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    fn sum(&self, now: Timestamp) -> u64 {
        let newest = number(now);
        let held = self.0.iter().map(|place| place.load(Ordering::Relaxed));
        let recent = held.filter(|held| newest.saturating_sub(held >> 32) < SECONDS);
        recent.map(|held| u64::from(held as u32)).sum()
    }
}

impl Clone for PerSecond {
    fn clone(&self) -> Self {
        PerSecond(std::array::from_fn(|place| AtomicU64::new(self.0[place].load(Ordering::Relaxed))))
    }
}

/// The second in which `now` is; 32 bits of it last for a century.
fn number(now: Timestamp) -> u64 {
    u64::from(now.since(Timestamp::ZERO).as_secs() as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO.after(secs(seconds))
    }

    const fn policy(max_attempts: u32, request: Duration, connect: Duration, reply: Duration) -> FailoverPolicy {
        FailoverPolicy {
            max_attempts: NonZeroU32::new(max_attempts).unwrap(),
            request_timeout: request,
            connect_timeout: connect,
            reply_timeout: reply,
            retry_budget: RetryBudgetPolicy { percent: 100, min_per_second: 10 },
        }
    }

    fn own(span: Duration, failure: Failure) -> Limit {
        Limit { span, failure }
    }

    #[test]
    fn own_time_outs_hold_where_they_fit() {
        let mut budget = Budget::new(policy(3, secs(90), secs(10), secs(30)), at(0));
        for attempt in 0..2 {
            let now = at(40 * attempt);
            let allowance = budget.next(8, now).unwrap();
            assert_eq!(allowance.connect(), own(secs(10), Failure::ConnectTimeout));
            assert_eq!(allowance.reply(now.after(secs(10))), own(secs(30), Failure::ReplyTimeout));
        }
        let last = budget.next(8, at(80)).unwrap();
        assert_eq!(last.connect(), own(secs(10), Failure::ConnectTimeout), "it fits what remains to the nanosecond");
        assert_eq!(last.reply(at(81)), own(secs(9), Failure::CutShort));
    }

    #[test]
    fn an_attempt_that_does_not_fit_takes_half_of_what_remains_and_the_last_all_of_it() {
        let mut budget = Budget::new(policy(3, secs(40), secs(99), secs(99)), at(0));
        let first = budget.next(8, at(0)).unwrap();
        assert_eq!(first.connect(), own(secs(20), Failure::CutShort));
        assert_eq!(first.reply(at(15)), own(secs(5), Failure::CutShort), "the reply shares what the connection left");
        assert_eq!(first.reply(at(21)).span, Duration::ZERO);
        assert_eq!(budget.next(7, at(20)).unwrap().ends, at(30).max(at(20).after(Duration::from_millis(9_900))));
        assert_eq!(budget.next(6, at(30)).unwrap().ends, at(40));
        assert_eq!(budget.next(5, at(30)), Err(BudgetSpent::AttemptsUsedUp));
        assert_eq!(budget.next(5, at(40)), Err(BudgetSpent::DeadlinePassed));
    }

    #[test]
    fn the_last_upstream_takes_all_that_remains_whatever_the_limit() {
        let mut budget = Budget::new(policy(9, secs(40), secs(99), secs(99)), at(0));
        assert_eq!(budget.next(1, at(0)).unwrap().ends, at(20));
        assert_eq!(budget.next(0, at(20)).unwrap().ends, at(40));
    }

    #[test]
    fn no_further_attempt_begins_with_less_than_a_second_or_a_tenth_of_its_time_out() {
        let floor = |connect| {
            let mut budget = Budget::new(policy(5, secs(100), connect, secs(100)), at(0));
            budget.next(4, at(0)).unwrap();
            let begins = |left: Duration| {
                let now = Timestamp::ZERO.after(secs(100) - left);
                assert_eq!(budget.allows(now), budget.clone().next(4, now).is_ok());
                budget.clone().next(4, now).map(|allowance| allowance.ends.since(now))
            };
            let mut least = secs(50);
            while begins(least - Duration::from_millis(100)).is_ok() {
                least -= Duration::from_millis(100);
            }
            assert_eq!(begins(least), Ok(least), "with less than two of them left it takes all");
            assert_eq!(begins(least * 2), Ok(least), "two of them are left for two");
            least
        };
        assert_eq!(floor(secs(2)), secs(1));
        assert_eq!(floor(secs(30)), secs(3));
        // Time-outs shorter than that are none to be cut short.
        let mut budget = Budget::new(policy(5, secs(1), Duration::from_millis(50), Duration::from_millis(100)), at(0));
        budget.next(4, at(0)).unwrap();
        assert!(budget.allows(Timestamp::ZERO.after(Duration::from_millis(850))));
        assert!(!budget.allows(Timestamp::ZERO.after(Duration::from_millis(851))));
    }

    #[test]
    fn the_first_attempt_begins_with_whatever_there_is() {
        let mut budget = Budget::new(policy(3, Duration::from_millis(200), secs(10), secs(30)), at(0));
        assert_eq!(budget.next(2, at(0)).unwrap().connect(), own(Duration::from_millis(200), Failure::CutShort));
    }

    #[test]
    fn attempts_are_limited() {
        let mut budget = Budget::new(policy(2, secs(10), secs(1), secs(1)), at(0));
        assert_eq!((0..20).take_while(|_| budget.allows(at(0)) && budget.next(5, at(0)).is_ok()).count(), 2);
        assert!(!budget.allows(at(0)));
    }

    #[test]
    fn fits_when_the_silent_ones_leave_time_for_the_last() {
        assert!(policy(3, secs(51), secs(5), secs(20)).fits(9));
        assert!(!policy(3, secs(50), secs(5), secs(20)).fits(9));
        assert!(policy(9, secs(51), secs(5), secs(20)).fits(3), "there are not more to try");
        assert!(policy(1, secs(1), secs(5), secs(20)).fits(4));
    }

    #[test]
    fn failovers_are_a_share_of_the_requests_of_ten_seconds_and_a_floor() {
        let policy = RetryBudgetPolicy { percent: 50, min_per_second: 2 };
        let mut budget = RetryBudget::default();
        let taken = |budget: &mut RetryBudget, now| {
            // Whether it allows one is said beforehand, and is so.
            let take = |_: &i32| {
                let allowed = budget.allows(&policy, now);
                assert_eq!(budget.take(&policy, now), allowed);
                allowed
            };
            (0..1000).take_while(take).count()
        };
        assert_eq!(taken(&mut budget, at(0)), 20, "the floor");
        for _ in 0..100 {
            budget.request(at(5));
        }
        assert_eq!(taken(&mut budget, at(5)), 50);
        assert_eq!(taken(&mut budget, at(9)), 0);
        // What the first second took is over, then what the fifth gave and took.
        assert_eq!(taken(&mut budget, at(10)), 20);
        assert_eq!(taken(&mut budget, at(15)), 0);
        assert_eq!(taken(&mut budget, at(20)), 20);
        assert!(!RetryBudget::default().allows(&RetryBudgetPolicy { percent: 100, min_per_second: 0 }, at(0)));
    }

    proptest! {
        #[test]
        fn attempts_that_use_up_all_they_may_end_by_the_deadline(
            attempts in 1u32..12, request in 1u64..1_000_000_000_000, connect in 1u64..1 << 40, reply in 1u64..1 << 40
        ) {
            let nanos = Duration::from_nanos;
            let policy = policy(attempts, nanos(request), nanos(connect), nanos(reply));
            let mut budget = Budget::new(policy, Timestamp::ZERO);
            let mut now = Timestamp::ZERO;
            let mut made = 0;
            while let Ok(allowance) = budget.next((attempts as usize).saturating_sub(1 + made as usize), now) {
                made += 1;
                let connected = now.after(allowance.connect().span);
                prop_assert!(connected <= allowance.ends);
                let over = connected.after(allowance.reply(connected).span);
                prop_assert!(over <= allowance.ends.min(budget.deadline()));
                // None begins with too little but the first.
                prop_assert!(made == 1 || allowance.ends.since(now) >= policy.least());
                now = over;
            }
            if policy.fits(attempts as usize) {
                prop_assert_eq!(made, attempts);
            }
        }
    }
}
