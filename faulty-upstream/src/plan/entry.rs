//! One entry of a plan: a fault, its settings, and whom it strikes when.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::when::{When, Whom};
use crate::draw::Draw;
use crate::fault::Fault;
use crate::param::Values;

/// One line of a plan.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Names it in commands and journals; one of a kind within a plan.
    pub id: String,
    /// What is done.
    pub fault: &'static Fault,
    /// With which settings.
    pub with: Values,
    /// When.
    pub when: When,
    /// To whom.
    pub whom: Whom,
    /// Disarmed, it does nothing.
    pub armed: bool,
    /// Since when it is armed, counted from the upstream's start.
    pub(super) armed_since: Duration,
    /// How often it has struck.
    pub struck: u64,
}

impl Entry {
    /// The fault's name, and the entry's own where it has one.
    pub fn label(&self) -> String {
        if self.id == self.fault.name { self.id.clone() } else { format!("{}@{}", self.fault.name, self.id) }
    }

    /// When it came into force.
    pub(super) fn begun(&self) -> Duration {
        self.when.from.max(self.armed_since)
    }

    /// As it would stand in a plan, with its counter.
    pub fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "fault": self.fault.name,
            "with": self.with.to_json(),
            "when": self.when.to_json(),
            "for": self.whom.to_json(),
            "armed": self.armed,
            "struck": self.struck,
        })
    }

    /// The draw for one request, if the entry strikes it.
    pub(super) fn strikes(
        &self,
        seed: u64,
        upstream: &str,
        now: Duration,
        connection: u64,
        request: u64,
    ) -> Option<Draw> {
        let mut draw = Draw::new(seed, upstream, &self.id, connection, request);
        (self.armed && self.when.strikes(now, connection, &mut draw)).then_some(draw)
    }
}
