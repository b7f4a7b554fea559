//! Cuts a run into periods of unchanged health, and judges the shares in each by the proxy's statistics.

use std::fmt::Write;

use super::weights::{self, HealthPeriod, UpstreamShare};
use super::{Finding, Verdict};
use crate::watch::{ProxyStatistics, Snapshot};

/// Whether nothing that shares follow from changed, as far as the proxy told.
pub(crate) fn is_one_period(snapshots: &[Snapshot]) -> bool {
    periods(snapshots).count() <= 1
}

fn periods(snapshots: &[Snapshot]) -> impl Iterator<Item = &[Snapshot]> {
    snapshots.chunk_by(|a, b| live_weights(&a.statistics) == live_weights(&b.statistics))
}

/// What does not change within a period: the configuration, and the weights of the upstreams that take traffic.
fn live_weights(statistics: &ProxyStatistics) -> (u64, Vec<(&str, u64)>) {
    let upstreams = &statistics.total.upstream_metrics;
    let weights = upstreams.iter().map(|upstream| (upstream.url.as_str(), upstream.live_weight()));
    (statistics.config_epoch, weights.collect())
}

/// Judges each period by the exact bound.
pub(crate) fn by_statistics(snapshots: &[Snapshot]) -> Vec<Verdict> {
    let (mut verdicts, mut all_picks, mut judged_picks) = (Vec::new(), 0, 0);
    for period in periods(snapshots) {
        let [first, .., last] = period else { continue };
        let upstreams = || {
            let before = &first.statistics.total.upstream_metrics;
            before.iter().zip(&last.statistics.total.upstream_metrics)
        };
        let shares: Vec<_> = upstreams()
            .map(|(before, after)| UpstreamShare {
                name: after.url.clone(),
                weight: after.live_weight(),
                picked: after.total_requests.saturating_sub(before.total_requests),
            })
            .collect();
        let is_whole_run = period.len() == snapshots.len();
        if shares.iter().all(|share| share.picked == 0) && verdicts.len() + 1 < snapshots.len() && !is_whole_run {
            continue;
        }
        let failed: u64 =
            upstreams().map(|(before, after)| after.failed_requests.saturating_sub(before.failed_requests)).sum();
        let label = format!("{:.1} s to {:.1} s", first.at.as_secs_f64(), last.at.as_secs_f64());
        // A failed attempt is followed by one that takes no turn; what is in flight at either end is counted later.
        let slack = failed + first.statistics.current_requests + last.statistics.current_requests;
        let picks: u64 = shares.iter().map(|share| share.picked).sum();
        let verdict = weights::exact(&HealthPeriod { label, shares, slack });
        all_picks += picks;
        judged_picks += if verdict.finding == Finding::NotJudgeable { 0 } else { picks };
        verdicts.push(verdict);
    }
    // The period in which a fault begins is never judgeable: attempts fail in it. The others may speak for the run.
    if judged_picks * 2 > all_picks {
        verdicts.retain(|verdict| verdict.finding != Finding::NotJudgeable);
        if let Some(last) = verdicts.last_mut().filter(|_| judged_picks < all_picks) {
            let beside = all_picks - judged_picks;
            let _ = write!(last.text, "; {beside} picks of {all_picks} are in periods that are not judgeable");
        }
    }
    if verdicts.is_empty() {
        verdicts
            .push(Verdict::not_judgeable("weights", "health changed in every snapshot: there is no period to judge"));
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Statistics of two upstreams of weights 3 and 1: picks, whether the second is healthy, requests in flight.
    fn statistics(picks: [u64; 2], healthy: bool, current: u64) -> ProxyStatistics {
        let upstream = |at: usize, healthy: bool| {
            let weight = if at == 0 { 3 } else { 1 };
            serde_json::json!({ "url": format!("u{at}"), "weight": weight, "enabled": true, "healthy": healthy,
                "total_requests": picks[at], "failed_requests": 0 })
        };
        let metrics = [upstream(0, true), upstream(1, healthy)];
        let total = serde_json::json!({ "success_requests": 0, "failed_requests": 0, "upstream_metrics": metrics });
        serde_json::from_value(serde_json::json!({ "current_requests": current, "total": total })).unwrap()
    }

    fn snapshots(statistics: &[ProxyStatistics]) -> Vec<Snapshot> {
        let each = (0..).map(Duration::from_secs).zip(statistics.iter().cloned());
        each.map(|(at, statistics)| Snapshot { at, statistics }).collect()
    }

    fn passed(statistics: &[ProxyStatistics]) -> Vec<bool> {
        by_statistics(&snapshots(statistics)).iter().map(|verdict| verdict.passed()).collect()
    }

    #[test]
    fn each_period_of_unchanged_health_has_its_own_verdict() {
        let healthy = [statistics([10, 5], true, 0), statistics([40, 15], true, 0)];
        assert_eq!(passed(&healthy), [true]);
        // Over all of it the first has 80 of 90: only by period it is right.
        let ejected = [statistics([40, 15], false, 0), statistics([60, 15], false, 0)];
        let back = [statistics([60, 15], true, 0), statistics([90, 25], true, 0)];
        assert_eq!(passed(&[&healthy[..], &ejected, &back].concat()), [true, true, true]);
        let one_period = |statistics: &[ProxyStatistics]| is_one_period(&snapshots(statistics));
        assert!(one_period(&healthy) && one_period(&[]) && !one_period(&[&healthy[..], &ejected].concat()));
        let still_picked = [statistics([40, 15], false, 0), statistics([50, 25], false, 0)];
        assert_eq!(passed(&still_picked), [false]);
    }

    #[test]
    fn a_run_is_judged_by_the_periods_that_can_be() {
        let finding = |statistics: &[ProxyStatistics]| {
            by_statistics(&snapshots(statistics)).iter().map(|verdict| verdict.finding).collect::<Vec<_>>()
        };
        let busy = [statistics([0, 0], true, 9), statistics([30, 10], true, 9)];
        assert_eq!(finding(&busy), [Finding::NotJudgeable]);
        let ejected = |picks: u64| [statistics([30, 10], false, 0), statistics([30 + picks, 10], false, 0)];
        assert_eq!(finding(&[&busy[..], &ejected(10)].concat()), [Finding::NotJudgeable, Finding::Kept]);
        assert_eq!(finding(&[&busy[..], &ejected(90)].concat()), [Finding::Kept]);
    }

    #[test]
    fn requests_in_flight_widen_the_bound() {
        assert_eq!(passed(&[statistics([0, 0], true, 0), statistics([31, 9], true, 0)]), [false]);
        assert_eq!(passed(&[statistics([0, 0], true, 0), statistics([31, 9], true, 1)]), [true]);
    }
}
