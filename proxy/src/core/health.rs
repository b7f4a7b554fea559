//! Decides when an upstream is ejected and when it comes back.
//!
//! ```text
//!             failures charged in a row ≥ failure_threshold
//!  eligible ───────────────────────────────────────────────► ejected ──┐ failed attempt: longer back-off
//!     ▲                                                         │  ▲───┘
//!     └─────────────────────────────────────────────────────────┘
//!             successes since the ejection ≥ recovery_threshold
//! ```
//!
//! Results that are older than the present state change nothing: only attempts started after an ejection can end it or
//! lengthen it, and a failure of an attempt started before a recovery no longer counts.

use std::num::NonZeroU32;
use std::time::Duration;

use super::time::Timestamp;
use super::upstream::Attempt;

/// The figures that health follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// Consecutive failures charged to an upstream that eject it.
    pub failure_threshold: NonZeroU32,
    /// Successes of attempts started after the ejection that restore it.
    pub recovery_threshold: NonZeroU32,
    /// The first back-off between an ejection and its probe; doubles with every failed probe.
    pub backoff_base: Duration,
    /// The longest back-off, before jitter of a fifth either way.
    pub backoff_max: Duration,
}

impl HealthPolicy {
    /// The back-off of the given round (0 is the first): doubling, capped, and spread by a fifth either way with
    /// `random`, so that upstreams ejected together are not probed together. Never zero.
    pub fn backoff(&self, round: u32, random: u64) -> Duration {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let factor = 1u64.checked_shl(round).unwrap_or(u64::MAX);
        let whole = nanos(self.backoff_base).saturating_mul(factor).min(nanos(self.backoff_max)).max(1);
        let fifth = whole / 5;
        Duration::from_nanos((whole - fifth).saturating_add(random % (2 * fifth + 1)))
    }
}

/// What an attempt's end says about its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The upstream did its work.
    Success,
    /// The failure is charged to the upstream.
    Failure,
    /// It says nothing about the upstream: the fault was another's or nobody's, or the client went away.
    Neutral,
    /// A tunnel that was opened (and reported as a success then) was reset before any byte of the target: charged to
    /// the upstream. Counted apart from failures to open, since each comes behind a success that would reset those.
    Cut,
    /// A tunnel carried a byte of its target.
    Delivered,
}

/// A change in an upstream's health that others should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It takes no more picks.
    Ejected {
        /// Failures in a row.
        failures: u32,
        /// No probe before this.
        until: Timestamp,
    },
    /// It takes picks again.
    Recovered {
        /// How long it was out.
        after: Duration,
    },
    /// It failed again while ejected and is left alone for longer.
    BackedOff {
        /// No probe before this.
        until: Timestamp,
    },
}

/// An ejection that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// When it began.
    pub since: Timestamp,
    /// No probe before this.
    pub until: Timestamp,
    /// How often the back-off has grown.
    pub round: u32,
    /// A probe is under way.
    pub probing: bool,
    successes: u32,
}

/// The health of one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamHealth {
    failures: u32,
    /// Tunnels cut in a row, with none between them that delivered.
    cuts: u32,
    state: HealthState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HealthState {
    Eligible { recovered: Option<Timestamp> },
    Ejected(Ejection),
}

impl Default for UpstreamHealth {
    /// Eligible, with no failure.
    fn default() -> Self {
        UpstreamHealth { failures: 0, cuts: 0, state: HealthState::Eligible { recovered: None } }
    }
}

impl UpstreamHealth {
    /// It takes picks.
    pub fn is_eligible(&self) -> bool {
        self.ejection().is_none()
    }

    /// Failures charged since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The ejection it is under.
    pub fn ejection(&self) -> Option<Ejection> {
        match self.state {
            HealthState::Eligible { .. } => None,
            HealthState::Ejected(ejection) => Some(ejection),
        }
    }

    /// When a probe may be taken; `None` where none is wanted or one is under way.
    pub fn probe_due(&self) -> Option<Timestamp> {
        self.ejection().filter(|ejection| !ejection.probing).map(|ejection| ejection.until)
    }

