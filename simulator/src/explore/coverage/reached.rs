//! What a run has reached is read from its trace.

use std::collections::{BTreeMap, BTreeSet};

use mock_upstreams::journal;

use super::catalogue::{Item, action, fault_item};
use crate::record::{ClientEvent, ProxyEvent, ScenarioEvent, Trace, What};
use crate::scenario::{HostName, PROXY, Scenario};

/// How long behind a reload a fault counts as one during it, in microseconds.
const RELOAD_US: u64 = 1_000_000;

/// What was reached, and in how many runs.
pub type Reached = BTreeMap<Item, u64>;

/// What a run of `scenario` that left `trace` has reached.
pub fn reached(scenario: &Scenario, trace: &Trace) -> BTreeSet<Item> {
    let mut reader = Reader::default();
    for line in &trace.lines {
        reader.at_us = line.at_us;
        match &line.what {
            // What further proxies think of an upstream is another matter.
            What::Proxy(event) if line.host.as_str() == PROXY => reader.proxy(event),
            What::Proxy(_) => {}
            What::Client(ClientEvent::Asked { .. }) => reader.under_way += 1,
            What::Client(ClientEvent::Ended(_)) => reader.under_way = reader.under_way.saturating_sub(1),
            What::Upstream(event) => reader.upstream(&line.host, event),
            What::Scenario(ScenarioEvent::Played { entry, .. }) => {
                if let Some(played) = scenario.timeline.get(*entry) {
                    reader.found("action", action(&played.action));
                }
            }
            What::Scenario(ScenarioEvent::Chance { of, .. }) => reader.found("chance", of),
            What::Scenario(_) => {}
        }
    }
    reader.items
}

/// What the proxy thinks of an upstream, and what it is doing.
type State = (&'static str, &'static str);

#[derive(Default)]
struct Reader {
    items: BTreeSet<Item>,
    at_us: u64,
    under_way: u64,
    ejected: BTreeSet<HostName>,
    opened: BTreeMap<(HostName, u64), State>,
    reloaded_us: Option<u64>,
    drains: bool,
}

impl Reader {
    fn found(&mut self, kind: &str, name: &str) {
        self.items.insert(format!("{kind}/{name}"));
    }

    fn proxy(&mut self, event: &ProxyEvent) {
        match event {
            ProxyEvent::Started { .. } => {
                self.ejected.clear();
                self.drains = false;
            }
            ProxyEvent::Statistics { .. } | ProxyEvent::Page { .. } => return,
            ProxyEvent::AttemptEnded { failure: Some(failure), .. } => self.found("failure", failure),
            ProxyEvent::Blamed { blame, rule, .. } => {
                self.found("blame", blame);
                self.found("rule", rule);
            }
            ProxyEvent::Ejected { upstream, .. } => {
                self.ejected.insert(upstream.clone());
            }
            ProxyEvent::Recovered { upstream, .. } => {
                self.ejected.remove(upstream);
            }
            ProxyEvent::Finished(finished) => {
                self.found("outcome", finished.outcome);
                if let Some(end) = finished.end {
                    self.found("end", end);
                }
            }
            ProxyEvent::Reloaded { .. } => self.reloaded_us = Some(self.at_us),
            ProxyEvent::DrainStarted { .. } => self.drains = true,
            _ => {}
        }
        if let Some(word) = event.word() {
            self.found("event", word);
        }
    }

    fn upstream(&mut self, host: &HostName, event: &journal::Event) {
        let (faults, state) = match event {
            journal::Event::Opened { connection, .. } => {
                self.opened.insert((host.clone(), *connection), self.state(host));
                return;
            }
            journal::Event::Plan { .. } | journal::Event::Closed { .. } => return,
            journal::Event::Listener { faults, .. } => (faults.as_slice(), self.state(host)),
            // A request is written down when it is over, and then the fault may have had its consequences.
            journal::Event::Request(record) => (record.faults.as_slice(), self.state_at(host, record.connection)),
            journal::Event::Struck { fault, .. } => (std::slice::from_ref(fault), self.state(host)),
        };
        for label in faults {
            // `FAULT` or `FAULT@ID`.
            let fault = label.split_once('@').map_or(label.as_str(), |(fault, _)| fault);
            self.items.insert(fault_item(fault, state.0, state.1));
        }
    }

    /// What the proxy thinks of `host` and what it is doing, now.
    fn state(&self, host: &HostName) -> State {
        (if self.ejected.contains(host) { "ejected" } else { "eligible" }, self.situation())
    }

    /// The same as of when that connection to it began.
    fn state_at(&self, host: &HostName, connection: u64) -> State {
        self.opened.get(&(host.clone(), connection)).copied().unwrap_or_else(|| self.state(host))
    }

    fn situation(&self) -> &'static str {
        let reloads = self.reloaded_us.is_some_and(|then| self.at_us <= then + RELOAD_US);
        if self.drains {
            "drain"
        } else if reloads {
            "reload"
        } else if self.under_way <= 1 {
            // The request that is struck is the only one, or a check is.
            "idle"
        } else {
            "normal"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::catalogue;
    use super::*;
    use crate::judge::run;
    use crate::scenario;

    #[test]
    fn what_happened_is_reached_and_stands_in_the_catalogue() {
        let text = r#"{"name": "x", "story": "x", "duration": "6s",
            "proxy": {"health_check": {"failure_threshold": 1, "backoff_base": "1s", "backoff_max": "2s"}},
            "upstreams": [{"name": "a", "plan": {"faults": [{"id": "mine", "fault": "status-407"}]}}, {"name": "b"}],
            "clients": [{"name": "k", "do": "echo", "rate": 5, "until": "6s"}],
            "timeline": [{"at": "4s", "do": "drain"}]}"#;
        let scenario = scenario::parse(text).unwrap();
        let reached = reached(&scenario, &run(&scenario, 1).trace);
        for item in [
            "action/drain",
            "event/ejected",
            "failure/status_407",
            "rule/credentials_refused",
            "blame/upstream",
            "outcome/ok",
            "end/closed",
            "fault/status-407/eligible/idle",
        ] {
            assert!(reached.contains(item), "{item} of {reached:#?}");
        }
        let known = catalogue();
        let unknown: Vec<&Item> = reached.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
