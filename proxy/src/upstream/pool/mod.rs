//! Holds the upstreams in force, with their health and statistics.
//!
//! Whose turn it is takes an immutable snapshot and an atomic ticket, and what is counted is atomic: nothing is locked. What decides
//! (a failure, a failover, a probe, a transition, a reload) goes through one short lock that is never held across an await. That an
//! attempt went well decides only where something is held against somebody; see [`Pool::opened`].

mod blame;
mod by_hand;
mod demand;
mod idle;
mod lag;
mod latency;
mod lease;
mod pick;
mod snapshot;
mod state;
mod turns;
mod upstream;
mod warm;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Config;
use crate::core::attribution::Attributed;
use crate::core::balancer::{Balancer, Plan, Transition};
use crate::core::failover::{FailoverPolicy, RetryBudget};
use crate::core::health::{AttemptResult, Change, UpstreamHealth};
use crate::core::opened::Opened;
use crate::core::stats::{Reading, Stats};
use crate::core::time::Timestamp;
use crate::core::upstream::{Attempt, UpstreamId};
use crate::env::Env;
use crate::event::{Event, Observer};
use crate::http::via::Via;
use crate::upstream::resolver::Resolver;

pub(crate) use by_hand::Picking;
pub(crate) use lease::Lease;
pub(crate) use pick::Probe;
pub use snapshot::PoolError;
pub(crate) use snapshot::{Snapshot, UpstreamSettings};
pub(crate) use state::FailureMemory;
pub(crate) use upstream::{LastFailure, SWEEP, Upstream};
pub(crate) use warm::{Opening, Step};

use idle::IdlePlaces;
use snapshot::{build, members, standing};
use state::{HeldState, State, StateLock};
use turns::{Turns, change};

/// The upstreams of one proxy.
pub(crate) struct Pool<E: Env> {
    env: E,
    zero: Instant,
    observer: Arc<dyn Observer>,
    resolver: Resolver,
    pub(crate) idle_places: IdlePlaces,
    current: ArcSwap<Snapshot<E::Stream>>,
    pub(crate) stats: Stats,
    retries: RetryBudget,
    opened: Opened,
    state: StateLock,
    /// Rotates ties among the least-failed.
    turn: AtomicU64,
    /// Wakes whoever sweeps idle connections, whoever keeps connections warm, and, with the latter, the prober.
    pub(crate) idle_kept: Notify,
    pub(crate) warm_taken: Notify,
    pub(crate) changed: Notify,
}

impl<E: Env> Pool<E> {
    /// The pool of `config`, all of it eligible.
    pub(crate) fn new(env: E, config: &Config, via: Via, observer: Arc<dyn Observer>) -> Result<Arc<Self>, PoolError> {
        let (resolver, idle_places) = (Resolver::default(), IdlePlaces::new(env.max_kept()));
        let upstreams = build(config, &[], &mut 0, &resolver, &env)?;
        let members = members(&upstreams);
        let balancer = Balancer::new(config.health.policy, &members)?;
        let snapshot = Snapshot {
            turns: Turns::of(balancer.epoch().clone()),
            standing: standing(balancer.epoch(), &upstreams, |id| balancer.health(id)),
            failover: config.failover_policy(),
            settings: UpstreamSettings::new(config, via),
            upstreams,
        };
        let state = State::new(balancer, members.len() as u32, snapshot.settings.check_memory);
        let pool = Arc::new(Pool {
            env,
            zero: Instant::now(),
            observer,
            resolver,
            idle_places,
            current: ArcSwap::from_pointee(snapshot),
            stats: Stats::default(),
            retries: RetryBudget::default(),
            opened: Opened::default(),
            state: StateLock::new(state),
            turn: AtomicU64::new(0),
            idle_kept: Notify::new(),
            warm_taken: Notify::new(),
            changed: Notify::new(),
        });
        pool.emit_epoch(&pool.current.load());
        Ok(pool)
    }

