//! A twin is a sound run in which one thing is changed, to show that a law fires.

use super::law::Law;
use crate::judge::checked::Checked;
use crate::judge::excuse::Excuse;
use crate::judge::history::History;
use crate::record::{RunRecord, What};
use crate::scenario::{self, HostName, Scenario};
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

/// An upstream is ejected and comes back.
const EJECTION: &str = r#"{
    "name": "ejection", "story": "One of two upstreams answers with garbage for a second.", "duration": "6s",
    "proxy": { "health_check": { "failure_threshold": 2, "backoff_base": "1s", "backoff_max": "2s" } },
    "upstreams": [{ "name": "alpha", "plan": { "faults": [{ "fault": "garbage", "when": { "until": "1s" } }] } }, { "name": "beta" }],
    "clients": [{ "name": "client", "do": "echo", "requests": 50, "rate": 10 }]
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
        Self::of_scenario(law, &SOUND.replace("\"echo\"", &format!("\"{action}\"")))
    }

    /// The same of a run in which an upstream is ejected and comes back.
    pub(super) fn of_ejection(law: &'static Law) -> Self {
        Self::of_scenario(law, EJECTION)
    }

    /// The same of another scenario.
    pub(super) fn of_scenario(law: &'static Law, text: &str) -> Self {
        let scenario = scenario::parse(text).unwrap();
        let record = EngineKind::default().play(&scenario, 1).unwrap();
        let twin = Twin { law, scenario, record };
        let checked = twin.checked();
        assert_eq!(checked.violations, [], "the run is sound");
        assert!(checked.cases > 0, "{} has nothing to check", law.name);
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

    /// Has the journal of one upstream appear as that of another.
    pub(super) fn rename_upstream(&mut self, from: &str, to: &str) {
        for line in self.record.trace.lines.iter_mut().filter(|line| matches!(line.what, What::Upstream(_))) {
            if line.host.as_str() == from {
                line.host = HostName::new(to);
            }
        }
    }

    /// What the law says of it.
    pub(super) fn checked(&self) -> Checked {
        self.law.hold(&History::new(&self.scenario, &self.record))
    }

    /// Asserts that the law does not hold.
    pub(super) fn fires(&self) {
        assert!(!self.checked().violations.is_empty(), "{} is silent", self.law.name);
    }

    /// Asserts that the law finds nothing, and that it excuses a case for that reason.
    pub(super) fn excuses(&self, why: Excuse) {
        let checked = self.checked();
        assert_eq!(checked.violations, []);
        assert!(checked.excused.contains_key(&why), "{checked:?}");
    }
}
