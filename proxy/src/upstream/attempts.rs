//! Makes the attempts of one request: picks an upstream, records how the attempt ended, and picks the next.

use std::sync::Arc;

use crate::core::attribution::{Attributed, Blame, Evidence, Failure, Service};
use crate::core::failover::{Allowance, Budget, BudgetSpent};
use crate::core::upstream::UpstreamId;
use crate::env::Env;
use crate::event::{RequestId, UpstreamLabel};
use crate::upstream::failed::FailedAttempt;
use crate::upstream::pool::{FailureMemory, Lease, Pool};

/// The attempts of one request, made one after the other.
pub(crate) struct Attempts<E: Env> {
    pool: Arc<Pool<E>>,
    request: RequestId,
    /// `host:port`.
    target: Arc<str>,
    budget: Budget,
    /// How many could be tried when it began.
    candidates: usize,
    evidence: Evidence,
    /// How many were begun, and through whom the last one goes.
    begun: u32,
    last: Option<UpstreamId>,
    /// Through whom the failed ones went.
    tried: Vec<UpstreamId>,
    failures: Vec<(Arc<UpstreamLabel>, FailedAttempt)>,
    blamed: Vec<Attributed>,
    deadline_passed: bool,
}

/// What the attempts of a request came to.
#[derive(Debug)]
pub(crate) struct AttemptsRecord {
    /// How many were begun.
    pub(crate) attempts: u32,
    /// The failed ones in order.
    pub(crate) failures: Vec<(Arc<UpstreamLabel>, FailedAttempt)>,
    /// Whose fault the last one was.
    pub(crate) blame: Option<Blame>,
    /// The request's time was over.
    pub(crate) deadline_passed: bool,
}

impl<E: Env> Attempts<E> {
    /// For a request whose head is complete now.
    pub(crate) fn begin(pool: &Arc<Pool<E>>, request: RequestId, asked: Service, target: Arc<str>) -> Self {
        let (policy, candidates) = pool.failover_policy();
        Attempts {
            budget: Budget::new(policy, pool.now()),
            candidates,
            pool: Arc::clone(pool),
            request,
            target,
            evidence: Evidence::new(asked),
            begun: 0,
            last: None,
            tried: Vec::new(),
            failures: Vec::new(),
            blamed: Vec::new(),
            deadline_passed: false,
        }
    }

    /// The next upstream and what it may take; `None` when the budget or the upstreams are used up.
    pub(crate) fn next(&mut self) -> Option<(Lease<E>, Allowance)> {
        let candidates = if self.tried.is_empty() { self.candidates } else { self.pool.untried(&self.tried) };
        match self.budget.next(candidates.saturating_sub(1), self.pool.now()) {
            Ok(allowance) => {
                let lease = if self.tried.is_empty() {
                    self.pool.pick_first(self.request)?
                } else {
                    self.pool.pick_behind(self.request, self.tried.len() as u32, &self.tried)?
                };
                self.begun += 1;
                self.last = Some(lease.upstream.id);
                Some((lease, allowance))
            }
            Err(spent) => {
                self.deadline_passed = spent == BudgetSpent::DeadlinePassed;
                None
            }
        }
    }

    /// Whether another attempt could follow, so that a doubtful reply need not be passed on.
    pub(crate) fn has_next(&self) -> bool {
        let tried: Vec<_> = self.tried.iter().copied().chain(self.last).collect();
        self.budget.allows(self.pool.now()) && self.pool.may_fail_over() && self.pool.untried(&tried) > 0
    }

    /// An attempt failed.
    pub(crate) fn failed(&mut self, mut lease: Lease<E>, failed: impl Into<FailedAttempt>) {
        let failed = failed.into();
        let failure = failed.failure;
        self.tried.push(lease.upstream.id);
        lease.end_attempt(Some(&failed));
        self.failures.push((Arc::clone(&lease.upstream.label), failed));
        self.blamed.extend(self.pool.failed(&mut self.evidence, lease.attempt(), failure));
    }

    /// An attempt opened the target. The lease is kept for as long as what it opened lasts.
    pub(crate) fn opened(mut self, mut lease: Lease<E>) -> (Lease<E>, AttemptsRecord) {
        let evidence = self.take_evidence();
        let blamed = self.pool.opened(FailureMemory::Requests, &self.target, &mut lease, evidence);
        (lease, self.record(blamed))
    }

    /// An attempt brought a reply that is passed on although it may be the upstream's own failure (a gateway's 5xx).
    pub(crate) fn relayed(mut self, mut lease: Lease<E>, status: u16) -> (Lease<E>, AttemptsRecord) {
        lease.end_attempt(None);
        let mut evidence = self.take_evidence();
        // A gateway's status never says whose fault it is, so it joins the evidence.
        let _ = evidence.failed(lease.attempt(), Failure::Status(status));
        let blamed = self.pool.none_opened(FailureMemory::Requests, &self.target, evidence);
        (lease, self.record(blamed))
    }

    /// No attempt opened the target.
    pub(crate) fn none_opened(mut self) -> AttemptsRecord {
        let evidence = self.take_evidence();
        let blamed = self.pool.none_opened(FailureMemory::Requests, &self.target, evidence);
        self.record(blamed)
    }

    fn take_evidence(&mut self) -> Evidence {
        let asked = self.evidence.asked();
        std::mem::replace(&mut self.evidence, Evidence::new(asked))
    }

    fn record(self, blamed: Vec<Attributed>) -> AttemptsRecord {
        let blame = (self.blamed.iter().chain(&blamed))
            .filter(|one| Some(one.attempt.upstream) == self.last)
            .map(|one| one.blame)
            .next_back();
        AttemptsRecord { attempts: self.begun, failures: self.failures, blame, deadline_passed: self.deadline_passed }
    }
}
