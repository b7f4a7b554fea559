//! What was done to the proxy on the day becomes the timeline of the scenario.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::upstreams::Upstreams;
use crate::incident::day::milliseconds;
use crate::incident::key::Key;
use crate::incident::log::Place;
use crate::incident::notes::Notes;
use crate::incident::settings::{Change, change};
use crate::scenario::{PROXY, Span, UPSTREAM_PORT};

/// The most entries that are told.
const MOST_ENTRIES: usize = 1000;

/// What was done to the proxy.
#[derive(Debug)]
pub(super) struct Timeline {
    entries: Vec<(Duration, Json)>,
    /// The configuration in force, as far as it is known.
    proxy: Json,
    /// Upstreams that a reload has brought, and that the first configuration lacks.
    brought: BTreeSet<String>,
    /// Whether a process runs.
    runs: bool,
    /// How many entries there were before the last start.
    before_start: Option<usize>,
}

impl Timeline {
    pub(super) fn new(proxy: Json) -> Self {
        Timeline { entries: Vec::new(), proxy, brought: BTreeSet::new(), runs: true, before_start: None }
    }

    fn put(&mut self, at: Duration, mut entry: Json, notes: &mut Notes, place: Place) {
        if self.entries.len() >= MOST_ENTRIES {
            return notes
                .count("things that were done to the proxy and are not replayed, because there were too many", place);
        }
        entry["at"] = json!(Span::from(milliseconds(at)));
        self.entries.push((at, entry));
    }

    /// Nothing passes between the proxy and the upstream on `host` in these times.
    pub(super) fn cut(&mut self, host: &str, windows: &[(Duration, Option<Duration>)]) {
        for (from, until) in windows {
            let edges = [(Some(*from), "partition"), (*until, "heal")];
            for (at, does) in edges.into_iter().filter_map(|(at, does)| Some((at?, does))) {
                let entry = json!({ "at": Span::from(milliseconds(at)), "do": does, "between": [PROXY, host] });
                self.entries.push((at, entry));
            }
        }
    }

    /// Another process has started; the one before had written its last line at `last`.
    pub(super) fn restarted(&mut self, last: Duration, at: Duration, notes: &mut Notes, place: Place) {
        self.before_start = Some(self.entries.len());
        if self.runs {
            self.put(last, json!({ "do": "crash", "host": PROXY }), notes, place);
        }
        self.put(at, json!({ "do": "restart", "host": PROXY }), notes, place);
        self.runs = true;
        notes.count("starts of the proxy: each is taken to have the configuration that was in force before it", place);
    }

    /// The process that has just started took over from the one before: to clients nothing has happened. The one before stops accepting,
    /// and may be done, before the other says so.
    pub(super) fn took_over(&mut self) {
        if let Some(before) = self.before_start.take() {
            let since = self.entries.split_off(before);
            self.entries.extend(since.into_iter().filter(|(_, entry)| entry["do"] == "reload"));
        }
        self.runs = true;
    }

    pub(super) fn drained(&mut self, at: Duration, notes: &mut Notes, place: Place) {
        self.put(at, json!({ "do": "drain" }), notes, place);
    }

    /// The process has written that it is done.
    pub(super) fn ended(&mut self) {
        self.runs = false;
    }

    pub(super) fn reload_refused(&mut self, at: Duration, notes: &mut Notes, place: Place) {
        self.put(at, json!({ "do": "reload", "text": "{" }), notes, place);
    }

    /// The configuration was changed as `lines` say.
    pub(super) fn reloaded(
        &mut self,
        at: Duration,
        lines: &[String],
        upstreams: &mut Upstreams,
        key: &Key,
        notes: &mut Notes,
        place: Place,
    ) {
        for line in lines {
            let done = change(line, key).is_some_and(|change| self.apply(change, upstreams));
            if !done {
                notes
                    .count("changes of the configuration that the log does not tell well enough to replay them", place);
            }
        }
        let proxy = self.proxy.clone();
        self.put(at, json!({ "do": "reload", "proxy": proxy }), notes, place);
    }

    /// Whether it could be done.
    fn apply(&mut self, change: Change, upstreams: &mut Upstreams) -> bool {
        match change {
            Change::Field(section, field, value) => {
                self.proxy[section][field] = value;
                true
            }
            Change::Upstream(hash, fields) => {
                let host = upstreams.reloaded(&hash);
                let scheme = if upstreams.speaks_tls(&host) { "https" } else { "http" };
                let url = json!(format!("{scheme}://{host}:{UPSTREAM_PORT}"));
                let Some(entries) = self.proxy["upstream_proxies"].as_array_mut() else { return false };
                let place = entries.iter().position(|entry| entry["url"] == url);
                match (fields, place) {
                    (None, Some(place)) => drop(entries.remove(place)),
                    (None, None) => return false,
                    (Some(fields), place) => {
                        let place = place.unwrap_or_else(|| {
                            entries.push(json!({ "url": url }));
                            if !upstreams.configured().any(|one| one == host) {
                                self.brought.insert(host.clone());
                            }
                            entries.len() - 1
                        });
                        fields.into_iter().for_each(|(name, value)| entries[place][name] = value);
                    }
                }
                true
            }
        }
    }

    /// The upstreams that a reload has brought.
    pub(super) fn brought(&self) -> impl Iterator<Item = &str> {
        self.brought.iter().map(String::as_str)
    }

    /// The entries in order. What is done at the same time stays in the order in which it was told.
    pub(super) fn entries(mut self) -> Vec<Json> {
        self.entries.sort_by_key(|(at, _)| *at);
        self.entries.into_iter().map(|(_, entry)| entry).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
