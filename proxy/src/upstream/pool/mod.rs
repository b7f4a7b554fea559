//! Holds the upstreams in force, with their health and statistics.
//!
//! Whose turn it is takes an immutable snapshot and an atomic ticket; nothing is locked. All else (counting, an attempt's result,
//! a probe, a transition, a reload) goes through one short mutex that is never held across an await.

mod lease;
mod pick;
mod snapshot;
mod upstream;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Config;
use crate::core::attribution::{Attributed, Attribution, DEFAULT_MEMORY, Evidence};
use crate::core::balancer::{Balancer, Transition};
use crate::core::failover::FailoverPolicy;
use crate::core::health::{AttemptResult, Change};
use crate::core::stats::Stats;
use crate::core::time::Timestamp;
use crate::core::upstream::{Attempt, UpstreamId};
use crate::env::Env;
use crate::event::{Event, Observer};
use crate::http::via::Via;
use crate::upstream::resolver::Resolver;

pub(crate) use lease::Lease;
pub use snapshot::PoolError;
pub(crate) use snapshot::{Snapshot, UpstreamSettings};
pub(crate) use upstream::{Bytes, LastFailure, Percentiles, SWEEP, Upstream};

use snapshot::{build, check_memory, members, probing};

/// The upstreams of one proxy.
pub(crate) struct Pool<E: Env> {
    env: E,
    zero: Instant,
    observer: Arc<dyn Observer>,
    resolver: Resolver,
    current: ArcSwap<Snapshot<E::Stream>>,
    state: Mutex<State>,
    /// Nanoseconds at which a probe is to be lent; `u64::MAX` where none is. Read on every pick.
    probe_due: AtomicU64,
    /// Rotates ties among the least-failed.
    turn: AtomicU64,
    /// Wakes whoever sweeps idle connections, and the prober.
    pub(crate) idle_kept: Notify,
    pub(crate) changed: Notify,
}

/// Where failures that cannot tell are remembered until another upstream opens the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureMemory {
    /// Of clients' requests: some seconds.
    Requests,
    /// Of active checks, which come at their interval: longer than that.
    Checks,
}

struct State {
    balancer: Balancer,
    requests: Attribution,
    checks: Attribution,
    stats: Stats,
    next_id: u32,
}

impl State {
    fn attribution(&mut self, memory: FailureMemory) -> &mut Attribution {
        match memory {
            FailureMemory::Requests => &mut self.requests,
            FailureMemory::Checks => &mut self.checks,
        }
    }
}

impl<E: Env> Pool<E> {
    /// The pool of `config`, all of it eligible.
    pub(crate) fn new(env: E, config: &Config, via: Via, observer: Arc<dyn Observer>) -> Result<Arc<Self>, PoolError> {
        let resolver = Resolver::default();
        let upstreams = build(config, &[], &mut 0, &resolver)?;
        let members = members(&upstreams);
        let balancer = Balancer::new(config.health.policy, probing(&config.health), &members)?;
        let snapshot = Snapshot {
            epoch: balancer.epoch().clone(),
            ticket: Arc::default(),
            failover: config.failover_policy(),
            settings: UpstreamSettings::new(config, via),
            upstreams,
        };
        let state = State {
            stats: Stats::new(members.iter().map(|member| member.id)),
            next_id: members.len() as u32,
            requests: Attribution::new(DEFAULT_MEMORY),
            checks: check_memory(config),
            balancer,
        };
        let pool = Arc::new(Pool {
            env,
            zero: Instant::now(),
            observer,
            resolver,
            current: ArcSwap::from_pointee(snapshot),
            state: Mutex::new(state),
            probe_due: AtomicU64::new(u64::MAX),
            turn: AtomicU64::new(0),
            idle_kept: Notify::new(),
            changed: Notify::new(),
        });
        pool.emit_epoch(&pool.current.load());
        Ok(pool)
    }

