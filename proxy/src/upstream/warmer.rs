//! Opens connections to upstreams before a CONNECT asks for one, so that a tunnel does not wait for its connection.
//!
//! How many follows from the demand; none to an upstream that takes no picks. They end when accepting stops.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, sleep_until};

use crate::core::failover::Allowance;
use crate::env::{Env, Stop};
use crate::upstream::clock::PhaseClock;
use crate::upstream::dial::{DialSettings, connect};
use crate::upstream::pool::{Opening, Pool, Step, Upstream};

/// Keeps connections to every upstream warm that is configured so, until accepting stops.
pub(crate) async fn keep_warm<E: Env>(env: E, pool: Arc<Pool<E>>, closing: Stop) {
    let warmer = Warmer { env, pool, closing };
    loop {
        // Armed before the state is read, so that a change in between is not missed.
        let changed = warmer.pool.changed.notified();
        poll_fn(|cx| Poll::Ready(warmer.sweep(cx))).await;
        let wake = warmer.step();
        let due = async {
            match wake {
                Some(wake) => sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        // Whatever wakes this task may be the end of a connection.
        let ended = poll_fn(|cx| if warmer.sweep(cx) { Poll::Ready(()) } else { Poll::Pending });
        tokio::select! {
            biased;
            () = warmer.closing.wait() => break,
            () = changed => {}
            () = warmer.pool.warm_taken.notified() => {}
            () = due => {}
            () = ended => {}
        }
    }
    for upstream in &warmer.pool.snapshot().upstreams {
        if let Some(warm) = &upstream.warm {
            warm.retire();
        }
    }
}

#[derive(Clone)]
struct Warmer<E: Env> {
    env: E,
    pool: Arc<Pool<E>>,
    closing: Stop,
}

impl<E: Env> Warmer<E> {
    /// Closes what is not wanted any more: what is old or has ended, and all to an upstream that takes no picks. Tells whether
    /// any had ended. `cx` is woken when the next one ends.
    fn sweep(&self, cx: &mut Context<'_>) -> bool {
        let mut ended = false;
        for upstream in &self.pool.snapshot().upstreams {
            match &upstream.warm {
                Some(warm) if self.takes_picks(upstream) => ended |= warm.sweep(|leg| leg.has_spoken(cx)),
                Some(warm) => warm.clear(),
                None => {}
            }
        }
        ended
    }

    fn takes_picks(&self, upstream: &Upstream<E::Stream>) -> bool {
        !upstream.config.weight.is_zero() && self.pool.is_eligible(upstream.id)
    }

    /// Begins to open what is wanted, and says when to come back.
    fn step(&self) -> Option<Instant> {
        let mut wake: Option<Instant> = None;
        for upstream in &self.pool.snapshot().upstreams {
            let Some(warm) = upstream.warm.as_ref().filter(|_| self.takes_picks(upstream)) else { continue };
            let Step { open, wake: due } = warm.step(self.pool.now(), &self.pool.idle_places);
            wake = wake.into_iter().chain(due).min();
            for opening in open {
                let (warmer, upstream) = (self.clone(), Arc::clone(upstream));
                self.env.spawn(async move { warmer.open(&upstream, opening).await });
            }
        }
        wake
    }

    async fn open(&self, upstream: &Upstream<E::Stream>, opening: Opening) {
        let settings = Arc::clone(&self.pool.snapshot().settings);
        let (connect_timeout, reply_timeout) = settings.probe_timeouts;
        let allowance = Allowance::whole(connect_timeout, reply_timeout, self.pool.now());
        let dial_settings = DialSettings { limits: settings.limits, dns: settings.dns, via: None };
        let mut clock = PhaseClock::default();
        let connected = tokio::select! {
            biased;
            () = self.closing.wait() => return,
            connected = connect(&self.pool, &self.env, (upstream, &mut clock), &allowance, dial_settings) => connected,
        };
        if let Some(warm) = &upstream.warm {
            warm.opened(opening, connected.ok());
        }
        // The upstream may have been ejected meanwhile, and the next may be due.
        self.pool.warm_taken.notify_one();
    }
}
