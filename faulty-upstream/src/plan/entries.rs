//! A plan as a list of entries that can be changed while the upstream runs.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::entry::Entry;

/// A fault plan: entries in order, and the seed that they draw from.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Same seed, same faults.
    pub seed: u64,
    pub(super) entries: Vec<Entry>,
}

impl Plan {
    /// No faults.
    pub fn new(seed: u64) -> Self {
        Plan { seed, entries: Vec::new() }
    }

    /// The entries in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Puts `entry` behind the others.
    ///
    /// # Errors
    /// There is one of that id.
    pub fn add(&mut self, entry: Entry) -> Result<(), String> {
        if self.entries.iter().any(|other| other.id == entry.id) {
            return Err(format!("{:?} is taken by another entry; give it an \"id\" of its own", entry.id));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Takes the entry of that id away.
    ///
    /// # Errors
    /// There is none.
    pub fn remove(&mut self, id: &str) -> Result<(), String> {
        let at = self.find(id)?;
        self.entries.remove(at);
        Ok(())
    }

    /// Arms or disarms the entry of that id.
    ///
    /// # Errors
    /// There is none.
    pub fn arm(&mut self, id: &str, armed: bool) -> Result<(), String> {
        let at = self.find(id)?;
        self.entries[at].armed = armed;
        Ok(())
    }

    /// Entries that are armed here and were not in `before` are so since `now`.
    pub(crate) fn stamp(&mut self, before: &Plan, now: Duration) {
        for entry in self.entries.iter_mut().filter(|entry| entry.armed) {
            let was = before.entries.iter().find(|other| other.id == entry.id && other.armed);
            entry.armed_since = was.map_or(now, |was| was.armed_since);
        }
    }

    /// Every counter is zero again.
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
            .ok_or_else(|| format!("no entry {id:?}{}", crate::param::hint(id, known)))
    }

    /// As it would stand in a file, with counters.
    pub fn to_json(&self) -> Json {
        json!({ "seed": self.seed, "faults": self.entries.iter().map(Entry::to_json).collect::<Vec<_>>() })
    }
}
