//! Engines are compared by a few figures of each run.

use std::collections::BTreeMap;

use mock_upstreams::journal;
use serde::Serialize;

use crate::judge::{RunReport, Verdict, Witnesses};
use crate::record::{ClientEvent, ProxyEvent, ScenarioEvent, What, micros};

/// First picks below which a share is chance.
const ENOUGH: u64 = 20;

/// What came of a run, in numbers. The run's own requests behind the story don't count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// How it ended.
    pub verdict: Verdict,
    /// What did not hold first.
    pub first_violation: Option<String>,
    /// Requests that clients made and saw the end of.
    pub requests: usize,
    /// Of these, with every byte as it should be.
    pub ok: usize,
    /// First picks, by upstream.
    pub picks: BTreeMap<String, u64>,
    /// Of these, the ones made while nobody was out. How long an upstream is out follows from the proxy's random back-off, which is
    /// another in each engine.
    pub full_picks: BTreeMap<String, u64>,
    /// Requests that upstreams wrote down as a success.
    pub served: BTreeMap<String, u64>,
    /// Upstreams that were ejected.
    pub ejections: u64,
    /// Upstreams that came back.
    pub recoveries: u64,
    /// Requests that took more than one attempt.
    pub failovers: u64,
    /// Half of the successes were answered within so many microseconds.
    pub p50_us: u64,
    /// 99 % of the successes were answered within so many microseconds.
    pub p99_us: u64,
    /// Milliseconds that passed in its world.
    pub took_ms: u64,
}

impl Default for Figures {
    fn default() -> Self {
        Figures {
            verdict: Verdict::Passed,
            first_violation: None,
            requests: 0,
            ok: 0,
            picks: BTreeMap::new(),
            full_picks: BTreeMap::new(),
            served: BTreeMap::new(),
            ejections: 0,
            recoveries: 0,
            failovers: 0,
            p50_us: 0,
            p99_us: 0,
            took_ms: 0,
        }
    }
}

impl Figures {
    /// Of a run that has its trace.
    pub fn of(report: &RunReport) -> Self {
        let first = report.violations.first().map(|one| format!("{}: {}", one.of, one.text));
        let mut figures = Figures {
            verdict: report.verdict,
            first_violation: first,
            took_ms: report.virtual_ms,
            ..Figures::default()
        };
        let mut answers = Vec::new();
        let lines = report.trace.lines.iter();
        let story =
            lines.take_while(|line| !matches!(&line.what, What::Scenario(ScenarioEvent::Phase { name: "liveness" })));
        let mut members = BTreeMap::new();
        let mut picks = Vec::new();
        for line in story {
            match &line.what {
                What::Proxy(ProxyEvent::EpochStarted { number, members: now, .. }) => {
                    members.insert((&line.host, *number), now.len());
                }
                What::Proxy(ProxyEvent::PickMade { ticket: Some(_), upstream, epoch, .. }) => {
                    *figures.picks.entry(upstream.to_string()).or_default() += 1;
                    picks.push((members.get(&(&line.host, *epoch)).copied().unwrap_or(0), upstream));
                }
                What::Proxy(ProxyEvent::Ejected { .. }) => figures.ejections += 1,
                What::Proxy(ProxyEvent::Recovered { .. }) => figures.recoveries += 1,
                _ => {}
            }
        }
        let all = members.values().copied().max().unwrap_or(0);
        for (_, upstream) in picks.iter().filter(|(members, _)| *members == all) {
            *figures.full_picks.entry(upstream.to_string()).or_default() += 1;
        }
        for line in &report.trace.lines {
            match &line.what {
                What::Client(ClientEvent::Ended(result)) if !Witnesses::is_own(&result.id) => {
                    figures.requests += 1;
                    if result.failure.is_none() {
                        figures.ok += 1;
                        answers.extend(result.answered().map(micros));
                    }
                }
                What::Proxy(ProxyEvent::Finished(end)) if end.attempts > 1 => figures.failovers += 1,
                What::Upstream(journal::Event::Request(record)) => {
                    let own = record.id.as_deref().is_some_and(Witnesses::is_own);
                    if record.status == Some(200) && !own {
                        *figures.served.entry(line.host.to_string()).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        answers.sort_unstable();
        (figures.p50_us, figures.p99_us) = (rank(&answers, 50), rank(&answers, 99));
        figures
    }

    /// Successes among requests, from 0 to 1.
    pub fn success_share(&self) -> f64 {
        share(self.ok as u64, self.requests as u64)
    }

    /// First picks of `upstream` among all that were made while nobody was out.
    pub fn pick_share(&self, upstream: &str) -> f64 {
        share(self.full_picks.get(upstream).copied().unwrap_or(0), self.full_picks.values().sum())
    }

    /// Whether there are enough of these for a share to mean anything.
    pub fn has_picks(&self) -> bool {
        self.full_picks.values().sum::<u64>() >= ENOUGH
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The nearest rank: the least of `sorted` that `percent` of them are not above.
fn rank(sorted: &[u64], percent: usize) -> u64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::run;
    use crate::scenario;

    #[test]
    fn a_run_in_numbers() {
        let text = r#"{"name": "x", "story": "x", "duration": "6s",
            "proxy": {"health_check": {"failure_threshold": 1}},
            "upstreams": [{"name": "a"}, {"name": "b"}],
            "clients": [{"name": "c", "do": "echo", "requests": 40, "rate": 10}],
            "timeline": [{"at": "2050ms", "do": "crash", "host": "a"}]}"#;
        let figures = Figures::of(&run(&scenario::parse(text).unwrap(), 1));
        assert_eq!((figures.requests, figures.ok, figures.failovers, figures.ejections), (40, 40, 1, 1));
        assert_eq!(figures.picks.values().sum::<u64>(), 40);
        assert!(figures.full_picks["a"].abs_diff(figures.full_picks["b"]) <= 1, "{figures:?}");
        assert!(figures.picks["b"] > figures.full_picks["b"] && figures.has_picks(), "{figures:?}");
        assert_eq!(figures.served["a"] + figures.served["b"], 40);
        assert!(figures.p50_us > 0 && figures.p50_us <= figures.p99_us && figures.took_ms > 6000, "{figures:?}");
    }

    #[test]
    fn ranks_are_of_the_sorted() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!((rank(&sorted, 50), rank(&sorted, 99), rank(&[], 50), rank(&[7], 99)), (100, 198, 0, 7));
    }
}
