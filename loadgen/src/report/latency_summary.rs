//! Summarises a histogram of latencies in figures, as a report keeps it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::drive::LatencyHistogram;
use crate::verdict::threshold::POINTS;

/// A histogram of latencies in figures, all in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LatencySummary {
    /// How many latencies it has.
    pub count: u64,
    /// Their mean.
    pub mean: u64,
    /// Percentiles, maximum and mean by their names.
    pub points: BTreeMap<String, u64>,
    /// Every value that occurred, and how often.
    pub recorded: Vec<(u64, u64)>,
}

impl From<&LatencyHistogram> for LatencySummary {
    fn from(times: &LatencyHistogram) -> Self {
        let micros = |span: Duration| span.as_micros() as u64;
        let point = |name: &&str| {
            let percent = name.strip_prefix('p').and_then(|percent| percent.parse().ok());
            let value = match (*name, percent) {
                (_, Some(percent)) => times.percentile(percent),
                ("mean", _) => times.mean(),
                _ => times.max(),
            };
            ((*name).to_owned(), micros(value))
        };
        let points = POINTS.iter().map(point).collect();
        LatencySummary { count: times.count(), mean: micros(times.mean()), points, recorded: times.recorded() }
    }
}

impl LatencySummary {
    /// A percentile, the maximum or the mean by its name; zero where it has none of that name.
    pub fn point(&self, name: &str) -> Duration {
        Duration::from_micros(self.points.get(name).copied().unwrap_or(0))
    }
}
