//! A recorded scenario carries what was seen on its day, so that playing it can tell what differs.

use std::collections::BTreeMap;

use proxy::config::text::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expectation::UpstreamState;

/// What was seen on the recorded day
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Seen {
    /// One in so many requests was recorded. What is counted is counted of all of them.
    pub one_in: f64,
    /// Requests that ended.
    pub requests: u64,
    /// Of these, the ones that did not end well.
    pub failed: u64,
    /// Requests that took more than one attempt.
    pub failovers: u64,
    /// Attempts of all requests.
    pub attempts: u64,
    /// How requests ended, by the proxy's words.
    pub outcomes: BTreeMap<String, u64>,
    /// Why attempts failed, by the proxy's words.
    pub failures: BTreeMap<String, u64>,
    /// Ejections and recoveries, in order.
    pub turns: Vec<Turn>,
    /// The day in pieces of this length.
    pub piece: Span,
    /// What was seen in each piece, from the first one on.
    pub pieces: Vec<Piece>,
    /// From a request's head to its verdict, of those that ended well.
    pub latency: Percentiles,
    /// What the log did not tell and the recording had to guess, and what the replay leaves out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guessed: Vec<String>,
}

/// An upstream was ejected, or came back
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// When.
    pub at: Span,
    /// Which.
    pub upstream: String,
    /// What it became.
    pub to: UpstreamState,
}

/// A piece of the day
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Piece {
    /// Requests that began in it.
    pub requests: u64,
    /// Of these, the ones that did not end well.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// By which upstream they were served.
    pub served: BTreeMap<String, u64>,
}

/// Percentiles of a length of time
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Percentiles {
    /// Half of them are not above it.
    pub p50: Span,
    /// 90 % of them are not above it.
    pub p90: Span,
    /// 99 % of them are not above it.
    pub p99: Span,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
