//! Sums of what requests met. Tallies of parts, or of stretches of time, add up.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::client::Done;
use crate::driver::Event;
use crate::outcome::{Failure, Kind};

/// The longest time that is told from longer ones.
const LONGEST: Duration = Duration::from_secs(3600);

/// A histogram of times, in microseconds with three significant figures.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        let most = LONGEST.as_micros() as u64;
        Times(Histogram::new_with_bounds(1, most, 3).expect("1 is below an hour, and 3 is a precision there is"))
    }
}

impl Times {
    /// Counts `span`.
    pub fn record(&mut self, span: Duration) {
        self.0.saturating_record(u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Counts all that `other` has.
    pub fn add(&mut self, other: &Times) {
        if !other.0.is_empty() {
            self.0.add(&other.0).expect("both have the same bounds");
        }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that `percent` of them are not above; zero where there are none.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(if self.0.is_empty() { 0 } else { self.0.value_at_percentile(percent) })
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(if self.0.is_empty() { 0 } else { self.0.max() })
    }

    /// The mean.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos((self.0.mean() * 1000.0) as u64)
    }

    /// Values in microseconds that occurred, and how often.
    pub fn recorded(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
    }
}

/// What one request is for the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The id that stands in the target's name.
    pub id: String,
    /// What came back.
    pub answer: Answer,
}

/// What came back for a request, as far as the ledger cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It got through: a 2xx to CONNECT, or a target's response.
    Through,
    /// CONNECT was answered with something else.
    Refused,
    /// Nothing, or a status of which the client can't tell who said it: the other witnesses may have it or not.
    Unknown,
}

impl Answer {
    fn of(done: &Done, tunnel: bool) -> Self {
        match done.status {
            Some(200..300) => Answer::Through,
            Some(_) if tunnel => Answer::Refused,
            Some(300..500) => Answer::Through,
            _ => Answer::Unknown,
        }
    }
}

/// Sums of what requests met.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that began.
    pub began: u64,
    /// Requests that were over and went well.
    pub ok: u64,
    /// Requests that were over and did not, by what went wrong.
    pub failed: BTreeMap<Failure, u64>,
    /// Requests that were over, by action's place in the mix: how many, and how many of them failed.
    pub actions: BTreeMap<usize, (u64, u64)>,
    /// Responses by the upstream that they say they came through.
    pub exits: BTreeMap<String, u64>,
    /// Bytes to targets.
    pub up: u64,
    /// Bytes from targets.
    pub down: u64,
    /// Latency from when requests were due. Here and below: of requests that went well or ran out of time.
    pub corrected: Times,
    /// Latency from when requests began.
    pub uncorrected: Times,
    /// TCP to the proxy.
    pub connect: Times,
    /// The reply to CONNECT.
    pub reply: Times,
    /// TLS with the target.
    pub tls: Times,
    /// To the first byte of the target.
    pub first_byte: Times,
    /// From there to the last.
    pub last_byte: Times,
    /// What the ledger needs, where one is kept.
    pub ledger: Option<Vec<Line>>,
}

impl Tally {
    /// An empty one that keeps a line for every request.
    pub fn with_ledger() -> Self {
        Tally { ledger: Some(Vec::new()), ..Tally::default() }
    }

    /// Counts what `event` tells.
    pub fn on(&mut self, event: &Event) {
        match event {
            Event::Began { .. } => self.began += 1,
            Event::Ended(done) => self.ended(done),
        }
    }

    fn ended(&mut self, done: &Done) {
        let of_action = self.actions.entry(done.request.action).or_default();
        of_action.0 += 1;
        match done.outcome {
            Ok(()) => self.ok += 1,
            Err(failure) => {
                of_action.1 += 1;
                *self.failed.entry(failure).or_default() += 1;
            }
        }
        self.up += done.up.bytes;
        self.down += done.down.bytes;
        if let Some(exit) = &done.exit {
            *self.exits.entry(exit.clone()).or_default() += 1;
        }
        if matches!(done.outcome, Ok(()) | Err(Failure { kind: Kind::Timeout, .. })) {
            self.corrected.record(done.corrected());
            self.uncorrected.record(done.uncorrected());
            let phases = &done.phases;
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
            ledger.push(Line { id: done.request.id.clone(), answer: Answer::of(done, done.tunnel) });
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

    /// Takes what was counted so far, and begins anew.
    pub fn take(&mut self) -> Tally {
        let fresh = if self.ledger.is_some() { Tally::with_ledger() } else { Tally::default() };
        std::mem::replace(self, fresh)
    }

    /// Requests that failed and say something about the proxy.
    pub fn errors(&self) -> u64 {
        self.failed.iter().filter(|(failure, _)| failure.kind.is_proxys()).map(|(_, count)| count).sum()
    }

    /// Requests that failed for want of something here, or were stopped: the report must not hide them.
    pub fn not_judged(&self) -> u64 {
        self.failed.iter().filter(|(failure, _)| !failure.kind.is_proxys()).map(|(_, count)| count).sum()
    }

    /// Requests that are over.
    pub fn over(&self) -> u64 {
        self.ok + self.errors() + self.not_judged()
    }
}
