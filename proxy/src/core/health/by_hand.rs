//! Takes an upstream out and lets it in by hand, as its failures and its probe would.

use super::{Change, HealthPolicy, UpstreamHealth};
use crate::core::time::Timestamp;

impl UpstreamHealth {
    /// Somebody takes it out by hand: it counts as having failed as often as ejects, and comes back as it would then, by its
    /// probe. `None` where it is ejected already; a suspicion gives way.
    pub fn take_out(&mut self, policy: &HealthPolicy, random: u64, now: Timestamp) -> Option<Change> {
        if self.ejection().is_some_and(|ejection| !ejection.suspected) {
            return None;
        }
        self.failures.count = self.failures.count.max(policy.failure_threshold.get());
        Some(self.eject(policy, random, now))
    }

    /// Somebody lets it back in by hand, without a probe. `None` where it takes picks already.
    pub fn let_in(&mut self, now: Timestamp) -> Option<Change> {
        let after = now.since(self.ejection()?.since);
        *self = Self::anew(now);
        Some(Change::Recovered { after })
    }
}
