//! Holds a lease: an attempt's claim on its upstream, which reports how the attempt ended.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use super::{LastFailure, Pool, Upstream};
use crate::core::attribution::Failure;
use crate::core::health::AttemptResult;
use crate::core::time::Timestamp;
use crate::core::upstream::Attempt;
use crate::env::Env;
use crate::event::{Event, RequestId};
use crate::upstream::clock::PhaseClock;
use crate::upstream::failed::FailedAttempt;
use crate::upstream::leg::Leg;

/// A claim on an upstream for one attempt and whatever it opens. If it is dropped before the attempt has
/// ended, it counts as "the client went away": nothing else drops it early.
pub(crate) struct Lease<E: Env> {
    pub(super) pool: Arc<Pool<E>>,
    pub(crate) upstream: Arc<Upstream<E::Stream>>,
    pub(super) attempt: Attempt,
    pub(super) request: Option<RequestId>,
    pub(super) ended: bool,
}

impl<E: Env> Lease<E> {
    pub(crate) fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// The attempt has its verdict. What it means for health is told apart, since that may have to wait.
    /// `clock` has followed it, and stops.
    pub(crate) fn end_attempt(&mut self, failed: Option<&FailedAttempt>, clock: &mut PhaseClock) {
        self.end_attempt_at(failed, clock, self.pool.now());
    }

    /// As [`Lease::end_attempt`], by a caller who has looked at the clock.
    pub(super) fn end_attempt_at(&mut self, failed: Option<&FailedAttempt>, clock: &mut PhaseClock, now: Timestamp) {
        self.ended = true;
        let took = now.since(self.attempt.started);
        if self.request.is_some() {
            self.upstream.figures.ended(failed.is_none(), took);
        }
        if let Some(failed) = failed.filter(|failed| failed.failure != Failure::ClientGone) {
            self.upstream.figures.failed(failed.clone(), now);
        }
        let failure = failed.map(|failed| failed.failure.as_str());
        let cause = failed.and_then(|failed| failed.cause.as_deref());
        let phases = clock.stop(now);
        let (request, upstream) = (self.request, self.upstream.id);
        self.pool.emit_at(now, &Event::AttemptEnded { request, upstream, failure, cause, phases, took });
    }

    /// A probe reached the upstream, which is all that it could ask for: no verdict on anything else.
    pub(crate) fn reached(&mut self) {
        self.ended = true;
        self.pool.report(self.attempt, AttemptResult::Reached);
    }

    /// The tunnel to `target` that this lease opened has ended: with a byte of its target or none, and by the upstream's
    /// side or not, because of `cause`. One that brought nothing counts once another upstream delivers from the same target.
    pub(crate) fn tunnel_ended(&self, target: &str, delivered: bool, by_upstream: bool, cause: Option<Arc<str>>) {
        if delivered {
            // Only what may have been counted needs to be undone; the usual end has nobody to charge.
            let brought_nothing = &self.upstream.figures.brought_nothing;
            if brought_nothing.load(Ordering::Relaxed) && brought_nothing.swap(false, Ordering::Relaxed) {
                self.pool.report(self.attempt, AttemptResult::Delivered);
            }
            self.pool.delivered(target, self.upstream.id);
        } else if by_upstream {
            self.upstream.figures.brought_nothing.store(true, Ordering::Relaxed);
            let failed = FailedAttempt { failure: Failure::EmptyTunnel, cause };
            self.upstream.figures.failed(failed, self.pool.now());
            self.pool.brought_nothing(target, self.attempt);
        }
    }

    /// What this lease opened, a tunnel or a reply, broke off: the statistics show it, and nobody is charged.
    pub(crate) fn broke_off(&self, failure: &'static str, cause: Option<Arc<str>>) {
        self.upstream.figures.broke_off(LastFailure { failure, cause, at: self.pool.now() });
    }

    /// A kept connection that had been idle for less than `idle_for` when the attempt began, which is now, and on which nothing
    /// has come since.
    pub(crate) async fn take_kept(&self, idle_for: Duration) -> Option<Leg<E::Stream>> {
        let bounds = (idle_for, self.pool.instant(self.attempt.started));
        poll_fn(|cx| Poll::Ready(self.upstream.take_idle(bounds, |leg| leg.has_spoken(cx)))).await
    }

    /// A warm connection on which nothing has come, for a CONNECT.
    pub(crate) async fn take_warm(&self) -> Option<Leg<E::Stream>> {
        let warm = self.upstream.warm.as_ref()?;
        let leg = poll_fn(|cx| Poll::Ready(warm.take(self.attempt.started, |leg| leg.has_spoken(cx)))).await;
        self.pool.warm_taken.notify_one();
        leg
    }

    /// Gives a connection back for the next request.
    pub(crate) fn keep(&self, leg: Leg<E::Stream>, most: usize) {
        if self.upstream.keep_idle(leg, most, &self.pool.idle_places) {
            self.pool.idle_kept.notify_one();
        }
    }
}

impl<E: Env> Drop for Lease<E> {
    fn drop(&mut self) {
        if !self.ended {
            self.end_attempt(Some(&Failure::ClientGone.into()), &mut PhaseClock::default());
            self.pool.report(self.attempt, AttemptResult::Neutral);
        }
        self.upstream.figures.leased.fetch_sub(1, Ordering::Relaxed);
        if self.request.is_some() {
            self.upstream.figures.counters.left();
        }
    }
}
