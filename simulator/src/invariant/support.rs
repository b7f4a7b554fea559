//! A sound run and its twins, each with one thing changed.

use crate::director::{self, Played};
use crate::engine::turmoil_net::Sim;
use crate::history::History;
use crate::scenario::{self, Scenario};
use crate::trace::What;

const SOUND: &str = r#"{
    "name": "sound", "story": "All is well.", "duration": "3s",
    "proxy": { "upstream_proxies": [
        { "url": "http://alpha:8080", "weight": 3 },
        { "url": "http://beta:8080", "weight": 2 },
        { "url": "http://gamma:8080", "weight": 1 } ] },
    "upstreams": [ { "name": "alpha" }, { "name": "beta" }, { "name": "gamma" } ],
    "clients": [ { "name": "client", "do": "echo", "requests": 12, "rate": 10 } ]
}"#;

/// A run that can be tampered with.
pub(super) struct Twin {
    pub(super) scenario: Scenario,
    pub(super) played: Played,
}

impl Twin {
    /// One in which every invariant holds.
    pub(super) fn sound() -> Self {
        Self::sound_with("echo")
    }

    /// The same of clients that do something else.
    pub(super) fn sound_with(action: &str) -> Self {
        let scenario = scenario::parse(&SOUND.replace("\"echo\"", &format!("\"{action}\""))).unwrap();
        let played = director::play::<Sim>(&scenario, 1).unwrap();
        let twin = Twin { scenario, played };
        assert_eq!(super::check(&History::new(&twin.scenario, &twin.played)), [], "the sound run is sound");
        twin
    }

    /// The place of the first line that is wanted.
    pub(super) fn find(&self, wanted: impl Fn(&What) -> bool) -> usize {
        self.played.trace.lines.iter().position(|line| wanted(&line.what)).unwrap()
    }

    /// Takes away the first line that is wanted.
    pub(super) fn remove(&mut self, wanted: impl Fn(&What) -> bool) {
        let at = self.find(wanted);
        self.played.trace.lines.remove(at);
    }

    /// Asserts that the invariant of that name does not hold.
    pub(super) fn fires(&self, name: &str) {
        let violations = super::check(&History::new(&self.scenario, &self.played));
        assert!(violations.iter().any(|violation| violation.of == name), "{name} is silent: {violations:#?}");
    }
}
