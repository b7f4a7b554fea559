//! Holds what happened in one window of time, as a report keeps it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::drive::Tally;

/// What a run met in one window of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Window {
    /// Its begin, in seconds.
    pub at: f64,
    /// How long, in seconds.
    pub span: f64,
    /// Requests that went well.
    pub ok: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Corrected latency in microseconds: p50, p90, p99 and the longest.
    pub latency: [u64; 4],
    /// Requests by upstream, where that is known.
    pub shares: BTreeMap<String, u64>,
    /// Upstreams that were ejected at its end.
    pub ejected: Vec<String>,
}

impl Window {
    /// Makes it from what was counted in it; `at` is its begin.
    pub fn new(at: Duration, span: Duration, tally: &Tally) -> Self {
        let times = tally.corrected.with_slow_failures();
        let micros = |span: Duration| span.as_micros() as u64;
        let latency = [50.0, 90.0, 99.0, 100.0].map(|percent| micros(times.percentile(percent)));
        Window {
            at: at.as_secs_f64(),
            span: span.as_secs_f64(),
            ok: tally.ok,
            errors: tally.errors(),
            latency,
            shares: tally.exits.clone(),
            ejected: Vec::new(),
        }
    }
}
