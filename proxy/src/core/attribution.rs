//! Decides whose fault a failed attempt was.
//!
//! Who could have written what was seen decides ([`Author`]). What only the upstream can have written is charged to it
//! at once. All else cannot tell: a 502 is what a broken upstream says of a sound target, and what a sound upstream says
//! of a dead one; and everything in a reply to plain HTTP may be the target's own. Such failures wait as [`Evidence`]
//! until the request ends. If another upstream opened the target, they are charged to the upstreams that could not. If
//! others failed alike, it is the target's fault. A failure that stood alone stays in a bounded memory, in case another
//! upstream opens the target soon. The evidence has one owner at a time, so that nothing is charged twice.

use std::collections::BTreeMap;
use std::time::Duration;

pub use super::failure::{Author, Blame, Failure, Rule, Service};

use super::failure::{Class, Symptom};

use super::health::{AttemptResult, Charge};
use super::time::Timestamp;
use super::upstream::{Attempt, UpstreamId};

/// How many targets are remembered at most. Beyond that, the target that failed longest ago is forgotten.
pub const MAX_TARGETS: usize = 1024;
/// How many failures are remembered for one target at most. Beyond that, the oldest is forgotten.
pub const MAX_PENDING: usize = 32;
/// How long a failure is remembered unless configured otherwise.
pub const DEFAULT_MEMORY: Duration = Duration::from_secs(10);

/// A failed attempt with its blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributed {
    /// Which.
    pub attempt: Attempt,
    /// Whose fault.
    pub blame: Blame,
    /// Why.
    pub rule: Rule,
    /// What the upstream is charged with; only where it is to blame.
    pub charge: Option<Charge>,
}

impl Attributed {
    /// `attempt` did not get through our own network.
    pub const fn own_network(attempt: Attempt) -> Self {
        Attributed { attempt, blame: Blame::Netdrift, rule: Rule::OwnNetwork, charge: None }
    }

    /// `attempt` failed on what another upstream had opened.
    pub const fn opened_elsewhere(attempt: Attempt, charge: Charge) -> Self {
        Attributed { attempt, blame: Blame::Upstream, rule: Rule::OpenedElsewhere, charge: Some(charge) }
    }

    /// What it means for the upstream's health.
    pub fn result(&self) -> AttemptResult {
        self.charge.map_or(AttemptResult::Neutral, AttemptResult::Failure)
    }
}

/// A failure that cannot tell.
#[derive(Clone, Copy, Debug, Hash)]
struct Suspicion {
    attempt: Attempt,
    symptom: Symptom,
    charge: Charge,
}

impl Suspicion {
    fn convicted(self) -> Attributed {
        let rule = match self.charge {
            Charge::EmptyTunnel => Rule::DeliveredElsewhere,
            _ => Rule::OpenedElsewhere,
        };
        Attributed { attempt: self.attempt, blame: Blame::Upstream, rule, charge: Some(self.charge) }
    }

    fn acquitted(self, blame: Blame, rule: Rule) -> Attributed {
        Attributed { attempt: self.attempt, blame, rule, charge: None }
    }

    fn alike(&self, other: &Suspicion) -> bool {
        self.symptom == other.symptom && self.attempt.upstream != other.attempt.upstream
    }
}

/// The failures of one request that cannot tell, in order. Ends in [`Attribution::opened`] or
/// [`Attribution::none_opened`].
#[derive(Debug, Hash)]
#[cfg_attr(test, derive(Clone))] // the search takes every way from each state
#[must_use = "what it holds is blamed on nobody until the request's end is told"]
pub struct Evidence {
    asked: Service,
    suspicions: Vec<Suspicion>,
}

impl Evidence {
    /// Of a request that asks upstreams for `asked`.
    pub const fn new(asked: Service) -> Self {
        Evidence { asked, suspicions: Vec::new() }
    }

    /// An attempt failed. Its blame where that is plain; else it is kept until the request ends.
    pub fn failed(&mut self, attempt: Attempt, failure: Failure) -> Option<Attributed> {
        match failure.classify(self.asked) {
            Class::Plain(blame, rule, charge) => Some(Attributed { attempt, blame, rule, charge }),
            Class::CannotTell(symptom, charge) => {
                self.suspicions.push(Suspicion { attempt, symptom, charge });
                None
            }
        }
    }

    /// What was asked for.
    pub const fn asked(&self) -> Service {
        self.asked
    }

    /// Nothing is waiting for its blame.
    pub fn is_empty(&self) -> bool {
        self.suspicions.is_empty()
    }
}

