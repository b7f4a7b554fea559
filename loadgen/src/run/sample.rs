//! Takes snapshots of the proxy's statistics while a run goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use super::settings::Settings;
use crate::report::Window;
use crate::watch::{Snapshot, UpstreamStatistics};

/// From one snapshot to the next.
pub(super) const SAMPLING: Duration = Duration::from_millis(250);

/// From one snapshot to the next where a fault is timed, or where the run is over and an end is waited for.
pub(super) const CLOSE_SAMPLING: Duration = Duration::from_millis(20);

/// How long the proxy, and upstreams' journals, may take to come to rest behind the last request.
pub(super) const REST: Duration = Duration::from_secs(5);

/// Takes a snapshot.
///
/// # Errors
/// The proxy has no statistics where `settings` say, or does not answer.
pub(super) async fn sample(settings: &Settings, snapshots: &mut Vec<Snapshot>, at: Duration) -> Result<(), String> {
    let token = settings.workload.users.first().map(|user| user.basic());
    let statistics = settings.witnesses.statistics.ask(&settings.proxy, token).await?;
    snapshots.push(Snapshot { at, statistics });
    Ok(())
}

/// Takes a further snapshot. A proxy that had no statistics for the first one is not asked again.
pub(super) async fn sample_again(
    settings: &Settings,
    snapshots: &mut Vec<Snapshot>,
    at: Duration,
) -> Result<(), String> {
    if snapshots.is_empty() { Err("it never answered".to_owned()) } else { sample(settings, snapshots, at).await }
}

/// Fills the shares and ejections of `window` from the proxy's statistics. Returns the weights by upstream.
pub(super) fn fill_shares(snapshots: &[Snapshot], from: Duration, window: &mut Window) -> Vec<(String, u64)> {
    let Some(last) = snapshots.last() else { return Vec::new() };
    let first = snapshots.iter().rev().find(|snapshot| snapshot.at <= from).or_else(|| snapshots.first());
    let before: BTreeMap<&str, u64> = first
        .into_iter()
        .flat_map(|snapshot| &snapshot.statistics.total.upstream_metrics)
        .map(|upstream| (upstream.url.as_str(), upstream.total_requests))
        .collect();
    let upstreams = &last.statistics.total.upstream_metrics;
    if window.shares.is_empty() {
        let share = |upstream: &UpstreamStatistics| {
            let before = before.get(upstream.url.as_str()).copied().unwrap_or(0);
            (upstream.url.clone(), upstream.total_requests.saturating_sub(before))
        };
        window.shares = upstreams.iter().map(share).collect();
    }
    let ejected = upstreams.iter().filter(|upstream| upstream.enabled && !upstream.healthy);
    window.ejected = ejected.map(|upstream| upstream.url.clone()).collect();
    upstreams.iter().map(|upstream| (upstream.url.clone(), upstream.weight)).collect()
}
