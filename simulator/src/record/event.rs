//! An event of a run is told by the proxy, an upstream, a client, or the scenario itself.

use mock_upstreams::journal;
use serde::Serialize;

use super::client_event::ClientEvent;
use super::proxy_event::ProxyEvent;

/// An event, by who tells of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum What {
    /// The proxy.
    Proxy(ProxyEvent),
    /// An upstream's journal.
    Upstream(journal::Event),
    /// A client.
    Client(ClientEvent),
    /// The scenario.
    Scenario(ScenarioEvent),
}

/// What a scenario did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ScenarioEvent {
    /// An entry of the timeline was played.
    Played {
        /// Its place in the timeline, from 0.
        entry: usize,
        /// What it does.
        does: String,
    },
    /// Something that was asked for could not be done.
    Failed {
        /// What it was, and why not.
        what: String,
    },
    /// This engine can't do what was asked for.
    Unsupported {
        /// What it was, and why not.
        what: String,
    },
    /// A phase of the run begins.
    Phase {
        /// `safety`, `liveness` or `end`.
        name: &'static str,
    },
}