    /// Takes over another configuration; unchanged upstreams keep health, statistics and connections.
    pub(crate) fn configure(&self, config: &Config, via: Via) -> Result<(), PoolError> {
        // Outside the mutex: a TLS upstream's roots may be read from files, and every request would wait. Only reloads
        // change which upstreams there are, and they come one at a time.
        let mut next_id = self.state().next_id;
        let upstreams = build(config, &self.current.load_full().upstreams, &mut next_id, &self.resolver)?;
        let members = members(&upstreams);
        let mut state = self.state();
        let before = self.current.load_full();
        let ticket = before.ticket.load(Ordering::Relaxed);
        let renewed = state.balancer.configure(config.health.policy, probing(&config.health), &members, ticket)?;
        state.next_id = next_id;
        state.checks = check_memory(config);
        state.stats.configure(members.iter().map(|member| member.id));
        let snapshot = Arc::new(Snapshot {
            epoch: state.balancer.epoch().clone(),
            ticket: if renewed.is_some() { Arc::default() } else { Arc::clone(&before.ticket) },
            failover: config.failover_policy(),
            settings: UpstreamSettings::new(config, via),
            upstreams,
        });
        self.current.store(Arc::clone(&snapshot));
        self.note_probe_due(&state);
        drop(state);
        before.retire_all_but(&snapshot);
        if renewed.is_some() {
            self.emit_epoch(&snapshot);
        }
        self.changed.notify_waiters();
        Ok(())
    }

    /// Time since the proxy started.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::ZERO.after(self.zero.elapsed())
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.observer.on(self.now(), event);
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot<E::Stream>> {
        self.current.load_full()
    }

    /// Whether any upstream is eligible.
    pub(crate) fn is_ready(&self) -> bool {
        self.current.load().epoch.eligible() > 0
    }

    /// How many upstreams a request may be sent to, and the figures that bound it.
    pub(crate) fn failover_policy(&self) -> (FailoverPolicy, usize) {
        let current = self.current.load();
        let candidates = match current.epoch.eligible() {
            0 => current.upstreams.iter().filter(|upstream| !upstream.config.weight.is_zero()).count(),
            eligible => eligible,
        };
        (current.failover, candidates)
    }

    /// How many [`Pool::pick_behind`] could pick.
    pub(crate) fn untried(&self, tried: &[UpstreamId]) -> usize {
        self.state().balancer.candidates(tried)
    }

    /// When the next probe is due.
    pub(crate) fn next_probe(&self) -> Option<Timestamp> {
        self.state().balancer.next_wakeup()
    }

    /// Whether the upstream takes picks.
    pub(crate) fn is_eligible(&self, id: UpstreamId) -> bool {
        self.state().balancer.health(id).is_some_and(|health| health.is_eligible())
    }

    /// A request for `target` was opened by `upstream`: whoever failed on it before is charged.
    pub(crate) fn opened(
        &self,
        memory: FailureMemory,
        target: &str,
        upstream: UpstreamId,
        evidence: Evidence,
    ) -> Vec<Attributed> {
        let mut state = self.state();
        let attribution = state.attribution(memory);
        if evidence.is_empty() && attribution.is_empty() {
            return Vec::new();
        }
        let blamed = attribution.opened(target, upstream, evidence, self.now());
        self.settle(state, &blamed);
        blamed
    }

    /// No upstream opened `target` in this request.
    pub(crate) fn none_opened(&self, memory: FailureMemory, target: &str, evidence: Evidence) -> Vec<Attributed> {
        if evidence.is_empty() {
            return Vec::new();
        }
        let mut state = self.state();
        let blamed = state.attribution(memory).none_opened(target, evidence, self.now());
        self.settle(state, &blamed);
        blamed
    }

    /// A failed attempt was blamed at once.
    pub(crate) fn blamed(&self, attributed: Attributed) {
        self.settle(self.state(), &[attributed]);
    }

    /// What an attempt's end says of its upstream.
    pub(crate) fn report(&self, attempt: Attempt, result: AttemptResult) {
        let mut state = self.state();
        let transition = self.report_to(&mut state, attempt, result);
        drop(state);
        self.emit_transition(transition);
    }

