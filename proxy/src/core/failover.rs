//! How many attempts one request may make, and how long each may take.

use std::num::NonZeroU32;
use std::time::Duration;

use super::time::Timestamp;

/// The figures that bound a request's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailoverPolicy {
    /// Attempts of one request at most; `None` for as many as there are upstreams to try.
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
pub enum Stop {
    /// All attempts that were allowed have been made.
    AttemptsUsedUp,
    /// The request's time is over.
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
    /// The budget of a request whose head was complete at `now`, with `candidates` upstreams to try. A lent probe is
    /// an attempt on top: a client must not lose by lending its request.
    pub fn new(policy: FailoverPolicy, candidates: usize, lent_probe: bool, now: Timestamp) -> Self {
        let attempts_left = policy.attempts(candidates).saturating_add(lent_probe.into());
        Budget { policy, attempts_left, deadline: now.after(policy.request_timeout) }
    }

    /// Takes the next attempt out of the budget. It may last half of what remains, the last allowed one all of it.
    ///
    /// # Errors
    /// [`Stop`] where nothing is left.
    pub fn next(&mut self, now: Timestamp) -> Result<Allowance, Stop> {
        let remains = self.deadline.since(now);
        if remains.is_zero() {
            return Err(Stop::DeadlinePassed);
        }
        let left = self.attempts_left.checked_sub(1).ok_or(Stop::AttemptsUsedUp)?;
        self.attempts_left = left;
        let share = if left == 0 { remains } else { remains / 2 };
        Ok(Allowance {
            connect: self.policy.connect_timeout.min(share),
            reply: self.policy.reply_timeout,
            ends: now.after(share),
        })
    }

    /// Whether [`Budget::next`] would give an attempt.
    pub fn allows(&self, now: Timestamp) -> bool {
        self.attempts_left > 0 && !self.deadline.since(now).is_zero()
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
        let allowance = Budget::new(policy(3, 100, 5, 20), 9, false, at(0)).next(at(0)).unwrap();
        assert_eq!((allowance.connect, allowance.reply(at(4))), (secs(5), secs(20)));
    }

    #[test]
    fn an_attempt_takes_half_of_what_remains_and_the_last_all_of_it() {
        let mut budget = Budget::new(policy(3, 40, 99, 99), 9, false, at(0));
        let first = budget.next(at(0)).unwrap();
        assert_eq!((first.connect, first.ends), (secs(20), at(20)));
        assert_eq!(first.reply(at(15)), secs(5), "the reply shares what the connection left");
        assert_eq!(first.reply(at(21)), Duration::ZERO);
        assert_eq!(budget.next(at(20)).unwrap().ends, at(30));
        assert_eq!(budget.next(at(30)).unwrap().ends, at(40));
        assert_eq!(budget.next(at(30)), Err(Stop::AttemptsUsedUp));
        assert_eq!(budget.next(at(40)), Err(Stop::DeadlinePassed));
    }

    #[test]
    fn there_are_as_many_attempts_as_candidates_unless_configured() {
        let attempts = |max, candidates, lent| {
            let mut budget = Budget::new(policy(max, 10, 1, 1), candidates, lent, at(0));
            (0..20).take_while(|_| budget.next(at(0)).is_ok()).count()
        };
        assert_eq!(attempts(0, 5, false), 5);
        assert_eq!(attempts(0, 0, false), 1);
        assert_eq!(attempts(2, 5, false), 2);
        assert_eq!(attempts(1, 5, true), 2, "a lent probe costs the client no attempt");
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
            let mut budget = Budget::new(policy, 0, false, Timestamp::ZERO);
            let mut now = Timestamp::ZERO;
            let mut made = 0;
            while let Ok(allowance) = budget.next(now) {
                made += 1;
                let connected = now.after(allowance.connect);
                prop_assert!(connected <= allowance.ends);
                now = connected.after(allowance.reply(connected));
                prop_assert!(now <= allowance.ends && now <= budget.deadline());
            }
            // As long as there is a nanosecond to halve, nobody goes without.
            prop_assert!(made == attempts || request >> made == 0);
            if policy.fits(0) {
                prop_assert_eq!(made, attempts);
            }
        }
    }
}