    /// Takes over another configuration; unchanged upstreams keep health, statistics and connections.
    pub(crate) fn configure(&self, config: &Config, via: Via) -> Result<(), PoolError> {
        // Outside the mutex: a TLS upstream's roots may be read from files, and every request would wait. Only reloads
        // change which upstreams there are, and they come one at a time.
        let mut next_id = self.state.lock().next_id;
        let upstreams = build(config, &self.current.load_full().upstreams, &mut next_id, &self.resolver, &self.env)?;
        let members = members(&upstreams);
        let anew = self.current.load().known_otherwise(&upstreams);
        // Outside as well: a thousand upstreams may have a schedule of half a million slots.
        let out: Vec<_> = {
            let state = self.state.lock();
            members.iter().map(|member| member.id).filter(|id| state.balancer.is_out(*id)).collect()
        };
        let plan = Plan::new(&members, |id| out.contains(&id) && !anew.contains(&id))?;
        let mut state = self.state.lock();
        let before = self.current.load_full();
        let now = self.now();
        let health = |id: &UpstreamId| Some((*id, state.balancer.health(*id)?.ejection()?.since));
        let recovered: Vec<_> = anew.iter().filter_map(health).collect();
        let configure = |balancer: &mut Balancer, ticket| {
            let renewed = balancer.adopt(config.health.policy, plan, &anew, (ticket, now));
            (renewed, standing(balancer.epoch(), &upstreams, |id| balancer.health(id)))
        };
        let ((renewed, _), snapshot) =
            change(&self.current, &mut state.balancer, configure, |_, turns, (_, standing)| {
                Some(Snapshot {
                    turns,
                    standing: Arc::clone(standing),
                    failover: config.failover_policy(),
                    settings: UpstreamSettings::new(config, via),
                    upstreams: upstreams.clone(),
                })
            });
        let Some(snapshot) = snapshot else { return Ok(()) };
        state.next_id = next_id;
        state.set_check_memory(snapshot.settings.check_memory);
        for upstream in &snapshot.upstreams {
            upstream.figures.set_sound(state.balancer.health(upstream.id));
        }
        for gone in before.upstreams.iter().filter(|one| snapshot.get(one.id).is_none()) {
            self.stats.depart(Arc::clone(&gone.figures.counters));
        }
        drop(state);
        // From now on what comes counts as of now.
        self.sample();
        before.retire_all_but(&snapshot);
        for (upstream, since) in recovered {
            let (name, url) = snapshot.get(upstream).map_or(("", ""), |one| (&one.label.name, &one.label.url));
            self.emit(&Event::Recovered { upstream, name, url, after: now.since(since) });
        }
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

    /// The same moment on the runtime's clock.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.zero + at.since(Timestamp::ZERO)
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.emit_at(self.now(), event);
    }

    /// As [`Pool::emit`], by a caller who has looked at the clock.
    pub(crate) fn emit_at(&self, now: Timestamp, event: &Event<'_>) {
        self.observer.on(now, event);
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot<E::Stream>> {
        self.current.load_full()
    }

    /// Whether a request could be served now, by an upstream as a last resort if need be.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.lock().balancer.may_serve()
    }

    /// How many upstreams a request may be sent to, and the figures that bound it.
    pub(crate) fn failover_policy(&self) -> (FailoverPolicy, usize) {
        let current = self.current.load();
        let candidates = match current.turns.epoch().eligible() {
            0 => current.upstreams.iter().filter(|upstream| !upstream.config.weight.is_zero()).count(),
            eligible => eligible,
        };
        (current.failover, candidates)
    }

    /// How many [`Pool::pick_behind`] could pick.
    pub(crate) fn untried(&self, tried: &[UpstreamId]) -> usize {
        self.state.lock().balancer.candidates(tried)
    }

