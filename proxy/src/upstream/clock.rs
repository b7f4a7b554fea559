//! Tells how long the phases of an attempt take.

use crate::core::time::Timestamp;
use crate::event::{Phase, Phases};

/// Which phase of an attempt is under way since when, and how long those before it took.
#[derive(Debug, Default)]
pub(crate) struct PhaseClock {
    phases: Phases,
    under_way: Option<(Phase, Timestamp)>,
}

impl PhaseClock {
    /// The attempt begins anew, with `phase`: what came before, over a connection that had ended, is no part of it.
    pub(crate) fn restart(&mut self, phase: Phase, now: Timestamp) {
        *self = PhaseClock { phases: Phases::default(), under_way: Some((phase, now)) };
    }

    /// `phase` follows.
    pub(crate) fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.stop(now);
        self.under_way = Some((phase, now));
    }

    /// The one that is under way.
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.under_way.map(|(phase, _)| phase)
    }

    /// The attempt has ended, if it has not before: how long everything took.
    pub(crate) fn stop(&mut self, now: Timestamp) -> Phases {
        if let Some((phase, since)) = self.under_way.take() {
            self.phases.set(phase, now.since(since));
        }
        self.phases
    }

    /// What it has told so far.
    pub(crate) fn phases(&self) -> Phases {
        self.phases
    }
}
