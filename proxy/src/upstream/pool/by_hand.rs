//! Takes upstreams out and lets them in by hand.

use super::{Pool, State};
use crate::core::balancer::{Balancer, Transition};
use crate::core::time::Timestamp;
use crate::core::upstream::UpstreamId;
use crate::env::Env;

/// What an ejection by hand says of its cause.
const BY_HAND: &str = "by hand";

/// Who may be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Picking {
    /// With a weight above 0.
    pub(crate) usable: usize,
    /// Of these, not ejected.
    pub(crate) eligible: usize,
}

impl<E: Env> Pool<E> {
    /// Ejects an upstream as its failures would have. `None` where it is ejected already.
    pub(crate) fn take_out(&self, id: UpstreamId) -> Option<()> {
        let (random, now) = (self.env.rand_u64(), self.now());
        self.set_by_hand(id, |balancer, ticket| balancer.take_out(id, ticket, random, now))
    }

    /// Has an upstream take picks again without a probe. `None` where it does.
    pub(crate) fn let_in(&self, id: UpstreamId) -> Option<()> {
        let now = self.now();
        self.set_by_hand(id, |balancer, ticket| balancer.let_in(id, ticket, now))
    }

    /// When the probe of an upstream that is out is due.
    pub(crate) fn probe_due(&self, id: UpstreamId) -> Option<Timestamp> {
        self.state.lock().balancer.health(id)?.probe_due()
    }

    /// How many may be picked.
    pub(crate) fn picking(&self) -> Picking {
        let state: &State = &self.state.lock();
        Picking { usable: state.balancer.usable_count(), eligible: state.balancer.eligible_count() }
    }

    fn set_by_hand(&self, id: UpstreamId, set: impl FnOnce(&mut Balancer, u64) -> Option<Transition>) -> Option<()> {
        let mut state = self.state.lock();
        let changed = self.decide(&mut state, id, false, set)?;
        drop(state);
        self.emit_transition(Some(changed), Some(BY_HAND));
        Some(())
    }
}