    /// Takes the probe if it is due. Whoever gets `true` reports an [`Attempt`] with `probe` set, whatever comes of it.
    pub fn take_probe(&mut self, now: Timestamp) -> bool {
        match &mut self.state {
            HealthState::Ejected(ejection) if !ejection.probing && ejection.until <= now => {
                ejection.probing = true;
                true
            }
            _ => false,
        }
    }

    /// An attempt has ended. `random` spreads the back-off.
    pub fn report(
        &mut self,
        policy: &HealthPolicy,
        attempt: Attempt,
        result: AttemptResult,
        random: u64,
        now: Timestamp,
    ) -> Option<Change> {
        match &mut self.state {
            HealthState::Eligible { recovered } => match result {
                AttemptResult::Success => {
                    self.failures = 0;
                    None
                }
                AttemptResult::Failure if recovered.is_none_or(|at| attempt.started > at) => {
                    self.failures = self.failures.saturating_add(1);
                    (self.failures >= policy.failure_threshold.get()).then(|| self.eject(policy, random, now))
                }
                AttemptResult::Cut if recovered.is_none_or(|at| attempt.started >= at) => {
                    self.cuts = self.cuts.saturating_add(1);
                    (self.cuts >= policy.failure_threshold.get()).then(|| {
                        self.failures = self.failures.max(self.cuts);
                        self.eject(policy, random, now)
                    })
                }
                AttemptResult::Delivered => {
                    self.cuts = 0;
                    None
                }
                AttemptResult::Failure | AttemptResult::Cut | AttemptResult::Neutral => None,
            },
            HealthState::Ejected(ejection) if attempt.started > ejection.since => {
                // A tunnel's end comes behind the report that gave the probe back; another may be under way by then.
                if !matches!(result, AttemptResult::Cut | AttemptResult::Delivered) {
                    ejection.probing &= !attempt.probe;
                }
                match result {
                    AttemptResult::Success => {
                        self.failures = 0;
                        ejection.successes += 1;
                        // The upstream answers, so the next probe need not wait.
                        ejection.until = now;
                        let after = now.since(ejection.since);
                        (ejection.successes >= policy.recovery_threshold.get()).then(|| {
                            self.state = HealthState::Eligible { recovered: Some(now) };
                            Change::Recovered { after }
                        })
                    }
                    AttemptResult::Failure => {
                        self.failures = self.failures.saturating_add(1);
                        ejection.successes = 0;
                        // Only a failed probe lengthens the back-off. While all upstreams are out, last-resort picks fail as
                        // fast as clients ask, and would turn the shortest outage into the longest back-off.
                        attempt.probe.then(|| ejection.back_off(policy, random, now))
                    }
                    // The end of a tunnel says nothing new about an upstream that is out.
                    AttemptResult::Cut | AttemptResult::Delivered => None,
                    AttemptResult::Neutral => {
                        // The next probe waits for the first back-off: at once, it would hammer a dead check endpoint.
                        if attempt.probe {
                            ejection.until = ejection.until.max(now.after(policy.backoff(0, random)));
                        }
                        None
                    }
                }
            }
            HealthState::Ejected(_) => None,
        }
    }

    fn eject(&mut self, policy: &HealthPolicy, random: u64, now: Timestamp) -> Change {
        self.cuts = 0;
        let until = now.after(policy.backoff(0, random));
        let ejection = Ejection { since: now, until, round: 0, probing: false, successes: 0 };
        self.state = HealthState::Ejected(ejection);
        Change::Ejected { failures: self.failures, until }
    }
}

impl Ejection {
    fn back_off(&mut self, policy: &HealthPolicy, random: u64, now: Timestamp) -> Change {
        self.round = self.round.saturating_add(1);
        self.until = now.after(policy.backoff(self.round, random));
        Change::BackedOff { until: self.until }
    }
}

#[cfg(test)]
mod tests;
