//! Finds out before the load whether the witnesses can say what the verdicts need.

use std::time::Duration;

use super::sample::sample;
use super::settings::Settings;
use crate::watch::{ProxyStatistics, Snapshot, UpstreamCounts, upstream_counts};

/// Asks all witnesses once, before the load: the proxy for its statistics, mock upstreams for their counts.
///
/// # Errors
/// A sentence that says which witness is missing, or which flag names something that is not there.
pub(super) async fn ask_all(settings: &Settings) -> Result<(Vec<Snapshot>, Vec<UpstreamCounts>), String> {
    let of = settings.witnesses.statistics.of;
    if settings.verdicts.ledger && !of.counts_requests() {
        return Err(format!(
            "--verify-ledger: the statistics of {} say which upstreams were picked, not how requests ended; leave it out",
            of.name()
        ));
    }
    let mut snapshots = Vec::new();
    if let Err(error) = sample(settings, &mut snapshots, Duration::ZERO).await
        && needs_statistics(settings)
    {
        return Err(format!("the verdicts need the proxy's statistics: {error}; --stats PATH says where they are"));
    }
    check_names(settings, snapshots.first().map(|first| &first.statistics))?;
    let mut counts = Vec::new();
    for (upstream, _) in &settings.witnesses.upstreams {
        counts.push(upstream_counts(upstream).await?);
    }
    Ok((snapshots, counts))
}

/// Whether a verdict can't be given without the proxy's statistics.
fn needs_statistics(settings: &Settings) -> bool {
    let by_statistics = settings.workload.exit_from.is_none() && weighted_upstreams(settings).is_none();
    settings.verdicts.ledger || settings.verdicts.failover || (settings.verdicts.weights && by_statistics)
}

/// Checks that the journals and the victim that `settings` name are there; `first` is what the proxy says of itself.
fn check_names(settings: &Settings, first: Option<&ProxyStatistics>) -> Result<(), String> {
    for path in &settings.witnesses.journals {
        std::fs::File::open(path).map_err(|error| format!("--journal {}: {error}", path.display()))?;
    }
    let upstreams = first.map(|statistics| &statistics.total.upstream_metrics);
    if let (Some(victim), Some(upstreams)) = (&settings.victim, upstreams)
        && !upstreams.iter().any(|upstream| upstream.is_at(victim))
    {
        let known: Vec<_> = upstreams.iter().map(|upstream| upstream.url.as_str()).collect();
        return Err(format!("--victim {victim}: the proxy has no such upstream; it has {}", known.join(", ")));
    }
    Ok(())
}

/// The mock upstreams with their weights, if every one of them has a weight.
pub(super) fn weighted_upstreams(settings: &Settings) -> Option<Vec<(&str, u64)>> {
    let upstreams = &settings.witnesses.upstreams;
    let all: Option<Vec<_>> = upstreams.iter().map(|(name, weight)| Some((name.as_str(), (*weight)?))).collect();
    all.filter(|all| !all.is_empty())
}