    /// When the next probe is due.
    pub(crate) fn next_probe(&self) -> Option<Timestamp> {
        self.state.lock().balancer.next_wakeup()
    }

    /// Closes the connections to upstreams that nobody uses: clients wait to be let in, and there is no descriptor for them.
    pub(crate) fn give_way(&self) {
        for upstream in &self.snapshot().upstreams {
            upstream.give_way();
        }
    }

    /// Whether the upstream takes picks.
    pub(crate) fn is_eligible(&self, id: UpstreamId) -> bool {
        self.state.lock().balancer.health(id).is_some_and(|health| health.is_eligible())
    }

    /// What an attempt's end says of its upstream.
    pub(crate) fn report(&self, attempt: Attempt, result: AttemptResult) {
        let sound = |upstream: &Arc<Upstream<E::Stream>>| upstream.figures.is_sound();
        if !result.concerns_the_sound() && self.current.load().get(attempt.upstream).is_some_and(sound) {
            return;
        }
        let mut state = self.state.lock();
        let transition = self.report_to(&mut state, attempt, result, self.now());
        drop(state);
        self.emit_transition(transition, None);
    }

    fn settle(&self, mut state: HeldState<'_>, blamed: &[Attributed]) {
        if blamed.is_empty() {
            return;
        }
        let now = self.now();
        let transitions: Vec<_> =
            blamed.iter().map(|one| self.report_to(&mut state, one.attempt, one.result(), now)).collect();
        drop(state);
        for (one, transition) in blamed.iter().zip(transitions) {
            self.emit(&Event::Blamed { upstream: one.attempt.upstream, blame: one.blame, rule: one.rule });
            self.emit_transition(transition, None);
        }
    }

    fn report_to(
        &self,
        state: &mut State,
        attempt: Attempt,
        result: AttemptResult,
        now: Timestamp,
    ) -> Option<Changed<E::Stream>> {
        let random = self.env.rand_u64();
        let report = |balancer: &mut Balancer, ticket| balancer.report(attempt, result, ticket, random, now);
        self.decide(state, attempt.upstream, attempt.probe, report)
    }

    /// Has the balancer `decide` on an upstream, a `probe` of which may have ended, and puts what comes of it in force.
    fn decide(
        &self,
        state: &mut State,
        upstream: UpstreamId,
        probe: bool,
        decide: impl FnOnce(&mut Balancer, u64) -> Option<Transition>,
    ) -> Option<Changed<E::Stream>> {
        let decide = |balancer: &mut Balancer, ticket| {
            let before = balancer.epoch().number();
            let transition = decide(balancer, ticket);
            let epoch = balancer.epoch();
            let changed = epoch.number() != before;
            (transition, changed.then(|| standing(epoch, &self.current.load().upstreams, |id| balancer.health(id))))
        };
        let ((transition, _), renewed) =
            change(&self.current, &mut state.balancer, decide, |before, turns, (_, new)| {
                new.as_ref().map(|standing| Snapshot {
                    turns,
                    standing: Arc::clone(standing),
                    upstreams: before.upstreams.clone(),
                    failover: before.failover,
                    settings: Arc::clone(&before.settings),
                })
            });
        let health = state.balancer.health(upstream);
        if let Some(upstream) = self.current.load().get(upstream) {
            upstream.figures.set_sound(health);
        }
        let ejected = health.is_some_and(|health| !health.is_eligible());
        if transition.is_none() && !probe && !ejected {
            return None;
        }
        self.note_wanted(state);
        if transition.is_none() {
            // All the same: the prober sleeps until what was due before.
            self.changed.notify_waiters();
        }
        Some(Changed { transition: transition?, renewed })
    }

