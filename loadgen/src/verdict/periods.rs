//! Shares against weights by the proxy's statistics, each stretch of unchanged health by itself.

use super::Verdict;
use super::weights::{self, Period, Share};
use crate::watch::{Looks, Stats};

/// Whether nothing that shares follow from changed, as far as the proxy told.
pub(crate) fn is_one_period(looks: &Looks) -> bool {
    looks.chunk_by(|a, b| state(&a.1) == state(&b.1)).count() <= 1
}

/// What must not change within a period.
fn state(stats: &Stats) -> (u64, Vec<(&str, u64)>) {
    let upstreams = &stats.total.upstream_metrics;
    (stats.config_epoch, upstreams.iter().map(|upstream| (upstream.url.as_str(), upstream.live_weight())).collect())
}

/// A verdict for each stretch in which neither health nor configuration changed.
pub(crate) fn by_stats(looks: &Looks) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for run in looks.chunk_by(|a, b| state(&a.1) == state(&b.1)) {
        let [(from, first), .., (to, last)] = run else { continue };
        let pairs = || first.total.upstream_metrics.iter().zip(&last.total.upstream_metrics);
        let shares: Vec<_> = pairs()
            .map(|(before, after)| Share {
                name: after.url.clone(),
                weight: after.live_weight(),
                picked: after.total_requests.saturating_sub(before.total_requests),
            })
            .collect();
        if shares.iter().all(|share| share.picked == 0) && verdicts.len() + 1 < looks.len() && looks.len() > run.len() {
            continue;
        }
        let failed: u64 =
            pairs().map(|(before, after)| after.failed_requests.saturating_sub(before.failed_requests)).sum();
        let label = format!("{:.1} s to {:.1} s", from.as_secs_f64(), to.as_secs_f64());
        // A failed attempt is followed by one that takes no turn; what is in flight at either end is counted later.
        let slack = failed + first.current_requests + last.current_requests;
        verdicts.push(weights::exact(&Period { label, shares, slack }));
    }
    if verdicts.is_empty() {
        verdicts.push(Verdict::new("weights", false, "health changed at every look: no period to judge"));
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Statistics of two upstreams of weights 3 and 1: picks, whether the second is healthy, requests in flight.
    fn stats(picks: [u64; 2], healthy: bool, current: u64) -> Stats {
        let upstream = |at: usize, healthy: bool| {
            let weight = if at == 0 { 3 } else { 1 };
            serde_json::json!({ "url": format!("u{at}"), "weight": weight, "enabled": true, "healthy": healthy,
                "total_requests": picks[at], "failed_requests": 0 })
        };
        let metrics = [upstream(0, true), upstream(1, healthy)];
        let total = serde_json::json!({ "success_requests": 0, "failed_requests": 0, "upstream_metrics": metrics });
        serde_json::from_value(serde_json::json!({ "current_requests": current, "total": total })).unwrap()
    }

    fn passed(looks: &[Stats]) -> Vec<bool> {
        let looks: Looks = (0..).map(Duration::from_secs).zip(looks.iter().cloned()).collect();
        by_stats(&looks).iter().map(|verdict| verdict.passed).collect()
    }

    #[test]
    fn each_period_of_unchanged_health_has_its_own_verdict() {
        let healthy = [stats([10, 5], true, 0), stats([40, 15], true, 0)];
        assert_eq!(passed(&healthy), [true]);
        // Over all of it the first has 80 of 90: only by period it is right.
        let ejected = [stats([40, 15], false, 0), stats([60, 15], false, 0)];
        let back = [stats([60, 15], true, 0), stats([90, 25], true, 0)];
        assert_eq!(passed(&[&healthy[..], &ejected, &back].concat()), [true, true, true]);
        let one_period =
            |looks: &[Stats]| is_one_period(&(0..).map(Duration::from_secs).zip(looks.iter().cloned()).collect());
        assert!(one_period(&healthy) && one_period(&[]) && !one_period(&[&healthy[..], &ejected].concat()));
        let still_picked = [stats([40, 15], false, 0), stats([50, 25], false, 0)];
        assert_eq!(passed(&still_picked), [false]);
    }

    #[test]
    fn requests_in_flight_widen_the_bound() {
        assert_eq!(passed(&[stats([0, 0], true, 0), stats([31, 9], true, 0)]), [false]);
        assert_eq!(passed(&[stats([0, 0], true, 0), stats([31, 9], true, 1)]), [true]);
    }
}