    fn settle(&self, mut state: MutexGuard<'_, State>, blamed: &[Attributed]) {
        let transitions: Vec<_> =
            blamed.iter().map(|one| self.report_to(&mut state, one.attempt, one.blame.attempt_result())).collect();
        drop(state);
        for (one, transition) in blamed.iter().zip(transitions) {
            self.emit(&Event::Blamed { upstream: one.attempt.upstream, blame: one.blame, rule: one.rule });
            self.emit_transition(transition);
        }
    }

    fn report_to(&self, state: &mut State, attempt: Attempt, result: AttemptResult) -> Option<Changed<E::Stream>> {
        let before = self.current.load();
        let ticket = before.ticket.load(Ordering::Relaxed);
        let transition = state.balancer.report(attempt, result, ticket, self.env.rand_u64(), self.now());
        let ejected = state.balancer.health(attempt.upstream).is_some_and(|health| !health.is_eligible());
        if transition.is_none() && !attempt.probe && !ejected {
            return None;
        }
        self.note_probe_due(state);
        // Without a transition too: the prober sleeps until what was due before.
        self.changed.notify_waiters();
        let transition = transition?;
        let epoch = state.balancer.epoch();
        let renewed = (epoch.number() != before.epoch.number()).then(|| {
            let snapshot = Arc::new(Snapshot {
                epoch: epoch.clone(),
                ticket: Arc::default(),
                upstreams: before.upstreams.clone(),
                failover: before.failover,
                settings: Arc::clone(&before.settings),
            });
            self.current.store(Arc::clone(&snapshot));
            snapshot
        });
        Some(Changed { transition, renewed })
    }

    fn emit_transition(&self, changed: Option<Changed<E::Stream>>) {
        let Some(Changed { transition, renewed }) = changed else { return };
        let (upstream, current) = (transition.upstream, self.current.load());
        let (name, url) = current.get(upstream).map_or(("", ""), |one| (&one.label.name, &one.label.url));
        let cause = current.get(upstream).and_then(|one| one.figures.last_cause());
        let cause = cause.as_deref();
        self.emit(&match transition.change {
            Change::Ejected { failures, until } => Event::Ejected { upstream, name, url, failures, cause, until },
            Change::BackedOff { until } => Event::BackedOff { upstream, name, url, cause, until },
            Change::Recovered { after } => Event::Recovered { upstream, name, url, after },
        });
        if let Some(snapshot) = renewed {
            self.emit_epoch(&snapshot);
        }
    }

    fn emit_epoch(&self, snapshot: &Snapshot<E::Stream>) {
        let state = self.state();
        let members: Vec<(UpstreamId, u32)> = (snapshot.upstreams.iter())
            .filter(|one| !one.config.weight.is_zero())
            .filter(|one| state.balancer.health(one.id).is_some_and(|health| health.is_eligible()))
            .map(|one| (one.id, one.config.weight.get()))
            .collect();
        drop(state);
        let epoch = &snapshot.epoch;
        self.emit(&Event::EpochStarted { number: epoch.number(), offset: epoch.offset(), members: &members });
    }

    fn note_probe_due(&self, state: &State) {
        let due = state.balancer.next_wakeup().unwrap_or(Timestamp::NEVER);
        self.probe_due.store(due.as_nanos(), Ordering::Relaxed);
    }

    /// Counts something, or reads the counts.
    pub(crate) fn with_stats<T>(&self, f: impl FnOnce(&mut Stats, Timestamp) -> T) -> T {
        let now = self.now();
        f(&mut self.state().stats, now)
    }

    /// Failures in a row and the ejection, if any, for the statistics.
    pub(crate) fn health_of(&self, id: UpstreamId) -> Option<crate::core::health::UpstreamHealth> {
        self.state().balancer.health(id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Changed<S> {
    transition: Transition,
    renewed: Option<Arc<Snapshot<S>>>,
}
