//! Looks at the proxy's statistics, again and again, while a run goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use super::settings::Settings;
use crate::report::Stretch;
use crate::watch::{Looks, Upstream, stats};

/// From one look at the proxy's statistics to the next; more often where a fault is timed.
pub(super) const LOOK: Duration = Duration::from_millis(250);
pub(super) const CLOSE_LOOK: Duration = Duration::from_millis(20);

/// How long the proxy, and upstreams' journals, have to come to rest behind the last request.
pub(super) const REST: Duration = Duration::from_secs(5);

/// Looks at the proxy's statistics.
///
/// # Errors
/// It has none where `settings` say, or does not answer.
pub(super) async fn look(settings: &Settings, looks: &mut Looks, at: Duration) -> Result<(), String> {
    let token = settings.workload.users.first().map(|user| user.basic());
    looks.push((at, stats(&settings.proxy, &settings.witnesses.stats, token).await?));
    Ok(())
}

/// Looks once more. A proxy that had no statistics at the first look is not asked again.
pub(super) async fn look_again(settings: &Settings, looks: &mut Looks, at: Duration) -> Result<(), String> {
    if looks.is_empty() { Err("it never answered".to_owned()) } else { look(settings, looks, at).await }
}

/// Fills the shares and ejections of `stretch` from the proxy's statistics; returns weights by name.
pub(super) fn shares(looks: &Looks, from: Duration, stretch: &mut Stretch) -> Vec<(String, u64)> {
    let Some((_, last)) = looks.last() else { return Vec::new() };
    let first = looks.iter().rev().find(|(at, _)| *at <= from).or_else(|| looks.first());
    let before: BTreeMap<&str, u64> = first
        .into_iter()
        .flat_map(|(_, stats)| &stats.total.upstream_metrics)
        .map(|upstream| (upstream.url.as_str(), upstream.total_requests))
        .collect();
    let upstreams = &last.total.upstream_metrics;
    if stretch.shares.is_empty() {
        let share = |upstream: &Upstream| {
            let before = before.get(upstream.url.as_str()).copied().unwrap_or(0);
            (upstream.url.clone(), upstream.total_requests.saturating_sub(before))
        };
        stretch.shares = upstreams.iter().map(share).collect();
    }
    let ejected = upstreams.iter().filter(|upstream| upstream.enabled && !upstream.healthy);
    stretch.ejected = ejected.map(|upstream| upstream.url.clone()).collect();
    upstreams.iter().map(|upstream| (upstream.url.clone(), upstream.weight)).collect()
}
