//! Reads the proxy's statistics, and keeps snapshots of them.

use std::time::Duration;

use serde::Deserialize;

/// The proxy's statistics at one moment of a run.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Since the run's begin.
    pub(crate) at: Duration,
    pub(crate) statistics: ProxyStatistics,
}

/// The proxy's statistics, as far as verdicts need them.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ProxyStatistics {
    #[serde(default)]
    pub(crate) config_epoch: u64,
    pub(crate) current_requests: u64,
    #[serde(default)]
    pub(crate) rejected_requests: u64,
    pub(crate) total: RequestTotals,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RequestTotals {
    pub(crate) success_requests: u64,
    pub(crate) failed_requests: u64,
    pub(crate) upstream_metrics: Vec<UpstreamStatistics>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct UpstreamStatistics {
    pub(crate) url: String,
    pub(crate) weight: u64,
    pub(crate) enabled: bool,
    pub(crate) healthy: bool,
    /// Milliseconds to its next probe, while it is ejected.
    #[serde(default)]
    pub(crate) probe_in_ms: Option<u64>,
    pub(crate) total_requests: u64,
    pub(crate) failed_requests: u64,
}

impl UpstreamStatistics {
    /// Whether it is the one at `address` (host:port); its whole URL will do as well.
    pub(crate) fn is_at(&self, address: &str) -> bool {
        let authority = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest).trim_end_matches('/');
        authority == address || self.url == address
    }

    /// Its weight while it takes traffic.
    pub(crate) fn live_weight(&self) -> u64 {
        if self.enabled && self.healthy { self.weight } else { 0 }
    }
}
