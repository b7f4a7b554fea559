//! An event of a run is told by the proxy, an upstream, a client, or the scenario itself.

use mock_upstreams::journal;
use serde::Serialize;

use super::client_event::ClientEvent;
use super::proxy_event::ProxyEvent;
use crate::scenario::HostName;

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
    /// Chance did something to the proxy's machine.
    Chance {
        /// `accept-error`, `dns-failure`, `dns-addresses` or `offload-busy`.
        of: &'static str,
        /// What exactly, such as the name that was looked up.
        what: String,
    },
    /// A phase of the run begins.
    Phase {
        /// `safety`, `liveness`, `convergence` or `end`.
        name: &'static str,
    },
    /// Everything was healed, and the time in which every upstream must have come back is over. The run's own requests follow, as
    /// many as `rounds` whole rounds of the schedule have.
    Converged {
        /// The proxy's upstreams with a weight that it has told to be eligible.
        eligible: Vec<HostName>,
        /// Those that it has not.
        missing: Vec<HostName>,
        /// How long they had, in microseconds.
        limit_us: u64,
        /// First picks in a whole round.
        round: u64,
        /// Rounds that are asked for; none if a round is too long, or if somebody is missing.
        rounds: u64,
    },
}
