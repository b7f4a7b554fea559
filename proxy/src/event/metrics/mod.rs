//! Counts what the proxy tells of itself, and shows it to Prometheus.
//!
//! The counters hear the same events as the log, so that the two can't disagree. Labels are words of ours and names of the
//! configuration: nothing that a client or a target can choose.

mod catalogue;
mod histogram;
mod page;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::core::time::Timestamp;
use crate::core::upstream::UpstreamId;
use crate::event::{Event, FailedAttemptSummary, Observer, Phase, Phases};

pub use catalogue::{ALL, Kind, Metric};
pub(crate) use page::{Format, Gauges, UpstreamGauges, page};

use histogram::Histogram;

/// A count that goes up from zero.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn up(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counts by words. For what goes wrong, since counting takes a lock; what goes well has a count of its own.
#[derive(Debug)]
struct Counts<const N: usize>(Mutex<BTreeMap<[&'static str; N], u64>>);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Counts(Mutex::default())
    }
}

impl<const N: usize> Counts<N> {
    fn up(&self, words: [&'static str; N]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(words).or_default() += 1;
    }

    fn read(&self) -> Vec<([&'static str; N], u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(words, count)| (*words, *count)).collect()
    }
}

/// What happened since the proxy started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Requests whose outcome is `ok`.
    served: Count,
    /// The others, by outcome and blame.
    unserved: Counts<2>,
    latency: Histogram,
    /// In the order of [`Phase::ALL`].
    phases: [Histogram; Phase::ALL.len()],
    failovers: Count,
    reloads: Count,
    refused_reloads: Count,
    /// By what was lacking.
    failed_accepts: Counts<1>,
    /// A copy is made for each upstream that is new, which is seldom.
    upstreams: ArcSwap<BTreeMap<UpstreamId, Arc<UpstreamMetrics>>>,
}

/// What went wrong, by whose fault it was.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    /// Requests that are over.
    pub(crate) requests: BTreeMap<&'static str, u64>,
    /// Failed attempts and checks through the upstreams that there are.
    pub(crate) attempts: BTreeMap<&'static str, u64>,
}

/// What happened to one upstream.
#[derive(Debug, Default)]
struct UpstreamMetrics {
    /// Attempts of requests that opened their target.
    opened: Count,
    /// Other attempts: of a request or a check, and what became of it.
    attempts: Counts<2>,
    /// Failed attempts of requests that are over: stage, failure, blame.
    failed: Counts<3>,
    /// Failed attempts whose blame is laid: whose it is, and by which rule.
    blamed: Counts<2>,
    took: Histogram,
    suspected: Count,
    ejected: Count,
    recovered: Count,
    probes: Count,
    failed_probes: Count,
}

impl Metrics {
    /// Forgets the upstreams that are none any more.
    pub(crate) fn retain(&self, keep: impl Fn(UpstreamId) -> bool) {
        self.upstreams.rcu(|all| {
            all.iter().filter(|(id, _)| keep(**id)).map(|(id, one)| (*id, Arc::clone(one))).collect::<BTreeMap<_, _>>()
        });
    }

    /// Whose fault what went wrong was, from all causes.
    pub(crate) fn errors(&self) -> Errors {
        let mut errors = Errors::default();
        for ([_, blame], count) in self.unserved.read() {
            *errors.requests.entry(blame).or_default() += count;
        }
        for one in self.upstreams.load().values() {
            for ([blame, _], count) in one.blamed.read() {
                *errors.attempts.entry(blame).or_default() += count;
            }
        }
        errors
    }

    fn of(&self, id: UpstreamId, count: impl FnOnce(&UpstreamMetrics)) {
        if let Some(one) = self.upstreams.load().get(&id) {
            return count(one);
        }
        self.upstreams.rcu(|all| {
            let mut all = BTreeMap::clone(all);
            all.entry(id).or_default();
            all
        });
        if let Some(one) = self.upstreams.load().get(&id) {
            count(one);
        }
    }

    fn attempt_ended(
        &self,
        (upstream, check): (UpstreamId, bool),
        failure: Option<&'static str>,
        (phases, took): (Phases, Duration),
    ) {
        if !check {
            for (histogram, phase) in self.phases.iter().zip(Phase::ALL) {
                if let Some(took) = phases.get(phase) {
                    histogram.record(took);
                }
            }
        }
        self.of(upstream, |one| {
            match (check, failure) {
                (false, None) => one.opened.up(),
                (check, failure) => one.attempts.up([if check { "check" } else { "request" }, failure.unwrap_or("ok")]),
            }
            if !check {
                one.took.record(took);
            }
        });
    }
}

impl Observer for Metrics {
    fn on(&self, _: Timestamp, event: &Event<'_>) {
        match *event {
            Event::AttemptEnded { request, upstream, failure, phases, took, .. } => {
                self.attempt_ended((upstream, request.is_none()), failure, (phases, took));
            }
            Event::PickMade { attempt, probe, upstream, .. } => {
                if attempt > 0 {
                    self.failovers.up();
                }
                if probe {
                    self.of(upstream, |one| one.probes.up());
                }
            }
            Event::Blamed { upstream, blame, rule } => {
                self.of(upstream, |one| one.blamed.up([blame.as_str(), rule.as_str()]));
            }
            Event::Suspected { upstream, .. } => self.of(upstream, |one| one.suspected.up()),
            Event::Ejected { upstream, .. } => self.of(upstream, |one| one.ejected.up()),
            Event::BackedOff { upstream, .. } => self.of(upstream, |one| one.failed_probes.up()),
            Event::Recovered { upstream, .. } => self.of(upstream, |one| one.recovered.up()),
            Event::Finished(summary) => {
                match summary.blame {
                    None if summary.outcome == "ok" => self.served.up(),
                    blame => self.unserved.up([summary.outcome, blame.map_or("", |blame| blame.as_str())]),
                }
                for FailedAttemptSummary { attempt, failure, blame, .. } in &summary.failed_attempts {
                    let stage = attempt.phases.last().map_or("", Phase::as_str);
                    let blame = blame.map_or("", |(blame, _)| blame.as_str());
                    self.of(attempt.upstream.id, |one| one.failed.up([stage, failure, blame]));
                }
                if summary.attempts > 0 {
                    self.latency.record(summary.latency);
                }
            }
            Event::Reloaded { .. } => self.reloads.up(),
            Event::ReloadFailed { .. } => self.refused_reloads.up(),
            Event::AcceptFailed { reason, .. } => self.failed_accepts.up([reason]),
            Event::EpochStarted { .. }
            | Event::ProbeAsked { .. }
            | Event::Verdict { .. }
            | Event::Steered { .. }
            | Event::TunnelsClosed { .. }
            | Event::DrainStarted { .. }
            | Event::Drained { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
