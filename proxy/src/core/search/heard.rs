//! What has to come of what is heard of one upstream: told a second time, after ARCHITECTURE.md ("The pure core", "Probes").

use std::time::Duration;

use crate::core::health::{AttemptResult, Charge, HealthPolicy};
use crate::core::time::Timestamp;
use crate::core::upstream::Attempt;

/// What was heard of one upstream.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// What began before says nothing of it.
    pub(super) since: Option<Timestamp>,
    /// Failures since the last success, and the gravest.
    pub(super) row: (u32, Option<Charge>),
    /// Those of them that are certain.
    pub(super) certain: (u32, Option<Charge>),
    pub(super) empty_tunnels: u32,
    pub(super) out: Option<Out>,
}

/// An upstream that takes no picks.
#[derive(Clone, Debug)]
pub(super) struct Out {
    pub(super) since: Timestamp,
    /// No probe before.
    pub(super) until: Timestamp,
    pub(super) round: u32,
    pub(super) probing: bool,
    pub(super) charge: Charge,
    pub(super) suspected: bool,
    pub(super) reached: bool,
    /// The last probe had no target to ask for.
    pub(super) without_target: bool,
    pub(super) successes: u32,
}

/// What a report must bring about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Due {
    Nothing,
    Suspected(u32),
    /// With the round of its back-off.
    Ejected(u32),
    BackedOff(u32),
    Recovered(Duration),
    /// The probe comes again after the first back-off.
    Postponed,
}

impl Heard {
    /// What has to come of it.
    pub(super) fn hear(
        &mut self,
        policy: &HealthPolicy,
        attempt: Attempt,
        result: AttemptResult,
        may_be_suspected: bool,
        now: Timestamp,
    ) -> Due {
        match &mut self.out {
            None => self.hear_eligible(policy, attempt, result, may_be_suspected, now),
            // Only what began under it is news of it.
            Some(out) if attempt.started > out.since || (attempt.probe && attempt.started == out.since) => {
                if matches!(result, AttemptResult::Failure(_)) {
                    self.row.0 += 1;
                }
                let due = out.hear(policy, attempt, result, now);
                if matches!(due, Due::Recovered(_)) {
                    *self = Heard { since: Some(now), ..Heard::default() };
                }
                due
            }
            Some(_) => Due::Nothing,
        }
    }

    fn hear_eligible(
        &mut self,
        policy: &HealthPolicy,
        attempt: Attempt,
        result: AttemptResult,
        may_be_suspected: bool,
        now: Timestamp,
    ) -> Due {
        match result {
            AttemptResult::Success => (self.row, self.certain) = ((0, None), (0, None)),
            AttemptResult::Delivered => self.empty_tunnels = 0,
            AttemptResult::Failure(charge) if self.since.is_none_or(|since| attempt.started > since) => {
                let add = |row: &mut (u32, Option<Charge>)| *row = (row.0 + 1, row.1.max(Some(charge)));
                match charge {
                    Charge::EmptyTunnel => self.empty_tunnels += 1,
                    _ => add(&mut self.row),
                }
                if charge.is_certain() {
                    add(&mut self.certain);
                }
                return self.judge(policy, may_be_suspected, now);
            }
            _ => {}
        }
        Due::Nothing
    }

    /// Enough that is certain ejects; enough of anything has it set aside until a probe, if it may be.
    fn judge(&mut self, policy: &HealthPolicy, may_be_suspected: bool, now: Timestamp) -> Due {
        let enough = policy.failure_threshold.get();
        let is_certain = self.certain.0 >= enough;
        let charge = match () {
            () if is_certain => self.certain.1,
            () if may_be_suspected && self.empty_tunnels >= enough => Some(Charge::EmptyTunnel),
            () if may_be_suspected && self.row.0 >= enough => self.row.1,
            () => None,
        };
        let Some(charge) = charge else { return Due::Nothing };
        self.row.0 = self.row.0.max(std::mem::take(&mut self.empty_tunnels));
        self.out = Some(Out {
            since: now,
            until: now,
            round: 0,
            probing: false,
            charge,
            suspected: !is_certain,
            reached: false,
            without_target: false,
            successes: 0,
        });
        if is_certain { Due::Ejected(0) } else { Due::Suspected(self.row.0) }
    }
}

impl Out {
    /// Only a target is wanting: it was reached, and the last probe could do no more than that.
    pub(super) fn wants_target(&self) -> bool {
        self.reached && self.without_target && !self.probing
    }

    fn hear(&mut self, policy: &HealthPolicy, attempt: Attempt, result: AttemptResult, now: Timestamp) -> Due {
        if attempt.probe {
            self.probing = false;
        }
        match result {
            AttemptResult::Success => self.works(policy, now),
            AttemptResult::Reached if self.charge == Charge::Unreachable => self.works(policy, now),
            AttemptResult::Failure(charge) => {
                self.successes = 0;
                self.reached &= charge != Charge::Unreachable && !attempt.probe;
                if !attempt.probe {
                    return Due::Nothing;
                }
                self.charge = self.charge.max(charge);
                if std::mem::take(&mut self.suspected) {
                    return Due::Ejected(self.round);
                }
                self.round += 1;
                Due::BackedOff(self.round)
            }
            AttemptResult::Reached | AttemptResult::Neutral => {
                self.reached |= result == AttemptResult::Reached;
                if attempt.probe { Due::Postponed } else { Due::Nothing }
            }
            AttemptResult::Delivered => Due::Nothing,
        }
    }

    fn works(&mut self, policy: &HealthPolicy, now: Timestamp) -> Due {
        self.successes += 1;
        self.until = now;
        if self.successes < policy.recovery_threshold.get() {
            return Due::Nothing;
        }
        Due::Recovered(now.since(self.since))
    }
}
