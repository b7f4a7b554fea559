//! Decides when an upstream is ejected and when it comes back.
//!
//! ```text
//!           failure_threshold of the failures in a row are its own for certain
//!  eligible ─────────────────────────────────────────────────────────► ejected ──┐ failed probe: longer back-off
//!   ▲   │                                                               ▲  │  ▲───┘
//!   │   │ failures in a row ≥ failure_threshold                         │  │
//!   │   └──────────────────────────────► suspected ─────────────────────┘  │
//!   │                                        │       failed probe          │
//!   └────────────────────────────────────────┴─────────────────────────────┘
//!           successes since then ≥ recovery_threshold
//! ```
//!
//! What a target could have caused never ejects by itself: it only has the upstream set aside until its probe, which
//! is due at once.
//!
//! News older than the present state changes nothing: only attempts started after an ejection can end it or
//! lengthen it, and a failure of an attempt started before a recovery no longer counts.

mod by_hand;
mod charge;

use std::num::NonZeroU32;
use std::time::Duration;

use super::time::Timestamp;
use super::upstream::Attempt;

pub use charge::Charge;

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
    /// How much of all weight, in percent, may be out at once for what targets could have caused.
    pub max_ejection_percent: u32,
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
    Failure(Charge),
    /// It says nothing: somebody else's fault, nobody's, or the client went away.
    Neutral,
    /// A probe reached the upstream, and nothing could be learned beyond that.
    Reached,
    /// A tunnel carried a byte of its target.
    Delivered,
}

impl AttemptResult {
    /// Whether it can change anything about an upstream that [is sound](UpstreamHealth::is_sound).
    pub const fn concerns_the_sound(self) -> bool {
        matches!(self, AttemptResult::Failure(_) | AttemptResult::Delivered)
    }
}

/// A change in an upstream's health that others should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It takes no more picks until its probe, which is due now.
    Suspected {
        /// Failures in a row.
        failures: u32,
    },
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

/// A time without picks that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ejection {
    /// When it began.
    pub since: Timestamp,
    /// No probe before this.
    pub until: Timestamp,
    /// How often the back-off has grown.
    pub round: u32,
    /// A probe is under way.
    pub probing: bool,
    /// What has to be disproved.
    pub charge: Charge,
    /// Nothing but evidence that a target could have caused; the first probe decides.
    pub suspected: bool,
    /// It was reached since, which did not disprove the charge.
    pub reached: bool,
    /// The last probe had no target to ask for.
    pub without_target: bool,
    successes: u32,
}

/// The health of one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamHealth {
    /// Since the last success.
    failures: Row,
    /// Those of them that only the upstream can have caused. A doubtful failure between them does not end this row; a success does.
    certain: Row,
    /// Tunnels that brought nothing since one last delivered. Each comes behind a success, so they are counted apart.
    empty_tunnels: u32,
    state: HealthState,
}

/// Charges in a row, and the gravest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Row {
    count: u32,
    charge: Charge,
}

impl Row {
    const EMPTY: Row = Row { count: 0, charge: Charge::Unreachable };

