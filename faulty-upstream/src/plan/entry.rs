//! Holds one entry of a plan: a fault, its settings, and what it strikes when.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::when::{RequestFilter, When};
use crate::draw::Draw;
use crate::fault::Fault;
use crate::setting::SettingValues;

/// One entry of a plan.
#[derive(Clone, Debug)]
pub struct PlanEntry {
    /// Its name in commands and in the journal. No other entry of the plan has the same.
    pub id: String,
    /// The fault.
    pub fault: &'static Fault,
    /// The settings of the fault.
    pub(crate) with: SettingValues,
    /// When it strikes.
    pub when: When,
    /// Which requests it strikes.
    pub(crate) filter: RequestFilter,
    /// Whether it is armed. An entry that is not armed does nothing.
    pub armed: bool,
    /// When it was armed, as time since the upstream's start.
    pub(super) armed_since: Duration,
    /// How often it has struck.
    pub struck: u64,
}

impl PlanEntry {
    /// The fault's name, and behind it `@` and the entry's id where that is another.
    pub fn label(&self) -> String {
        if self.id == self.fault.name { self.id.clone() } else { format!("{}@{}", self.fault.name, self.id) }
    }

    /// When it came into force: it was armed, and its `from` was reached.
    pub(super) fn in_force_since(&self) -> Duration {
        self.when.from.max(self.armed_since)
    }

    /// Writes the entry as it stands in a plan, with its counter.
    pub fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "fault": self.fault.name,
            "with": self.with.to_json(),
            "when": self.when.to_json(),
            "for": self.filter.to_json(),
            "armed": self.armed,
            "struck": self.struck,
        })
    }

    /// Returns the draw for one request if the entry strikes it. Request 0 is the connection before any request.
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
