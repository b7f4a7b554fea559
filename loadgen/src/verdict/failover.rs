//! Judges what a fault in the middle of a run cost: how soon it was detected and avoided, how many requests failed, how soon all was well.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Verdict;
use crate::watch::Snapshot;

/// What the proxy says of the victim at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VictimSample {
    /// Since the run's begin.
    pub(crate) at: Duration,
    /// Whether the proxy thinks it fit for traffic.
    pub(crate) healthy: bool,
    /// Attempts that went through it and failed, probes included.
    pub(crate) failed: u64,
    /// The time to its next probe, while it is ejected.
    pub(crate) probe_in: Option<Duration>,
}

impl VictimSample {
    /// What `snapshot` says of the upstream at `victim`; `None` where it is not among the proxy's.
    pub(crate) fn of(victim: &str, snapshot: &Snapshot) -> Option<Self> {
        let upstreams = &snapshot.statistics.total.upstream_metrics;
        let upstream = upstreams.iter().find(|upstream| upstream.is_at(victim))?;
        Some(VictimSample {
            at: snapshot.at,
            healthy: upstream.healthy,
            failed: upstream.failed_requests,
            probe_in: upstream.probe_in_ms.map(Duration::from_millis),
        })
    }
}

/// What the fault cost, in figures. `None`: that was never reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverFigures {
    /// From the fault to the ejection.
    pub detect: Option<Duration>,
    /// From the fault to the last attempt, probes apart, that failed there before the fault was over.
    pub avoid: Option<Duration>,
    /// From the fault's end to the recovery.
    pub restore: Option<Duration>,
    /// Requests of this client that failed from the fault on.
    pub harmed: u64,
}

/// Reads the figures off the victim's `samples`, which are in order, for a fault that lasted from `began` to `ended`.
pub(crate) fn figures(
    samples: &[VictimSample],
    began: Duration,
    ended: Option<Duration>,
    harmed: u64,
) -> FailoverFigures {
    let ejected = samples.iter().find(|sample| sample.at >= began && !sample.healthy);
    let until = ended.unwrap_or(Duration::MAX);
    let last_failure = last_failure(samples.iter().filter(|sample| sample.at <= until), began);
    let restored = ended.and_then(|ended| {
        let from = ejected?.at.max(ended);
        samples.iter().find(|sample| sample.at >= from && sample.healthy).map(|sample| sample.at - ended)
    });
    FailoverFigures {
        detect: ejected.map(|sample| sample.at - began),
        // Ejected without a failed request of ours: the proxy's own checks were quicker.
        avoid: ejected.map(|sample| last_failure.unwrap_or(sample.at).saturating_sub(began)),
        restore: restored,
        harmed,
    }
}

/// When the last attempt that was no probe failed, from `began` on.
fn last_failure<'a>(samples: impl Iterator<Item = &'a VictimSample>, began: Duration) -> Option<Duration> {
    let (mut before, mut probes, mut most, mut last): (Option<&VictimSample>, u64, u64, _) = (None, 0, 0, None);
    for sample in samples {
        // The time to the next probe only ever runs down, but for a probe that failed.
        probes +=
            u64::from(before.is_some_and(|before| before.probe_in.is_some() && sample.probe_in > before.probe_in));
        // A failed probe may show in either figure first.
        let failed = sample.failed.saturating_sub(probes);
        if before.is_some() && failed > most && sample.at >= began {
            last = Some(sample.at);
        }
        most = most.max(failed);
        before = Some(sample);
    }
    last
}

impl FailoverFigures {
    /// Judges without further thresholds: the fault was detected and avoided, nobody was harmed, and the victim came back if
    /// the fault was `healed`.
    pub(crate) fn judge(&self, healed: bool) -> Vec<Verdict> {
        let show = |span: Option<Duration>| span.map_or_else(|| "never".to_owned(), crate::quantity::show);
        let mut verdicts = vec![
            Verdict::new("failover detected", self.detect.is_some(), format!("ejected after: {}", show(self.detect))),
            Verdict::new("failover avoided", self.avoid.is_some(), format!("last failure after: {}", show(self.avoid))),
            Verdict::new("failover harmed", self.harmed == 0, format!("{} requests failed, bound 0", self.harmed)),
        ];
        if healed {
            let text = format!("restored after: {}", show(self.restore));
            verdicts.push(Verdict::new("failover restored", self.restore.is_some(), text));
        }
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, healthy: bool, failed: u64) -> VictimSample {
        VictimSample { at: Duration::from_millis(at), healthy, failed, probe_in: None }
    }

    #[test]
    fn the_figures_are_read_off_the_samples() {
        let samples = [
            sample(0, true, 0),
            sample(100, true, 2),
            sample(200, false, 3),
            sample(300, false, 3),
            sample(500, false, 4),
            sample(600, true, 4),
        ];
        let millis = |ms| Some(Duration::from_millis(ms));
        let found = figures(&samples, Duration::from_millis(90), millis(400), 7);
        assert_eq!(found, FailoverFigures { detect: millis(110), avoid: millis(110), restore: millis(200), harmed: 7 });
        assert_eq!(found.judge(true).iter().filter(|verdict| !verdict.passed()).count(), 1);
    }

    #[test]
    fn a_failed_probe_is_no_attempt_to_avoid() {
        let ejected = |at, failed, probe_in| VictimSample {
            probe_in: Some(Duration::from_millis(probe_in)),
            ..sample(at, false, failed)
        };
        let samples = [
            sample(0, true, 0),
            ejected(100, 3, 200),
            // It was under way when the upstream was ejected.
            ejected(200, 4, 100),
            ejected(300, 4, 0),
            ejected(400, 5, 350),
            ejected(700, 5, 50),
            ejected(800, 6, 700),
        ];
        let found = figures(&samples, Duration::ZERO, None, 0);
        assert_eq!((found.detect, found.avoid), (Some(Duration::from_millis(100)), Some(Duration::from_millis(200))));
    }

    #[test]
    fn what_never_happened_has_no_figure() {
        let found = figures(&[sample(0, true, 0), sample(100, true, 0)], Duration::ZERO, None, 0);
        assert_eq!(found, FailoverFigures::default());
        assert_eq!(found.judge(true).iter().filter(|verdict| !verdict.passed()).count(), 3);
    }
}