    /// Tells of a transition, and why it came about: because of `cause`, else of what failed last.
    fn emit_transition(&self, changed: Option<Changed<E::Stream>>, cause: Option<&str>) {
        let Some(Changed { transition, renewed }) = changed else { return };
        let (upstream, current) = (transition.upstream, self.current.load());
        let (name, url) = current.get(upstream).map_or(("", ""), |one| (&one.label.name, &one.label.url));
        let last = current.get(upstream).and_then(|one| one.figures.last_cause());
        let cause = cause.or(last.as_deref());
        self.emit(&match transition.change {
            Change::Suspected { failures } => Event::Suspected { upstream, name, url, failures, cause },
            Change::Ejected { failures, until } => Event::Ejected { upstream, name, url, failures, cause, until },
            Change::BackedOff { until } => Event::BackedOff { upstream, name, url, cause, until },
            Change::Recovered { after } => Event::Recovered { upstream, name, url, after },
        });
        if let Some(snapshot) = renewed {
            self.emit_epoch(&snapshot);
        }
        // Not before it is told, so that whoever listens hears of a suspicion before the probe that it brings about.
        self.changed.notify_waiters();
    }

    fn emit_epoch(&self, snapshot: &Snapshot<E::Stream>) {
        let state = self.state.lock();
        let members: Vec<(UpstreamId, u32)> = (snapshot.upstreams.iter())
            .filter(|one| !one.config.weight.is_zero())
            .filter(|one| state.balancer.health(one.id).is_some_and(|health| health.is_eligible()))
            .map(|one| (one.id, one.config.weight.get()))
            .collect();
        drop(state);
        let epoch = snapshot.turns.epoch();
        self.emit(&Event::EpochStarted { number: epoch.number(), offset: epoch.offset(), members: &members });
    }

    fn note_wanted(&self, state: &mut State) {
        state.target_wanted = state.balancer.wants_target();
    }

    /// Everything that is counted. Counters that no request waits for are read one by one, in an order in which sums never
    /// contradict each other ([`Stats`]).
    pub(crate) fn read(&self) -> PoolReading<E::Stream> {
        let now = self.now();
        let requests = self.stats.requests.read(now);
        // Under the lock, so that a reload moves none from the one to the other meanwhile.
        let state = self.state.lock();
        let snapshot = self.current.load_full();
        let departed = self.stats.read_departed(now);
        let health: Vec<_> =
            snapshot.upstreams.iter().map(|one| state.balancer.health(one.id).unwrap_or_default()).collect();
        drop(state);
        let read = |(upstream, health): (&Arc<Upstream<E::Stream>>, UpstreamHealth)| UpstreamReading {
            upstream: Arc::clone(upstream),
            counters: upstream.figures.counters.read(now),
            health,
        };
        let upstreams = snapshot.upstreams.iter().zip(health).map(read).collect();
        PoolReading { now, requests, rejected: self.stats.rejected(), departed, upstreams }
    }

    /// Reads what every counter has come to, so that it counts in the windows for the time at which it came, and forgets
    /// what is too old to be of use. Somebody has to once per bucket of the windows.
    pub(crate) fn sample(&self) {
        let now = self.now();
        self.stats.requests.read(now);
        self.stats.read_departed(now);
        for upstream in &self.current.load_full().upstreams {
            upstream.figures.sample(now);
        }
        if !self.state.is_quiet() {
            self.state.lock().forget_old(now);
        }
    }
}

/// What a pool has counted by `now`.
pub(crate) struct PoolReading<S> {
    pub(crate) now: Timestamp,
    pub(crate) requests: Reading,
    pub(crate) rejected: u64,
    /// Through upstreams that have left.
    pub(crate) departed: Reading,
    /// In order of id.
    pub(crate) upstreams: Vec<UpstreamReading<S>>,
}

/// What a pool has counted of one upstream, and its health.
pub(crate) struct UpstreamReading<S> {
    pub(crate) upstream: Arc<Upstream<S>>,
    pub(crate) counters: Reading,
    pub(crate) health: UpstreamHealth,
}

struct Changed<S> {
    transition: Transition,
    renewed: Option<Arc<Snapshot<S>>>,
}