/// Decides whose fault the failures of a request were, by comparing what different upstreams did with the same target.
///
/// 1. A failure that only one side can have caused is blamed at once: no TCP or TLS to the upstream, a malformed head, a
///    407, a reset behind a good head are the upstream's.
/// 2. Any other failure (a timeout for the reply, a close before the head, another status) becomes [`Evidence`] of its
///    request.
/// 3. If another upstream opens the target in the same request, the evidence is charged to the upstreams that could not.
/// 4. If no upstream does and at least two failed in the same way, the target is to blame.
/// 5. A failure that no other confirms is blamed on nobody, and remembered for a bounded time. If another upstream opens
///    the target within it, step 3 applies to it.
/// 6. An upstream that opens a target on which it failed lately shows that the target has changed. The memory of the target
///    is cleared then, and nobody is charged.
///
/// Evidence has one owner at a time, so nothing is charged twice.
#[derive(Debug, Hash)]
#[cfg_attr(test, derive(Clone))]
pub struct Attribution {
    memory: Duration,
    targets: BTreeMap<Box<str>, Vec<Remembered>>,
}

#[derive(Debug, Hash)]
#[cfg_attr(test, derive(Clone))]
struct Remembered {
    suspicion: Suspicion,
    since: Timestamp,
}

impl Attribution {
    /// Remembers failures for `memory`, of at most [`MAX_TARGETS`] targets and [`MAX_PENDING`] for each.
    pub fn new(memory: Duration) -> Self {
        Attribution { memory, targets: BTreeMap::new() }
    }

    /// Nothing is remembered, so that a request without [`Evidence`] need not tell of its success.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// `upstream` opened `target`. Returns the failures that are charged to other upstreams for it: this request's,
    /// and those remembered of this target. An upstream that itself failed on the target of late proves that the
    /// target has changed, so then nothing remembered is charged.
    pub fn opened(
        &mut self,
        target: &str,
        upstream: UpstreamId,
        evidence: Evidence,
        now: Timestamp,
    ) -> Vec<Attributed> {
        let mut remembered = self.targets.remove(target).unwrap_or_default();
        remembered.retain(|one| now.since(one.since) < self.memory);
        // A page says nothing of tunnels, nor a tunnel of pages.
        let of_page = evidence.asked == Service::Page;
        let (mut remembered, others): (Vec<_>, Vec<_>) =
            remembered.into_iter().partition(|one| (one.suspicion.charge == Charge::Page) == of_page);
        if !others.is_empty() {
            self.targets.insert(target.into(), others);
        }
        if remembered.iter().any(|one| one.suspicion.attempt.upstream == upstream) {
            remembered.clear();
        }
        let (own, others): (Vec<_>, Vec<_>) = (remembered.into_iter().map(|one| one.suspicion))
            .chain(evidence.suspicions)
            .partition(|suspicion| suspicion.attempt.upstream == upstream);
        let own = own.into_iter().map(|suspicion| suspicion.acquitted(Blame::Unknown, Rule::StoodAlone));
        let others = others.into_iter().map(|suspicion| suspicion.convicted());
        others.chain(own).collect()
    }

    /// The request for `target` ended with no upstream opening it. Returns the blame of each failure that could not
    /// tell: the target's where another upstream failed alike, else unknown. The unknown ones are remembered.
    pub fn none_opened(&mut self, target: &str, evidence: Evidence, now: Timestamp) -> Vec<Attributed> {
        let suspicions = evidence.suspicions;
        let mut attributed = Vec::with_capacity(suspicions.len());
        for suspicion in &suspicions {
            if suspicions.iter().any(|other| suspicion.alike(other)) {
                attributed.push(suspicion.acquitted(Blame::Target, Rule::FailedAlike));
            } else {
                attributed.push(suspicion.acquitted(Blame::Unknown, Rule::StoodAlone));
                self.remember(target, *suspicion, now);
            }
        }
        attributed
    }

    /// Forgets what is older than the memory: nobody will ever be charged with it.
    pub fn forget_old(&mut self, now: Timestamp) {
        let memory = self.memory;
        self.targets.retain(|_, remembered| {
            remembered.retain(|one| now.since(one.since) < memory);
            !remembered.is_empty()
        });
    }

    fn remember(&mut self, target: &str, suspicion: Suspicion, now: Timestamp) {
        // The probe, if it was one, is given back with the blame returned now.
        let attempt = Attempt { probe: false, ..suspicion.attempt };
        let remembered = Remembered { suspicion: Suspicion { attempt, ..suspicion }, since: now };
        if !self.targets.contains_key(target) && self.targets.len() >= MAX_TARGETS {
            self.forget_oldest();
        }
        let pending = self.targets.entry(target.into()).or_default();
        if pending.len() >= MAX_PENDING {
            pending.remove(0);
        }
        pending.push(remembered);
    }

    fn forget_oldest(&mut self) {
        let latest = |pending: &[Remembered]| pending.last().map(|one| one.since);
        let oldest = self.targets.iter().min_by_key(|(_, pending)| latest(pending)).map(|(target, _)| target.clone());
        if let Some(target) = oldest {
            self.targets.remove(&target);
        }
    }
}

#[cfg(test)]
mod tests;
