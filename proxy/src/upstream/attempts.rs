//! Makes the attempts of one request: picks an upstream, records how the attempt ended, and picks the next.

use std::sync::Arc;

use crate::core::attribution::{Attributed, Blame, Evidence, Failure, Rule, Service};
use crate::core::failover::{Allowance, Budget, BudgetSpent};
use crate::core::time::Timestamp;
use crate::core::upstream::{Attempt, UpstreamId};
use crate::env::Env;
use crate::event::{AttemptSummary, FailedAttemptSummary, Phases, RequestId};
use crate::upstream::clock::PhaseClock;
use crate::upstream::failed::FailedAttempt;
use crate::upstream::pool::{FailureMemory, Lease, Pool};

/// The attempts of one request, made one after the other.
pub(crate) struct Attempts<E: Env> {
    pool: Arc<Pool<E>>,
    request: RequestId,
    /// `host:port`.
    target: Arc<str>,
    budget: Budget,
    /// When the next attempt begins, where the clock has been looked at for that.
    now: Option<Timestamp>,
    /// How many could be tried when it began.
    candidates: usize,
    evidence: Evidence,
    /// How many were begun, and what is told of the last one unless it failed.
    begun: u32,
    last: Option<AttemptSummary>,
    /// Through whom the failed ones went.
    tried: Vec<UpstreamId>,
    failures: Vec<Failed>,
    blamed: Vec<Attributed>,
    deadline_passed: bool,
    /// How far the one that is under way has come.
    pub(crate) clock: PhaseClock,
}

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    attempt: Attempt,
    told: AttemptSummary,
    /// How, and why.
    pub(crate) failed: FailedAttempt,
    blame: Option<(Blame, Rule)>,
}

impl Failed {
    /// What is told of it.
    pub(crate) fn into_summary(self) -> FailedAttemptSummary {
        let FailedAttempt { failure, cause } = self.failed;
        FailedAttemptSummary { attempt: self.told, failure: failure.as_str(), cause, blame: self.blame }
    }
}

/// What the attempts of a request came to.
#[derive(Debug)]
pub(crate) struct AttemptsRecord {
    /// How many were begun.
    pub(crate) attempts: u32,
    /// The one that did not fail.
    pub(crate) attempt: Option<AttemptSummary>,
    /// The failed ones in order.
    pub(crate) failures: Vec<Failed>,
    /// The request's time was over.
    pub(crate) deadline_passed: bool,
    /// When it opened its target; `None` where it did not.
    pub(crate) opened: Option<Timestamp>,
}

impl<E: Env> Attempts<E> {
    /// For a request whose head is complete `now`, and whose first attempt begins at the same moment.
    pub(crate) fn begin(
        pool: &Arc<Pool<E>>,
        request: RequestId,
        (asked, target): (Service, Arc<str>),
        now: Timestamp,
    ) -> Self {
        let (policy, candidates) = pool.failover_policy();
        Attempts {
            budget: Budget::new(policy, now),
            now: Some(now),
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
            clock: PhaseClock::default(),
        }
    }

    /// The next upstream and what it may take; `None` when the budget or the upstreams are used up.
    pub(crate) fn next(&mut self) -> Option<(Lease<E>, Allowance)> {
        let candidates = if self.tried.is_empty() { self.candidates } else { self.pool.untried(&self.tried) };
        let now = self.now.take().unwrap_or_else(|| self.pool.now());
        match self.budget.next(candidates.saturating_sub(1), now) {
            Ok(allowance) => {
                let (lease, pick) = if self.tried.is_empty() {
                    self.pool.pick_first(self.request, now)?
                } else {
                    self.pool.pick_behind(self.request, (self.tried.len() as u32, &self.tried), now)?
                };
                self.begun += 1;
                self.clock = PhaseClock::default();
                let upstream = Arc::clone(&lease.upstream.label);
                self.last = Some(AttemptSummary { upstream, pick, phases: Phases::default() });
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
        let tried: Vec<_> = self.tried.iter().copied().chain(self.last_upstream()).collect();
        self.budget.allows(self.pool.now()) && self.pool.may_fail_over() && self.pool.untried(&tried) > 0
    }

    /// An attempt failed.
    pub(crate) fn failed(&mut self, mut lease: Lease<E>, failed: impl Into<FailedAttempt>) {
        let failed = failed.into();
        let failure = failed.failure;
        self.tried.push(lease.upstream.id);
        lease.end_attempt(Some(&failed), &mut self.clock);
        self.note_end();
        let (attempt, told) = (lease.attempt(), self.last.take());
        self.failures.extend(told.map(|told| Failed { attempt, told, failed, blame: None }));
        self.blamed.extend(self.pool.failed(&mut self.evidence, attempt, failure));
    }

    /// An attempt opened the target. The lease is kept for as long as what it opened lasts.
    pub(crate) fn opened(mut self, mut lease: Lease<E>) -> (Lease<E>, AttemptsRecord) {
        let (now, evidence) = (self.pool.now(), self.take_evidence());
        let opening = (&mut lease, &mut self.clock);
        let blamed = self.pool.opened(FailureMemory::Requests, &self.target, opening, evidence, now);
        self.note_end();
        (lease, AttemptsRecord { opened: Some(now), ..self.record(blamed) })
    }

    /// An attempt brought a reply that is passed on although it may be the upstream's own failure (a gateway's 5xx).
    pub(crate) fn relayed(mut self, mut lease: Lease<E>, status: u16) -> (Lease<E>, AttemptsRecord) {
        lease.end_attempt(None, &mut self.clock);
        self.note_end();
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

    fn note_end(&mut self) {
        if let Some(last) = &mut self.last {
            last.phases = self.clock.phases();
        }
    }

    fn take_evidence(&mut self) -> Evidence {
        let asked = self.evidence.asked();
        std::mem::replace(&mut self.evidence, Evidence::new(asked))
    }

    /// Through whom the one goes that is under way.
    fn last_upstream(&self) -> Option<UpstreamId> {
        self.last.as_ref().map(|last| last.upstream.id)
    }

    /// What it came to, with what was `blamed` at the end.
    fn record(mut self, blamed: Vec<Attributed>) -> AttemptsRecord {
        for one in &mut self.failures {
            let mut laid = self.blamed.iter().chain(&blamed).rev();
            one.blame = laid.find(|laid| laid.attempt == one.attempt).map(|laid| (laid.blame, laid.rule));
        }
        AttemptsRecord {
            attempts: self.begun,
            attempt: self.last,
            failures: self.failures,
            deadline_passed: self.deadline_passed,
            opened: None,
        }
    }
}

impl AttemptsRecord {
    /// Whose fault the last failure was.
    pub(crate) fn blame(&self) -> Option<Blame> {
        self.failures.last()?.blame.map(|(blame, _)| blame)
    }
}
