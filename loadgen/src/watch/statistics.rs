//! What the proxy says of itself: its statistics.

use std::time::Duration;

use serde::Deserialize;

use crate::sockets::get;

/// What the proxy said of itself, and when.
pub(crate) type Looks = Vec<(Duration, Stats)>;

/// The proxy's statistics, as far as verdicts need them.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Stats {
    #[serde(default)]
    pub(crate) config_epoch: u64,
    pub(crate) current_requests: u64,
    #[serde(default)]
    pub(crate) rejected_requests: u64,
    pub(crate) total: Totals,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Totals {
    pub(crate) success_requests: u64,
    pub(crate) failed_requests: u64,
    pub(crate) upstream_metrics: Vec<Upstream>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Upstream {
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

impl Upstream {
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

/// The proxy's statistics.
pub(crate) async fn stats(proxy: &str, path: &str, authorization: Option<&str>) -> Result<Stats, String> {
    let body = get(proxy, path, authorization).await?;
    serde_json::from_slice(&body)
        .map_err(|error| format!("http://{proxy}{path} has no statistics of netdrift: {error}"))
}
