//! Picks upstreams for attempts: by ticket, behind failed attempts, as probes and for checks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Lease, Pool, Upstream};
use crate::core::attribution::{DEFAULT_MEMORY, Service};
use crate::core::health::Charge;
use crate::core::time::Timestamp;
use crate::core::upstream::{Attempt, UpstreamId};
use crate::env::Env;
use crate::event::{Event, Pick, RequestId};

/// An upstream that is out, and what it may be asked to show that it works.
pub(crate) struct Probe<E: Env> {
    pub(crate) lease: Lease<E>,
    /// What it has to disprove.
    pub(crate) charge: Charge,
    /// What other upstreams opened moments ago, the best first.
    pub(crate) targets: Vec<(Service, String)>,
}

impl<E: Env> Pool<E> {
    /// The first pick of a request: whose turn it is, else the least-failed.
    pub(crate) fn pick_first(self: &Arc<Self>, request: RequestId, now: Timestamp) -> Option<(Lease<E>, Pick)> {
        let current = self.current.load();
        let Some((ticket, upstream)) = current.turns.take() else {
            drop(current);
            return self.pick_from_balancer(request, (0, &[]), now);
        };
        let upstream = current.get(upstream)?;
        let pick = Pick::new(Arc::clone(&current.standing), Some(ticket));
        Some((self.lease(upstream, Some(request), 0, (pick.standing.epoch, Some(ticket)), false, now), pick))
    }

    /// The pick of a request behind failed ones; `None` where nobody is left, or all requests together have failed over
    /// as often as they may.
    pub(crate) fn pick_behind(
        self: &Arc<Self>,
        request: RequestId,
        behind: (u32, &[UpstreamId]),
        now: Timestamp,
    ) -> Option<(Lease<E>, Pick)> {
        let policy = self.current.load().failover.retry_budget;
        let allowed = self.retries.take(&policy, now);
        allowed.then(|| self.pick_from_balancer(request, behind, now))?
    }

    /// Whether all requests together may fail over once more.
    pub(crate) fn may_fail_over(&self) -> bool {
        let policy = self.current.load().failover.retry_budget;
        self.retries.allows(&policy, self.now())
    }

    fn pick_from_balancer(
        self: &Arc<Self>,
        request: RequestId,
        (attempt, tried): (u32, &[UpstreamId]),
        now: Timestamp,
    ) -> Option<(Lease<E>, Pick)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let state = self.state.lock();
        // Under the lock, so that the snapshot is the balancer's.
        let current = self.current.load();
        let load = |id| current.get(id).map_or(0, |upstream| upstream.leased());
        let id = state.balancer.failover(tried, turn, load)?;
        drop(state);
        let upstream = current.get(id)?;
        let pick = Pick::new(Arc::clone(&current.standing), None);
        Some((self.lease(upstream, Some(request), attempt, (pick.standing.epoch, None), false, now), pick))
    }

    /// A probe that is to be sent now.
    pub(crate) fn take_probe(self: &Arc<Self>) -> Option<Probe<E>> {
        let now = self.now();
        let mut state = self.state.lock();
        let targets = |id: UpstreamId, charge: Charge| -> Vec<(Service, String)> {
            let of =
                |asked| self.opened.by_others(id, asked, DEFAULT_MEMORY, now).map(move |name| (asked, name.into()));
            match charge {
                Charge::Page => of(Service::Page).chain(of(Service::Tunnel)).collect(),
                Charge::Unreachable => of(Service::Tunnel).chain(of(Service::Page)).collect(),
                // A page says nothing of tunnels.
                Charge::BadAnswer | Charge::Tunnel | Charge::EmptyTunnel => of(Service::Tunnel).collect(),
            }
        };
        let id = state.balancer.take_probe(|id, charge| !targets(id, charge).is_empty(), now)?;
        let charge = state.balancer.health(id)?.ejection()?.charge;
        let targets = targets(id, charge);
        self.note_wanted(&mut state);
        let current = self.current.load();
        drop(state);
        let lease = self.lease(current.get(id)?, None, 0, (current.turns.epoch().number(), None), true, self.now());
        Some(Probe { lease, charge, targets })
    }

    /// Whether another than `than` opened this target less than `within` ago, as far as that is remembered.
    pub(crate) fn was_opened_elsewhere(
        &self,
        than: UpstreamId,
        (asked, target): (Service, &str),
        within: Duration,
    ) -> bool {
        self.opened.by_another(than, asked, target, within, self.now())
    }

    /// A lease for an active check, outside all picking.
    pub(crate) fn lease_for_check(self: &Arc<Self>, upstream: &Arc<Upstream<E::Stream>>) -> Lease<E> {
        let attempt = Attempt { upstream: upstream.id, started: self.now(), probe: false };
        self.leased(upstream, attempt, None, false)
    }

    fn lease(
        self: &Arc<Self>,
        upstream: &Arc<Upstream<E::Stream>>,
        request: Option<RequestId>,
        attempt: u32,
        (epoch, ticket): (u64, Option<u64>),
        probe: bool,
        now: Timestamp,
    ) -> Lease<E> {
        self.emit_at(now, &Event::PickMade { request, attempt, epoch, ticket, upstream: upstream.id, probe });
        self.leased(upstream, Attempt { upstream: upstream.id, started: now, probe }, request, attempt == 0)
    }

    fn leased(
        self: &Arc<Self>,
        upstream: &Arc<Upstream<E::Stream>>,
        attempt: Attempt,
        request: Option<RequestId>,
        first: bool,
    ) -> Lease<E> {
        upstream.figures.leased.fetch_add(1, Ordering::Relaxed);
        if request.is_some() {
            upstream.figures.counters.entered();
            if first {
                self.retries.request(attempt.started);
            }
        }
        Lease { pool: Arc::clone(self), upstream: Arc::clone(upstream), attempt, request, ended: false }
    }
}
