//! A scenario may expect something of its run, beyond the laws that always hold.

use proxy::config::text::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::host::PROXY;

/// Something that must come of a run
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Expectation {
    /// How often an upstream is the first pick, within a window.
    Picks {
        /// The upstream.
        upstream: String,
        /// The host of the proxy that tells of it. Left out: `proxy`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proxy: Option<String>,
        /// The exact number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exactly: Option<u64>,
        /// The least number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<u64>,
        /// The greatest number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
        /// Counts picks from this time on. Left out: from the start.
        #[serde(default)]
        from: Span,
        /// Counts picks before this time. Left out: up to the end of the story.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Span>,
    },
    /// How many requests of clients reach an upstream, by its own journal: first picks, failovers and probes together.
    Reached {
        /// The upstream. Left out: any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upstream: Option<String>,
        /// Counts the requests of this client only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<String>,
        /// The exact number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exactly: Option<u64>,
        /// The least number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<u64>,
        /// The greatest number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
        /// Counts requests that begin from this time on. Left out: from the start.
        #[serde(default)]
        from: Span,
        /// Counts requests that begin before this time. Left out: up to the end of the story.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Span>,
    },
    /// An upstream's share of all first picks, within a window.
    Share {
        /// The upstream.
        upstream: String,
        /// The host of the proxy that tells of it. Left out: `proxy`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proxy: Option<String>,
        /// The least share, from 0 to 1.
        #[schemars(range(min = 0, max = 1))]
        at_least: f64,
        /// The greatest share, from 0 to 1.
        #[schemars(range(min = 0, max = 1))]
        at_most: f64,
        /// Counts picks from this time on. Left out: from the start.
        #[serde(default)]
        from: Span,
        /// Counts picks before this time. Left out: up to the end of the story.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Span>,
    },
    /// How many requests of clients end in one way.
    Requests {
        /// How they end: "ok", "failed" (any other way), or loadgen's word for what went wrong.
        outcome: RequestOutcome,
        /// Counts only requests that end in this phase.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phase: Option<FailurePhase>,
        /// Counts only requests that are answered with this status.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Counts the requests of this client only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<String>,
        /// The exact number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exactly: Option<u64>,
        /// The least number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<u64>,
        /// The greatest number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
        /// Counts requests that begin from this time on. Left out: from the start.
        #[serde(default)]
        from: Span,
        /// Counts requests that begin before this time. Left out: up to the end of the story.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Span>,
    },
    /// An upstream is ejected or recovers within a time.
    Turn {
        /// The upstream.
        upstream: String,
        /// The host of the proxy that tells of it. Left out: `proxy`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proxy: Option<String>,
        /// The state that it gets.
        to: UpstreamState,
        /// When the time begins to count.
        after: Span,
        /// How much later than that it happens at the latest.
        within: Span,
    },
    /// An upstream has a state at one time.
    State {
        /// The upstream.
        upstream: String,
        /// The host of the proxy that tells of it. Left out: `proxy`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proxy: Option<String>,
        /// The time.
        at: Span,
        /// The state.
        is: UpstreamState,
    },
    /// Every request that failed over to another upstream has its verdict in time.
    Failover {
        /// The host of the proxy that tells of it. Left out: `proxy`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proxy: Option<String>,
        /// The longest time, from the complete request head to the verdict.
        within: Span,
    },
    /// Every request that succeeds is answered in time.
    Latency {
        /// The longest time, from when the request was due (even if it began later) to the head of its answer.
        at_most: Span,
        /// Counts the requests of this client only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<String>,
    },
    /// An event is in the trace a number of times.
    Seen {
        /// The `event` word of its lines, such as "reload_failed".
        event: String,
        /// The least number of lines.
        #[serde(default = "once")]
        at_least: u64,
        /// The greatest number of lines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
        /// Counts only lines that contain this text as well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<String>,
    },
    /// An event is in the trace of at least one run. If the scenario is played with several seeds, the run of one of them suffices.
    Sometimes {
        /// The `event` word of its lines, such as "ejected".
        event: String,
        /// Counts only lines that contain this text as well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<String>,
    },
}

/// How a request ends
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RequestOutcome {
    /// All bytes came as they should.
    Ok,
    /// Any other end.
    Failed,
    /// The connection to the proxy was refused.
    Refused,
    /// The network of the proxy could not be reached.
    Unreachable,
    /// The answer has another status than 2xx, or than the one that the action asks for.
    Status,
    /// The request took longer than its timeout.
    Timeout,
    /// The connection was reset.
    Reset,
    /// The connection was closed too early, without a reset.
    Cut,
    /// Other bytes came than were sent.
    Corrupt,
    /// What came is not HTTP.
    Malformed,
    /// TLS with the target failed.
    Tls,
    /// The client's machine ran out of something.
    Local,
    /// The run ended before the request did.
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
    /// Doing the TLS handshake with the target.
    Tls,
    /// Moving bytes.
    Data,
}

/// The state of an upstream
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamState {
    /// It takes traffic.
    Eligible,
    /// It takes probes only.
    Ejected,
}

impl Expectation {
    /// The upstream that it is about, if it is about one.
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

    /// The host of the proxy that it is about, if it is about what one proxy tells.
    pub fn proxy(&self) -> Option<&str> {
        match self {
            Expectation::Picks { proxy, .. }
            | Expectation::Share { proxy, .. }
            | Expectation::Turn { proxy, .. }
            | Expectation::State { proxy, .. }
            | Expectation::Failover { proxy, .. } => Some(proxy.as_deref().unwrap_or(PROXY)),
            _ => None,
        }
    }

    /// The client that it is about, if it is about one.
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
