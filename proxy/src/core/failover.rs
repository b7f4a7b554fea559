//! Decides how many attempts a request may make, and how long each may take.

use std::num::NonZeroU32;
use std::time::Duration;

use super::time::Timestamp;

/// The figures that bound a request's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailoverPolicy {
    /// Attempts of one request at most; `None` for as many as there are upstreams to try while it lasts.
    pub max_attempts: Option<NonZeroU32>,
    /// From the request's complete head to its verdict.
    pub request_timeout: Duration,
    /// For the connection to an upstream, TLS included.
    pub connect_timeout: Duration,
    /// From a connection to the upstream's reply head.
    pub reply_timeout: Duration,
}

impl FailoverPolicy {
    /// Whether the request's time-out outlasts all attempts but the last when each of those uses up its own
    /// time-outs, with `candidates` upstreams to try. Where it does not, attempts are cut short.
    pub fn fits(&self, candidates: usize) -> bool {
        let each = self.connect_timeout.saturating_add(self.reply_timeout);
        each.saturating_mul(self.attempts(candidates) - 1) < self.request_timeout
    }

    fn attempts(&self, candidates: usize) -> u32 {
        self.max_attempts.map_or(u32::try_from(candidates).unwrap_or(u32::MAX).max(1), NonZeroU32::get)
    }
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetSpent {
    /// All attempts that were allowed have been made.
    AttemptsUsedUp,
    /// The request's time is over.
    DeadlinePassed,
}

/// What one request has left.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    policy: FailoverPolicy,
    /// `None`: only the upstreams to try bound them.
    attempts_left: Option<u32>,
    deadline: Timestamp,
}

impl Budget {
    /// The budget of a request whose head was complete at `now`. A lent probe is one attempt more: a client
    /// must not be worse off because its request was lent.
    pub fn new(policy: FailoverPolicy, lent_probe: bool, now: Timestamp) -> Self {
        let attempts_left = policy.max_attempts.map(|most| most.get().saturating_add(lent_probe.into()));
        Budget { policy, attempts_left, deadline: now.after(policy.request_timeout) }
    }

    /// Takes the next attempt out of the budget; behind it there are `behind` upstreams that could still be tried. It may
    /// last half of what remains, the last one all of it.
    ///
    /// Who could be tried is asked anew each time: upstreams recover while a request lasts, and one that is picked then
    /// must not use up the attempt at another.
    ///
    /// # Errors
    /// [`BudgetSpent`] if nothing is left.
    pub fn next(&mut self, behind: usize, now: Timestamp) -> Result<Allowance, BudgetSpent> {
        let remains = self.deadline.since(now);
        if remains.is_zero() {
            return Err(BudgetSpent::DeadlinePassed);
        }
        if let Some(left) = &mut self.attempts_left {
            *left = left.checked_sub(1).ok_or(BudgetSpent::AttemptsUsedUp)?;
        }
        let last = behind == 0 || self.attempts_left == Some(0);
        let share = if last { remains } else { remains / 2 };
        Ok(Allowance {
            connect: self.policy.connect_timeout.min(share),
            reply: self.policy.reply_timeout,
            ends: now.after(share),
        })
    }

    /// Whether [`Budget::next`] would give an attempt.
    pub fn allows(&self, now: Timestamp) -> bool {
        self.attempts_left != Some(0) && !self.deadline.since(now).is_zero()
    }

    /// When the request's time is over.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }
}

/// What one attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// For the connection, TLS included.
    pub connect: Duration,
    reply: Duration,
    /// When the attempt is over, whatever it waits for.
    pub ends: Timestamp,
}

impl Allowance {
    /// For the reply, once the connection stands at `now`.
    pub fn reply(&self, now: Timestamp) -> Duration {
        self.reply.min(self.ends.since(now))
    }
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

