//! Adds up the outcomes of requests. Tallies of several threads, or of windows of time, can be added together.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::RequestEvent;
use super::latency_histogram::LatencyHistogram;
use super::ledger_line::{ClientAnswer, LedgerLine};
use crate::client::{Failure, FailureKind, Outcome, RequestRecord};

/// Latencies of requests that went well, and of those that failed.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// Of requests that went well.
    pub ok: LatencyHistogram,
    /// Of requests that failed in a way that says something about the proxy.
    pub failed: LatencyHistogram,
}

impl Latencies {
    fn record(&mut self, outcome: &Outcome, span: Duration) {
        match outcome {
            Ok(()) => self.ok.record(span),
            Err(failure) if failure.kind.is_proxys() => self.failed.record(span),
            Err(_) => {}
        }
    }

    fn add(&mut self, other: &Latencies) {
        self.ok.add(&other.ok);
        self.failed.add(&other.failed);
    }

    /// The requests that went well, and the failures that took longer than half of those: a 504 after 30 s was waited
    /// for, but quick refusals must not make a proxy look fast.
    pub fn with_slow_failures(&self) -> LatencyHistogram {
        let mut all = self.ok.clone();
        all.add_above(&self.failed, self.ok.percentile(50.0));
        all
    }
}

/// Sums over requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that began.
    pub began: u64,
    /// Requests that went well.
    pub ok: u64,
    /// Requests that failed, by what went wrong.
    pub failed: BTreeMap<Failure, u64>,
    /// Requests that are over, and how many of them failed, by the place of their action in the mix.
    pub actions: BTreeMap<usize, (u64, u64)>,
    /// Responses by the upstream that they say they came through.
    pub exits: BTreeMap<String, u64>,
    /// Bytes to targets.
    pub up: u64,
    /// Bytes from targets.
    pub down: u64,
    /// Latency from when requests were due.
    pub corrected: Latencies,
    /// Latency from when requests began.
    pub uncorrected: Latencies,
    /// Time to connect to the proxy. This histogram and those below hold the requests that went well or ran out of time.
    pub connect: LatencyHistogram,
    /// Time to the reply to CONNECT.
    pub reply: LatencyHistogram,
    /// Time of the TLS handshake with the target.
    pub tls: LatencyHistogram,
    /// Time to the first byte of the target.
    pub first_byte: LatencyHistogram,
    /// Time from there to the last byte.
    pub last_byte: LatencyHistogram,
    /// A line for each request, where a ledger is kept.
    pub(crate) ledger: Option<Vec<LedgerLine>>,
}

impl Tally {
    /// Makes an empty tally that keeps a ledger.
    pub(crate) fn with_ledger() -> Self {
        Tally { ledger: Some(Vec::new()), ..Tally::default() }
    }

    /// Counts one event.
    pub fn on(&mut self, event: &RequestEvent) {
        match event {
            RequestEvent::Began { .. } => self.began += 1,
            RequestEvent::Ended(record) => self.ended(record),
        }
    }

    fn ended(&mut self, record: &RequestRecord) {
        let of_action = self.actions.entry(record.request.action).or_default();
        of_action.0 += 1;
        match record.outcome {
            Ok(()) => self.ok += 1,
            Err(failure) => {
                of_action.1 += 1;
                *self.failed.entry(failure).or_default() += 1;
            }
        }
        self.up += record.up.bytes;
        self.down += record.down.bytes;
        if let Some(exit) = &record.exit {
            *self.exits.entry(exit.clone()).or_default() += 1;
        }
        self.corrected.record(&record.outcome, record.corrected());
        self.uncorrected.record(&record.outcome, record.uncorrected());
        if matches!(record.outcome, Ok(()) | Err(Failure { kind: FailureKind::Timeout, .. })) {
            let phases = &record.phases;
            for (times, span) in [
                (&mut self.connect, phases.connect),
                (&mut self.reply, phases.reply),
                (&mut self.tls, phases.tls),
                (&mut self.first_byte, phases.first_byte),
                (&mut self.last_byte, phases.last_byte),
            ] {
                if let Some(span) = span {
                    times.record(span);
                }
            }
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.push(LedgerLine { id: record.request.id.clone(), answer: ClientAnswer::of(record) });
        }
    }

    /// Counts all that `other` has.
    pub fn add(&mut self, other: Tally) {
        self.began += other.began;
        self.ok += other.ok;
        for (failure, count) in other.failed {
            *self.failed.entry(failure).or_default() += count;
        }
        for (action, (count, failed)) in other.actions {
            let of_action = self.actions.entry(action).or_default();
            *of_action = (of_action.0 + count, of_action.1 + failed);
        }
        for (exit, count) in other.exits {
            *self.exits.entry(exit).or_default() += count;
        }
        self.up += other.up;
        self.down += other.down;
        self.corrected.add(&other.corrected);
        self.uncorrected.add(&other.uncorrected);
        self.connect.add(&other.connect);
        self.reply.add(&other.reply);
        self.tls.add(&other.tls);
        self.first_byte.add(&other.first_byte);
        self.last_byte.add(&other.last_byte);
        if let (Some(own), Some(others)) = (&mut self.ledger, other.ledger) {
            own.extend(others);
        }
    }

    /// Takes what was counted so far, and begins again at zero.
    pub fn take(&mut self) -> Tally {
        let fresh = if self.ledger.is_some() { Tally::with_ledger() } else { Tally::default() };
        std::mem::replace(self, fresh)
    }

    /// Requests that failed in a way that says something about the proxy.
    pub fn errors(&self) -> u64 {
        self.failed.iter().filter(|(failure, _)| failure.kind.is_proxys()).map(|(_, count)| count).sum()
    }

    /// Requests that failed for reasons of the load generator, or were stopped. A report must not hide them.
    pub fn not_judged(&self) -> u64 {
        self.failed.iter().filter(|(failure, _)| !failure.kind.is_proxys()).map(|(_, count)| count).sum()
    }

    /// Requests that are over.
    pub fn over(&self) -> u64 {
        self.ok + self.errors() + self.not_judged()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Phase;

    #[test]
    fn a_late_504_counts_into_latencies_and_a_quick_refusal_does_not() {
        let mut latencies = Latencies::default();
        for _ in 0..99 {
            latencies.record(&Ok(()), Duration::from_millis(100));
        }
        latencies.record(&Err(FailureKind::Status(407).at(Phase::Reply)), Duration::from_millis(1));
        latencies.record(&Err(FailureKind::Status(504).at(Phase::Reply)), Duration::from_secs(30));
        latencies.record(&Err(FailureKind::Unfinished.at(Phase::Reply)), Duration::from_secs(60));
        let all = latencies.with_slow_failures();
        assert_eq!((all.count(), latencies.ok.count()), (100, 99));
        assert!(all.percentile(0.0) >= Duration::from_millis(99) && all.max() >= Duration::from_secs(29));
        assert!(all.max() < Duration::from_secs(31) && latencies.ok.max() < Duration::from_secs(1));
    }
}
