//! Holds a plan as a list of entries, which can be changed while the upstream runs.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::entry::PlanEntry;

/// A fault plan: entries in order, and the seed of their draws. `plan::parse` reads one from JSON.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The seed. The same seed gives the same faults.
    pub seed: u64,
    pub(super) entries: Vec<PlanEntry>,
}

impl Plan {
    /// Makes a plan without faults.
    pub fn new(seed: u64) -> Self {
        Plan { seed, entries: Vec::new() }
    }

    /// The entries in order.
    pub fn entries(&self) -> &[PlanEntry] {
        &self.entries
    }

    /// Adds `entry` behind the others.
    ///
    /// # Errors
    /// Another entry has its id.
    pub fn add(&mut self, entry: PlanEntry) -> Result<(), String> {
        if self.entries.iter().any(|other| other.id == entry.id) {
            return Err(format!("{:?} is taken by another entry; give it an \"id\" of its own", entry.id));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Removes the entry with that id.
    ///
    /// # Errors
    /// No entry has that id.
    pub fn remove(&mut self, id: &str) -> Result<(), String> {
        let at = self.find(id)?;
        self.entries.remove(at);
        Ok(())
    }

    /// Arms or disarms the entry with that id.
    ///
    /// # Errors
    /// No entry has that id.
    pub fn arm(&mut self, id: &str, armed: bool) -> Result<(), String> {
        let at = self.find(id)?;
        self.entries[at].armed = armed;
        Ok(())
    }

    /// Stamps the entries that are armed here and were not armed in `before`: they are armed since `now`.
    pub(crate) fn stamp_armed(&mut self, before: &Plan, now: Duration) {
        for entry in self.entries.iter_mut().filter(|entry| entry.armed) {
            let was = before.entries.iter().find(|other| other.id == entry.id && other.armed);
            entry.armed_since = was.map_or(now, |was| was.armed_since);
        }
    }

    /// Sets every counter to zero.
    pub fn reset_counters(&mut self) {
        for entry in &mut self.entries {
            entry.struck = 0;
        }
    }

    fn find(&self, id: &str) -> Result<usize, String> {
        let known = self.entries.iter().map(|entry| entry.id.as_str());
        self.entries
            .iter()
            .position(|entry| entry.id == id)
            .ok_or_else(|| format!("no entry {id:?}{}", crate::setting::hint(id, known)))
    }

    /// Writes the plan as it stands in a file, with its counters.
    pub fn to_json(&self) -> Json {
        json!({ "seed": self.seed, "faults": self.entries.iter().map(PlanEntry::to_json).collect::<Vec<_>>() })
    }
}