    fn policy(max_attempts: u32, request: u64, connect: u64, reply: u64) -> FailoverPolicy {
        FailoverPolicy {
            max_attempts: NonZeroU32::new(max_attempts),
            request_timeout: secs(request),
            connect_timeout: secs(connect),
            reply_timeout: secs(reply),
        }
    }

    #[test]
    fn own_time_outs_hold_where_they_fit() {
        let allowance = Budget::new(policy(3, 100, 5, 20), false, at(0)).next(8, at(0)).unwrap();
        assert_eq!((allowance.connect, allowance.reply(at(4))), (secs(5), secs(20)));
    }

    #[test]
    fn an_attempt_takes_half_of_what_remains_and_the_last_all_of_it() {
        let mut budget = Budget::new(policy(3, 40, 99, 99), false, at(0));
        let first = budget.next(8, at(0)).unwrap();
        assert_eq!((first.connect, first.ends), (secs(20), at(20)));
        assert_eq!(first.reply(at(15)), secs(5), "the reply shares what the connection left");
        assert_eq!(first.reply(at(21)), Duration::ZERO);
        assert_eq!(budget.next(7, at(20)).unwrap().ends, at(30));
        assert_eq!(budget.next(6, at(30)).unwrap().ends, at(40));
        assert_eq!(budget.next(5, at(30)), Err(BudgetSpent::AttemptsUsedUp));
        assert_eq!(budget.next(5, at(40)), Err(BudgetSpent::DeadlinePassed));
    }

    #[test]
    fn the_last_upstream_takes_all_that_remains_whatever_the_limit() {
        for max in [0, 9] {
            let mut budget = Budget::new(policy(max, 40, 99, 99), false, at(0));
            assert_eq!(budget.next(1, at(0)).unwrap().ends, at(20));
            assert_eq!(budget.next(0, at(20)).unwrap().ends, at(40), "max_attempts {max}");
        }
    }

    #[test]
    fn attempts_are_limited_only_where_configured() {
        let attempts = |max, lent| {
            let mut budget = Budget::new(policy(max, 10, 1, 1), lent, at(0));
            (0..20).take_while(|_| budget.allows(at(0)) && budget.next(5, at(0)).is_ok()).count()
        };
        assert_eq!(attempts(0, false), 20);
        assert_eq!(attempts(2, false), 2);
        assert_eq!(attempts(1, true), 2, "a lent probe costs the client no attempt");
    }

    #[test]
    fn fits_when_the_silent_ones_leave_time_for_the_last() {
        assert!(policy(3, 51, 5, 20).fits(9));
        assert!(!policy(3, 50, 5, 20).fits(9));
        assert!(!policy(0, 51, 5, 20).fits(4));
        assert!(policy(1, 1, 5, 20).fits(4));
    }

    proptest! {
        #[test]
        fn attempts_that_use_up_all_they_may_end_by_the_deadline(
            attempts in 1u32..12, request in 1u64..1_000_000_000_000, connect in 1u64..1 << 40, reply in 1u64..1 << 40
        ) {
            let policy = FailoverPolicy {
                max_attempts: NonZeroU32::new(attempts),
                request_timeout: Duration::from_nanos(request),
                connect_timeout: Duration::from_nanos(connect),
                reply_timeout: Duration::from_nanos(reply),
            };
            let mut budget = Budget::new(policy, false, Timestamp::ZERO);
            let mut now = Timestamp::ZERO;
            let mut made = 0;
            while let Ok(allowance) = budget.next(9, now) {
                made += 1;
                let connected = now.after(allowance.connect);
                prop_assert!(connected <= allowance.ends);
                now = connected.after(allowance.reply(connected));
                prop_assert!(now <= allowance.ends && now <= budget.deadline());
            }
            // As long as there is a nanosecond left to halve, every attempt gets some time.
            prop_assert!(made == attempts || request >> made == 0);
            if policy.fits(0) {
                prop_assert_eq!(made, attempts);
            }
        }
    }
}
