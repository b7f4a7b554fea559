//! Finds out whose fault failed attempts were, with what is remembered of others.

use super::{FailureMemory, Lease, Pool};
use crate::core::attribution::{Attributed, Blame, Evidence, Failure, Service};
use crate::core::health::AttemptResult;
use crate::core::time::Timestamp;
use crate::core::upstream::{Attempt, UpstreamId};
use crate::env::Env;
use crate::upstream::clock::PhaseClock;

impl<E: Env> Pool<E> {
    /// The attempt of `lease` opened `target`: it has succeeded, and whoever failed on the target before is charged. While
    /// nothing is held against anybody, as usual, that takes no lock. It is `now`.
    pub(crate) fn opened(
        &self,
        memory: FailureMemory,
        target: &str,
        (lease, clock): (&mut Lease<E>, &mut PhaseClock),
        evidence: Evidence,
        now: Timestamp,
    ) -> Vec<Attributed> {
        let (asked, upstream) = (evidence.asked(), lease.upstream.id);
        lease.end_attempt_at(None, clock, now);
        self.opened.note(asked, target, upstream, now);
        if evidence.is_empty() && self.state.is_quiet() && lease.upstream.figures.is_sound() {
            return Vec::new();
        }
        let mut state = self.state.lock();
        let restored = self.report_to(&mut state, lease.attempt, AttemptResult::Success, now);
        if restored.is_some() {
            // What is told of an epoch is read then, so it comes before anything else changes.
            drop(state);
            self.emit_transition(restored, None);
            state = self.state.lock();
        }
        state.network.reached();
        let wanted = state.target_wanted;
        let attribution = state.attribution(memory);
        let mut blamed = Vec::new();
        if !evidence.is_empty() || !attribution.is_empty() {
            blamed = attribution.opened(target, upstream, evidence, now);
            if blamed.iter().any(|one| one.blame == Blame::Upstream) {
                self.opened.dispute(asked, target, now);
            }
        }
        self.settle(state, &blamed);
        if wanted {
            self.changed.notify_waiters();
        }
        blamed
    }

    /// A tunnel to `target` through `upstream` delivered: whoever brought nothing from it of late is charged.
    pub(crate) fn delivered(&self, target: &str, upstream: UpstreamId) {
        if !self.state.is_quiet() {
            let mut state = self.state.lock();
            let empty_tunnels = state.attribution(FailureMemory::EmptyTunnels);
            let blamed = empty_tunnels.opened(target, upstream, Evidence::new(Service::Tunnel), self.now());
            self.settle(state, &blamed);
        }
    }

    /// A tunnel to `target` ended on the upstream's side before anything came out of it.
    pub(crate) fn brought_nothing(&self, target: &str, attempt: Attempt) {
        self.opened.forget(Service::Tunnel, target, attempt.upstream);
        let mut evidence = Evidence::new(Service::Tunnel);
        self.failed(&mut evidence, attempt, Failure::EmptyTunnel);
        self.none_opened(FailureMemory::EmptyTunnels, target, evidence);
    }

    /// An attempt failed. Its blame where that is plain, which has been settled then; else `evidence` keeps it.
    pub(crate) fn failed(&self, evidence: &mut Evidence, attempt: Attempt, failure: Failure) -> Option<Attributed> {
        let mut blamed = evidence.failed(attempt, failure);
        let mut state = self.state.lock();
        let usable = state.balancer.usable_count();
        if failure.is_of_the_upstream() {
            state.network.reached();
        } else if failure.is_out_of_reach() && state.network.lost(attempt.upstream, usable, self.now()) {
            blamed = Some(Attributed::own_network(attempt));
        }
        self.settle(state, blamed.as_slice());
        blamed
    }

    /// A request for `target` was opened by nobody.
    pub(crate) fn none_opened(&self, memory: FailureMemory, target: &str, evidence: Evidence) -> Vec<Attributed> {
        if evidence.is_empty() {
            return Vec::new();
        }
        let mut state = self.state.lock();
        let blamed = state.attribution(memory).none_opened(target, evidence, self.now());
        self.settle(state, &blamed);
        blamed
    }

    /// A probe failed to open what another upstream opened of late.
    pub(crate) fn disproved(&self, attributed: Attributed) {
        self.settle(self.state.lock(), &[attributed]);
    }
}
