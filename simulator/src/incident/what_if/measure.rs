//! What a run cost its clients and the proxy, in figures.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::incident::day::Sight;
use crate::judge::Witnesses;
use crate::record::{ClientEvent, ProxyEvent, ScenarioEvent, Trace, What};
use crate::scenario::{PROXY, Seen};

/// Figures of one run, by name. One that a run does not have (no ejection, no time to it) is not there.
pub type Figures = BTreeMap<String, f64>;

/// An upstream that fails.
#[derive(Default)]
struct Failing {
    /// The first failure in a row.
    first: Option<Duration>,
    /// The last failure of a request's attempt.
    last: Option<Duration>,
    ejected: Option<Duration>,
}

/// How long outages took to be noticed, and to be over.
#[derive(Default)]
struct Outages {
    by_upstream: BTreeMap<String, Failing>,
    detect: Vec<Duration>,
    avoid: Vec<Duration>,
    restore: Vec<Duration>,
    ejections: u64,
}

impl Outages {
    fn see(&mut self, at: Duration, event: &ProxyEvent) {
        match event {
            ProxyEvent::AttemptEnded { request, upstream, failure, .. } => {
                let one = self.by_upstream.entry(upstream.to_string()).or_default();
                match failure {
                    Some(_) => {
                        one.first.get_or_insert(at);
                        one.last = if request.is_some() { Some(at) } else { one.last };
                    }
                    None if one.ejected.is_none() => *one = Failing::default(),
                    None => {}
                }
            }
            ProxyEvent::Ejected { upstream, .. } => {
                let one = self.by_upstream.entry(upstream.to_string()).or_default();
                one.ejected = Some(at);
                self.ejections += 1;
                self.detect.extend(one.first.map(|first| at - first));
            }
            ProxyEvent::Recovered { upstream, .. } => {
                let one = self.by_upstream.remove(upstream.as_str()).unwrap_or_default();
                self.avoid.extend(one.first.zip(one.last).map(|(first, last)| last.saturating_sub(first)));
                self.restore.extend(one.ejected.map(|ejected| at.saturating_sub(ejected)));
            }
            _ => {}
        }
    }
}

/// The figures of a run, up to the end of its story.
pub fn figures_of(trace: &Trace) -> Figures {
    let (mut sight, mut outages, mut harmed) = (Sight::default(), Outages::default(), 0_u64);
    let mut story = true;
    for line in &trace.lines {
        match &line.what {
            What::Scenario(ScenarioEvent::Phase { name: "liveness" }) => story = false,
            What::Proxy(event) if story && line.host.as_str() == PROXY => {
                sight.see(line.at(), event);
                outages.see(line.at(), event);
            }
            What::Client(ClientEvent::Ended(result)) if !Witnesses::is_own(&result.id) => {
                harmed += u64::from(result.failure.is_some());
            }
            _ => {}
        }
    }
    let (seen, _) = sight.seen();
    let mut figures = of_seen(&seen);
    figures.insert("harmed".to_owned(), harmed as f64);
    figures.insert("ejections".to_owned(), outages.ejections as f64);
    for (name, spans) in [("detect_ms", outages.detect), ("avoid_ms", outages.avoid), ("restore_ms", outages.restore)] {
        if !spans.is_empty() {
            let mean = spans.iter().map(Duration::as_secs_f64).sum::<f64>() / spans.len() as f64;
            figures.insert(name.to_owned(), mean * 1e3);
        }
    }
    figures
}

fn of_seen(seen: &Seen) -> Figures {
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| {
        figures.insert(name.to_owned(), value);
    };
    put("failovers", seen.failovers as f64);
    put("attempts", seen.attempts as f64);
    for (name, span) in [("p50_ms", seen.latency.p50), ("p90_ms", seen.latency.p90), ("p99_ms", seen.latency.p99)] {
        put(name, span.get().as_secs_f64() * 1e3);
    }
    let mut served: BTreeMap<&str, u64> = BTreeMap::new();
    for piece in &seen.pieces {
        piece.served.iter().for_each(|(upstream, count)| *served.entry(upstream).or_default() += count);
    }
    let all: u64 = served.values().sum();
    for (upstream, count) in served {
        put(&format!("share_{upstream}"), count as f64 / all as f64);
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::run;
    use crate::scenario;

    #[test]
    fn an_outage_in_figures() {
        let text = r#"{"name": "x", "story": "x", "duration": "12s",
            "proxy": {"health_check": {"failure_threshold": 2, "backoff_base": "1s", "backoff_max": "1s"}},
            "upstreams": [{"name": "a"}, {"name": "b"}],
            "clients": [{"name": "c", "do": "echo", "requests": 100, "rate": 10}],
            "timeline": [{"at": "2050ms", "do": "crash", "host": "a"}, {"at": "4s", "do": "restart", "host": "a"}]}"#;
        let figures = figures_of(&run(&scenario::parse(text).unwrap(), 1).trace);
        assert_eq!((figures["harmed"], figures["ejections"], figures["failovers"]), (0.0, 1.0, 2.0));
        assert_eq!(figures["attempts"], 102.0);
        // Every second request is its turn.
        assert!((150.0..250.0).contains(&figures["detect_ms"]), "{figures:?}");
        assert!((1500.0..4000.0).contains(&figures["restore_ms"]) && figures["avoid_ms"] < 300.0, "{figures:?}");
        assert!(figures["share_b"] > figures["share_a"] && figures["p50_ms"] > 0.0, "{figures:?}");
    }
}
