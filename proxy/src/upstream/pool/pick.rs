//! Picks upstreams for attempts: by ticket, behind failed attempts, as probes and for checks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Lease, Pool, Upstream};
use crate::core::balancer::Probing;
use crate::core::upstream::{Attempt, UpstreamId};
use crate::env::Env;
use crate::event::{Event, RequestId};

impl<E: Env> Pool<E> {
    /// The first pick of a request: a probe that is due, else whose turn it is, else the least-failed.
    pub(crate) fn pick_first(self: &Arc<Self>, request: RequestId) -> Option<Lease<E>> {
        if self.probe_due.load(Ordering::Relaxed) != u64::MAX
            && let Some(lease) = self.take_probe(Probing::Lent, Some(request))
        {
            return Some(lease);
        }
        let current = self.current.load();
        if current.epoch.eligible() == 0 {
            drop(current);
            return self.pick_behind(request, 0, &[]);
        }
        let ticket = current.ticket.fetch_add(1, Ordering::Relaxed);
        let upstream = current.get(current.epoch.pick(ticket)?)?;
        Some(self.lease(upstream, Some(request), 0, (current.epoch.number(), Some(ticket)), false))
    }

    /// The pick of a request behind failed ones.
    pub(crate) fn pick_behind(
        self: &Arc<Self>,
        request: RequestId,
        attempt: u32,
        tried: &[UpstreamId],
    ) -> Option<Lease<E>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let state = self.state();
        // Under the mutex, so that the snapshot is the balancer's.
        let current = self.current.load();
        let load = |id| current.get(id).map_or(0, |upstream| upstream.leased());
        let id = state.balancer.failover(tried, turn, load)?;
        drop(state);
        let upstream = current.get(id)?;
        Some(self.lease(upstream, Some(request), attempt, (current.epoch.number(), None), false))
    }

    /// A probe that is due and is `prober`'s to send.
    pub(crate) fn take_probe(self: &Arc<Self>, prober: Probing, request: Option<RequestId>) -> Option<Lease<E>> {
        let now = self.now();
        if now.as_nanos() < self.probe_due.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.state();
        let id = state.balancer.take_probe(prober, now);
        self.note_probe_due(&state);
        let current = self.current.load();
        drop(state);
        let upstream = current.get(id?)?;
        Some(self.lease(upstream, request, 0, (current.epoch.number(), None), true))
    }

    /// A lease for an active check, outside all picking.
    pub(crate) fn lease_for_check(self: &Arc<Self>, upstream: &Arc<Upstream<E::Stream>>) -> Lease<E> {
        let attempt = Attempt { upstream: upstream.id, started: self.now(), probe: false };
        self.leased(upstream, attempt, None)
    }

    fn lease(
        self: &Arc<Self>,
        upstream: &Arc<Upstream<E::Stream>>,
        request: Option<RequestId>,
        attempt: u32,
        (epoch, ticket): (u64, Option<u64>),
        probe: bool,
    ) -> Lease<E> {
        let now = self.now();
        self.emit(&Event::PickMade { request, attempt, epoch, ticket, upstream: upstream.id, probe });
        self.leased(upstream, Attempt { upstream: upstream.id, started: now, probe }, request)
    }

    fn leased(
        self: &Arc<Self>,
        upstream: &Arc<Upstream<E::Stream>>,
        attempt: Attempt,
        request: Option<RequestId>,
    ) -> Lease<E> {
        upstream.figures.leased.fetch_add(1, Ordering::Relaxed);
        if request.is_some() {
            self.state().stats.attempt_entered(upstream.id, attempt.started);
        }
        Lease { pool: Arc::clone(self), upstream: Arc::clone(upstream), attempt, request, ended: false }
    }
}
