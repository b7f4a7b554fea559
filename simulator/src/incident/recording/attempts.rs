//! Attempts are kept until it is known whether their target or their upstream was at fault.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use crate::incident::day::{Behaviour, Came, Outage, host_of};
use crate::record::Finished;
use crate::scenario::HostName;

/// The most requests whose attempts are kept while their outcome is not known.
const MOST_OPEN: usize = 100_000;

/// The most outages of an upstream.
const MOST_OUTAGES: usize = 10_000;

/// An attempt through an upstream.
#[derive(Clone, Debug)]
struct Attempt {
    upstream: String,
    begun: Duration,
    came: Came,
}

/// The attempts of a day.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    open: BTreeMap<u64, Vec<Attempt>>,
    behaviours: BTreeMap<String, Behaviour>,
    outages: BTreeMap<String, Vec<Outage>>,
}

/// The status in a cause such as `status 503: no exit`. Nothing else of a cause is read.
fn status_in(cause: &str) -> Option<u16> {
    cause.strip_prefix("status ")?.get(..3)?.parse().ok().filter(|status| (200..1000).contains(status))
}

/// What came of an attempt that failed like that, for that reason, or that took so long.
pub(super) fn came(failure: Option<&'static str>, cause: Option<&str>, took: Duration) -> Came {
    match failure {
        None => Came::within(took),
        Some(failure) => match cause.and_then(status_in) {
            Some(status) if failure.starts_with("status_") => Came::Status(status),
            _ => Came::Failed(failure),
        },
    }
}

impl Attempts {
    /// A process has ended: what it had open is over, and its successor has all upstreams in.
    pub(super) fn process_ended(&mut self, at: Duration) {
        self.open.clear();
        self.outages
            .values_mut()
            .flatten()
            .filter(|one| one.recovered.is_none())
            .for_each(|one| one.recovered = Some(at));
    }

    /// An attempt of a request, or of the proxy itself, has ended. Tells how many were forgotten because too much was open.
    pub(super) fn ended(&mut self, request: Option<u64>, upstream: &HostName, begun: Duration, came: Came) -> u64 {
        let attempt = Attempt { upstream: upstream.as_str().to_owned(), begun, came };
        let Some(request) = request else {
            self.count(attempt);
            return 0;
        };
        self.open.entry(request).or_default().push(attempt);
        if self.open.len() > MOST_OPEN {
            self.open.pop_first().map_or(0, |(_, forgotten)| forgotten.len() as u64)
        } else {
            0
        }
    }

    fn count(&mut self, attempt: Attempt) {
        self.behaviours.entry(attempt.upstream).or_default().attempt(attempt.begun, attempt.came);
    }

    /// A request was served: whatever failed before was its upstream's doing.
    pub(super) fn served(&mut self, request: u64) {
        for attempt in self.open.get_mut(&request).map(std::mem::take).into_iter().flatten() {
            self.count(attempt);
        }
    }

    /// A request is over that began at `begun`; `line` is what the log says of it. Where the log told of no attempt, they are taken from
    /// there, spread evenly over the time to the verdict.
    pub(super) fn finished(&mut self, end: &Finished, begun: Duration, line: &Json) {
        let told = self.open.remove(&end.request);
        // A target that fails through every upstream says nothing of any.
        if end.blame == Some("target") {
            return;
        }
        match told {
            Some(attempts) => attempts.into_iter().for_each(|attempt| self.count(attempt)),
            None => self.guess(end, begun, line),
        }
    }

    fn guess(&mut self, end: &Finished, begun: Duration, line: &Json) {
        let latency = Duration::from_micros(end.latency_us);
        let causes = line.get("failed_causes").and_then(Json::as_str).unwrap_or_default();
        let causes: Vec<&str> = causes.split("; ").collect();
        let causes = Some(causes).filter(|causes| causes.len() == end.failed_attempts.len()).unwrap_or_default();
        let each = latency / end.attempts.max(1);
        for (number, (url, failure)) in (0..).zip(&end.failed_attempts) {
            let cause = usize::try_from(number).ok().and_then(|number: usize| causes.get(number)).copied();
            let came = came(Some(failure), cause, Duration::ZERO);
            self.count(Attempt { upstream: host_of(url).to_owned(), begun: begun + each * number, came });
        }
        let was_served = end.attempts as usize > end.failed_attempts.len();
        if let Some(url) = end.upstream.as_deref().filter(|_| was_served && end.status > 0) {
            let phases = ["lookup_ms", "tcp_ms", "tls_ms", "reply_ms"];
            let phases: f64 = phases.iter().filter_map(|phase| line.get(*phase).and_then(Json::as_f64)).sum();
            // Lines of other versions have no phases.
            let alone = if phases > 0.0 { Duration::try_from_secs_f64(phases / 1e3).unwrap_or_default() } else { each };
            let took = alone.min(latency);
            let begun = (begun + latency).saturating_sub(took);
            self.count(Attempt { upstream: host_of(url).to_owned(), begun, came: Came::within(took) });
        }
    }

    pub(super) fn ejected(&mut self, upstream: &HostName, at: Duration, failures: u32) {
        let outages = self.outages.entry(upstream.as_str().to_owned()).or_default();
        if outages.len() < MOST_OUTAGES {
            outages.push(Outage { ejected: at, failures, recovered: None });
        }
    }

    pub(super) fn recovered(&mut self, upstream: &HostName, at: Duration) {
        let last = self.outages.get_mut(upstream.as_str()).and_then(|outages| outages.last_mut());
        if let Some(last) = last.filter(|one| one.recovered.is_none()) {
            last.recovered = Some(at);
        }
    }

    /// How each upstream behaved, and when it was out.
    pub(super) fn by_upstream(self) -> BTreeMap<String, (Behaviour, Vec<Outage>)> {
        let mut outages = self.outages;
        let with_outages = |(upstream, behaviour)| {
            let out = outages.remove(&upstream).unwrap_or_default();
            (upstream, (behaviour, out))
        };
        self.behaviours.into_iter().map(with_outages).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_a_cause_and_nothing_else_is() {
        let took = Duration::ZERO;
        assert_eq!(came(Some("status_5xx"), Some("status 503: S3CRET"), took), Came::Status(503));
        assert_eq!(came(Some("status_5xx"), Some("S3CRET"), took), Came::Failed("status_5xx"));
        assert_eq!(came(Some("connect_refused"), Some("status 503"), took), Came::Failed("connect_refused"));
        assert_eq!(came(None, None, Duration::from_millis(3)), Came::Served(2));
    }
}
