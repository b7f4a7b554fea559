//! A twin is a sound run in which one thing is changed, to show that a law fires.

use super::law::{Law, check};
use crate::judge::history::History;
use crate::judge::violation::Violation;
use crate::record::{RunRecord, What};
use crate::scenario::{self, Scenario};
use crate::world::EngineKind;

const SOUND: &str = r#"{
    "name": "sound", "story": "All is well.", "duration": "3s",
    "proxy": { "upstream_proxies": [
        { "url": "http://alpha:8080", "weight": 3 },
        { "url": "http://beta:8080", "weight": 2 },
        { "url": "http://gamma:8080", "weight": 1 } ] },
    "upstreams": [ { "name": "alpha" }, { "name": "beta" }, { "name": "gamma" } ],
    "clients": [ { "name": "client", "do": "echo", "requests": 12, "rate": 10 } ]
}"#;

/// A run that can be tampered with, and the law that is to notice.
pub(super) struct Twin {
    law: &'static Law,
    pub(super) scenario: Scenario,
    pub(super) record: RunRecord,
}

impl Twin {
    /// One in which `law` holds.
    pub(super) fn of(law: &'static Law) -> Self {
        Self::of_clients_that(law, "echo")
    }

    /// The same of clients that do something else.
    pub(super) fn of_clients_that(law: &'static Law, action: &str) -> Self {
        let scenario = scenario::parse(&SOUND.replace("\"echo\"", &format!("\"{action}\""))).unwrap();
        let record = EngineKind::default().play(&scenario, 1).unwrap();
        let twin = Twin { law, scenario, record };
        assert_eq!(twin.violations(), [], "the sound run is sound");
        twin
    }

    /// The place of the first line that is wanted.
    pub(super) fn find(&self, wanted: impl Fn(&What) -> bool) -> usize {
        self.record.trace.lines.iter().position(|line| wanted(&line.what)).unwrap()
    }

    /// Takes away the first line that is wanted.
    pub(super) fn remove(&mut self, wanted: impl Fn(&What) -> bool) {
        let at = self.find(wanted);
        self.record.trace.lines.remove(at);
    }

    /// What the law says of it.
    pub(super) fn violations(&self) -> Vec<Violation> {
        check(&History::new(&self.scenario, &self.record), std::slice::from_ref(self.law))
    }

    /// Asserts that the law does not hold.
    pub(super) fn fires(&self) {
        assert!(!self.violations().is_empty(), "{} is silent", self.law.name);
    }
}
