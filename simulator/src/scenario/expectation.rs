//! A scenario may expect something of its run, beyond the laws that always hold.

use proxy::config::text::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that must come of a run
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Expectation {
    /// So many first picks of an upstream, within a window.
    Picks {
        /// Whose.
        upstream: String,
        /// Exactly so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exactly: Option<u64>,
        /// At least so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<u64>,
        /// At most so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
        /// Picks from then on. Left out: from the start.
        #[serde(default)]
        from: Span,
        /// Picks before then. Left out: up to the end of the story.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Span>,
    },
    /// So many requests of clients reached an upstream, by its own journal; first picks, failovers and probes alike.
    Reached {
        /// Which. Left out: any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upstream: Option<String>,
        /// Requests of this client only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<String>,
        /// Exactly so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exactly: Option<u64>,
        /// At least so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<u64>,
        /// At most so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
        /// Requests that began from then on. Left out: from the start.
        #[serde(default)]
        from: Span,
        /// Requests that began before then. Left out: up to the end of the story.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Span>,
    },
    /// An upstream's share of all first picks, within a window.
    Share {
        /// Whose.
        upstream: String,
        /// From 0 to 1.
        #[schemars(range(min = 0, max = 1))]
        at_least: f64,
        /// From 0 to 1.
        #[schemars(range(min = 0, max = 1))]
        at_most: f64,
        /// Picks from then on. Left out: from the start.
        #[serde(default)]
        from: Span,
        /// Picks before then. Left out: up to the end of the story.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Span>,
    },
    /// So many requests of clients end in one way.
    Requests {
        /// How: "ok", "failed" (anything else), or loadgen's word for what went wrong.
        outcome: RequestOutcome,
        /// In this phase only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phase: Option<FailurePhase>,
        /// Answered with this status only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Of this client only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<String>,
        /// Exactly so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exactly: Option<u64>,
        /// At least so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<u64>,
        /// At most so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
        /// Requests that began from then on. Left out: from the start.
        #[serde(default)]
        from: Span,
        /// Requests that began before then. Left out: up to the end of the story.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Span>,
    },
    /// An upstream is ejected, or recovers, in time.
    Turn {
        /// Which.
        upstream: String,
        /// To what.
        to: UpstreamState,
        /// Counted from then.
        after: Span,
        /// No later than so long behind that.
        within: Span,
    },
    /// An upstream stands so at a time.
    State {
        /// Which.
        upstream: String,
        /// When.
        at: Span,
        /// How.
        is: UpstreamState,
    },
    /// Every request that was served by another than its first upstream had its verdict in time.
    Failover {
        /// From its complete head.
        within: Span,
    },
    /// Every success had its answer in time.
    Latency {
        /// From when it was due, also where it began later, to the answer's head.
        at_most: Span,
        /// Of this client only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<String>,
    },
    /// Something is told of, by its `event` word in the trace.
    Seen {
        /// The word, such as "reload_failed".
        event: String,
        /// At least so often.
        #[serde(default = "once")]
        at_least: u64,
        /// At most so often.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
        /// The line must contain this text as well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<String>,
    },
    /// Something is told of in at least one of the runs of this scenario: in one of its seeds, if there are several.
    Sometimes {
        /// The word, such as "ejected".
        event: String,
        /// The line must contain this text as well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<String>,
    },
}

/// How a request ends
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RequestOutcome {
    /// Every byte came as it should.
    Ok,
    /// Anything else.
    Failed,
    /// No connection: it was refused.
    Refused,
    /// No connection: the network could not be reached.
    Unreachable,
    /// An answer with another status than was hoped for.
    Status,
    /// Nothing came in time.
    Timeout,
    /// The connection was reset.
    Reset,
    /// The connection ended before its time, in order.
    Cut,
    /// Other bytes came than must have.
    Corrupt,
    /// What came is not HTTP.
    Malformed,
    /// TLS with the target failed.
    Tls,
    /// The client's machine ran out of something.
    Local,
    /// The run was over first.
    Unfinished,
}

/// Where a request ends
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum FailurePhase {
    /// Connecting to the proxy.
    Connect,
    /// Waiting for the answer's head.
    Reply,
    /// Shaking hands with the target.
    Tls,
    /// Moving bytes.
    Data,
}

/// How an upstream stands
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamState {
    /// It takes traffic.
    Eligible,
    /// It takes none but probes.
    Ejected,
}

impl Expectation {
    /// The upstream it is about, where it is about one.
    pub fn upstream(&self) -> Option<&str> {
        match self {
            Expectation::Picks { upstream, .. }
            | Expectation::Share { upstream, .. }
            | Expectation::Turn { upstream, .. }
            | Expectation::State { upstream, .. } => Some(upstream),
            Expectation::Reached { upstream, .. } => upstream.as_deref(),
            _ => None,
        }
    }

    /// The client it is about, where it is about one.
    pub fn client(&self) -> Option<&str> {
        match self {
            Expectation::Requests { client, .. }
            | Expectation::Latency { client, .. }
            | Expectation::Reached { client, .. } => client.as_deref(),
            _ => None,
        }
    }
}

const fn once() -> u64 {
    1
}
