//! Says what a scenario leaves to chance: the order of tasks, and what the proxy's machine does with sockets, names and offloaded jobs.

use std::num::NonZeroUsize;

use proxy::config::text::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::left_out::is_default;

/// What is left to chance
///
/// Shares are from 0 to 1. The seed decides what they hit. The first three cost no time, and look to clients like a busy machine; the others
/// are faults of the proxy's machine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Chance {
    /// The share of cases in which a task that is ready lets the other ready tasks run first. Left out: drawn from the seed; it may be 0.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_order: Option<f64>,
    /// The share of cases in which a task that has run and waits is woken once more for nothing. Left out: drawn from the seed.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spurious_wakeups: Option<f64>,
    /// The share of the proxy's reads and writes that move only some of the bytes. Left out: drawn from the seed.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_io: Option<f64>,
    /// The share of the proxy's calls of accept(2) that fail, as they do when descriptors run out. The connection stays in the backlog.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "is_default")]
    pub accept_errors: f64,
    /// How many connections the proxy can hold at once, those of clients and those to upstreams together. When they are used up, accept(2)
    /// and connect(2) fail as they do without descriptors. Left out: as many as it likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<NonZeroUsize>,
    /// The share of the proxy's name lookups that fail.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "is_default")]
    pub dns_failures: f64,
    /// The longest that a name lookup takes; each time is drawn.
    #[serde(skip_serializing_if = "is_default")]
    pub dns_delay: Span,
    /// The share of name lookups whose answer has more addresses: IPv6 addresses, addresses that refuse, and addresses that never answer.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "is_default")]
    pub dns_addresses: f64,
    /// The longest that an offloaded job, such as checking a password's hash, waits before it runs; each time is drawn.
    #[serde(skip_serializing_if = "is_default")]
    pub offload_delay: Span,
    /// The share of offloaded jobs that are refused because the queue is full.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "is_default")]
    pub offload_busy: f64,
}
