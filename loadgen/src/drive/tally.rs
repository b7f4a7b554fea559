//! Sums of what requests met. Tallies of parts, or of stretches of time, add up.

use std::collections::BTreeMap;

use super::event::Event;
use super::times::Times;
use crate::client::{Done, Failure, Kind};

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