    fn add(&mut self, charge: Charge) {
        *self = Row { count: self.count.saturating_add(1), charge: self.charge.max(charge) };
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum HealthState {
    Eligible { recovered: Option<Timestamp> },
    Ejected(Ejection),
}

impl Default for UpstreamHealth {
    /// Eligible, with no failure.
    fn default() -> Self {
        Self::eligible(None)
    }
}

impl UpstreamHealth {
    const fn eligible(recovered: Option<Timestamp>) -> Self {
        let state = HealthState::Eligible { recovered };
        UpstreamHealth { failures: Row::EMPTY, certain: Row::EMPTY, empty_tunnels: 0, state }
    }

    /// Eligible, with no failure; what began before `now` says nothing of it.
    pub const fn anew(now: Timestamp) -> Self {
        Self::eligible(Some(now))
    }

    /// It takes picks.
    pub fn is_eligible(&self) -> bool {
        self.ejection().is_none()
    }

    /// It takes picks, and nothing has failed since the last success: another success would change nothing.
    pub fn is_sound(&self) -> bool {
        self.is_eligible() && (self.failures, self.certain) == (Row::EMPTY, Row::EMPTY)
    }

    /// A request could be served through it now: it takes picks, or nothing that is certain speaks against it as a last
    /// resort.
    pub fn may_serve(&self) -> bool {
        self.ejection().is_none_or(|ejection| ejection.suspected || ejection.reached)
    }

    /// It is out for what targets could have caused.
    pub fn is_out_in_doubt(&self) -> bool {
        self.ejection().is_some_and(|ejection| !ejection.charge.is_certain())
    }

    /// Failures charged since the last success.
    pub fn failures(&self) -> u32 {
        self.failures.count
    }

    /// The ejection it is under, a suspicion included.
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

    /// Takes the probe if it is due, or if only a target was wanting and `has_target` says that there is one now. Whoever gets
    /// `true` reports an [`Attempt`] with `probe` set, whatever comes of it.
    pub fn take_probe(&mut self, has_target: bool, now: Timestamp) -> bool {
        match &mut self.state {
            HealthState::Ejected(ejection)
                if !ejection.probing && (ejection.until <= now || (ejection.wants_target() && has_target)) =>
            {
                ejection.probing = true;
                ejection.without_target = !has_target;
                true
            }
            _ => false,
        }
    }

    /// An attempt has ended. What only the upstream can have caused ejects it here; for the rest see
    /// [`is_suspect`](Self::is_suspect). `random` spreads the back-off.
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
                    (self.failures, self.certain) = (Row::EMPTY, Row::EMPTY);
                    None
                }
                AttemptResult::Failure(charge) if recovered.is_none_or(|at| attempt.started > at) => {
                    self.charged(charge);
                    let enough = self.certain.count >= policy.failure_threshold.get();
                    (charge.is_certain() && enough).then(|| self.eject(policy, random, now))
                }
                AttemptResult::Delivered => {
                    self.empty_tunnels = 0;
                    None
                }
                AttemptResult::Failure(_) | AttemptResult::Neutral | AttemptResult::Reached => None,
            },
            HealthState::Ejected(ejection) if ejection.is_news(attempt) => {
                ejection.probing &= !attempt.probe;
                match result {
                    AttemptResult::Success => ejection.succeed(policy, now),
                    AttemptResult::Reached if ejection.charge == Charge::Unreachable => ejection.succeed(policy, now),
                    AttemptResult::Failure(charge) => {
                        self.failures.add(charge);
                        let failures = self.failures.count;
                        ejection.fail(policy, (charge, failures), attempt.probe, random, now)
                    }
                    AttemptResult::Delivered => None,
                    AttemptResult::Reached | AttemptResult::Neutral => {
                        ejection.reached |= result == AttemptResult::Reached;
                        // Once more after the first back-off: at once would hammer a check endpoint that is itself dead.
                        if attempt.probe {
                            ejection.until = ejection.until.max(now.after(policy.backoff(0, random)));
                        }
                        None
                    }
                }
                .inspect(|change| {
                    if matches!(change, Change::Recovered { .. }) {
                        *self = Self::eligible(Some(now));
                    }
                })
            }
            HealthState::Ejected(_) => None,
        }
    }

    fn charged(&mut self, charge: Charge) {
        if charge == Charge::EmptyTunnel {
            self.empty_tunnels = self.empty_tunnels.saturating_add(1);
        } else {
            self.failures.add(charge);
        }
        if charge.is_certain() {
            self.certain.add(charge);
        }
    }

    /// Whether it takes picks although enough has failed, or come to nothing, that targets could have caused.
    pub fn is_suspect(&self, policy: &HealthPolicy) -> bool {
        self.is_eligible() && self.failures.count.max(self.empty_tunnels) >= policy.failure_threshold.get()
    }

    /// Sets a suspect aside: its first probe, which is due now, decides.
    pub fn suspect(&mut self, policy: &HealthPolicy, now: Timestamp) -> Change {
        let empty = self.empty_tunnels >= policy.failure_threshold.get();
        let charge = if empty { Charge::EmptyTunnel } else { self.failures.charge };
        self.leave(charge, true, (now, now));
        Change::Suspected { failures: self.failures.count }
    }

    fn eject(&mut self, policy: &HealthPolicy, random: u64, now: Timestamp) -> Change {
        let until = now.after(policy.backoff(0, random));
        self.leave(self.certain.charge, false, (now, until));
        Change::Ejected { failures: self.failures.count, until }
    }

    fn leave(&mut self, charge: Charge, suspected: bool, (since, until): (Timestamp, Timestamp)) {
        self.failures.count = self.failures.count.max(std::mem::take(&mut self.empty_tunnels));
        self.state = HealthState::Ejected(Ejection {
            since,
            until,
            round: 0,
            probing: false,
            charge,
            suspected,
            reached: false,
            without_target: false,
            successes: 0,
        });
    }
}

impl Ejection {
    /// A probe of a target is wanted as soon as there is one. Once a target was asked for, the next probe waits for the back-off
    /// again, whatever came of that one.
    pub fn wants_target(&self) -> bool {
        self.reached && self.without_target && !self.probing
    }

    /// Whether `attempt` began under it. A probe always did, though maybe in the same instant.
    fn is_news(&self, attempt: Attempt) -> bool {
        attempt.started > self.since || (attempt.probe && attempt.started == self.since)
    }

    fn succeed(&mut self, policy: &HealthPolicy, now: Timestamp) -> Option<Change> {
        self.successes += 1;
        // It answers, so the next probe need not wait.
        self.until = now;
        let after = now.since(self.since);
        (self.successes >= policy.recovery_threshold.get()).then_some(Change::Recovered { after })
    }

    fn fail(
        &mut self,
        policy: &HealthPolicy,
        (charge, failures): (Charge, u32),
        probe: bool,
        random: u64,
        now: Timestamp,
    ) -> Option<Change> {
        self.successes = 0;
        self.reached &= charge != Charge::Unreachable;
        // Of a probe alone: last-resort picks while everybody is out come as fast as clients ask, and would have the
        // shortest outage end in the longest back-off.
        if !probe {
            return None;
        }
        self.reached = false;
        self.charge = self.charge.max(charge);
        if std::mem::take(&mut self.suspected) {
            self.until = now.after(policy.backoff(0, random));
            return Some(Change::Ejected { failures, until: self.until });
        }
        self.round = self.round.saturating_add(1);
        self.until = now.after(policy.backoff(self.round, random));
        Some(Change::BackedOff { until: self.until })
    }
}

#[cfg(test)]
mod tests;
