//! Checks every upstream actively, and closes idle connections that have ended.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::config::ActiveChecks;
use crate::core::attribution::{Evidence, Failure};
use crate::core::balancer::Probing;
use crate::core::failover::{Budget, FailoverPolicy};
use crate::core::health::AttemptResult;
use crate::core::upstream::UpstreamId;
use crate::core::window::BUCKET;
use crate::env::{Env, Stop};
use crate::http::authority::Authority;
use crate::upstream::dial::{DialSettings, open_tunnel};
use crate::upstream::failed::FailedAttempt;
use crate::upstream::pool::{FailureMemory, Lease, Pool, SWEEP, UpstreamSettings};

/// How long the prober sleeps if nothing is due. A reload wakes it earlier.
const FAR: Duration = Duration::from_secs(3600);

/// When each upstream is to be checked next, and which endpoint's turn it is then. Every upstream goes through the
/// endpoints in the same order at about the same time, so that the checks of one upstream tell whether an endpoint or another upstream is at fault.
#[derive(Default)]
struct Plan {
    due: BTreeMap<UpstreamId, Instant>,
    turns: BTreeMap<UpstreamId, usize>,
}

/// Checks every upstream on its interval, and an ejected one when its probe is due, until accepting stops.
pub(crate) async fn check<E: Env>(env: E, pool: Arc<Pool<E>>, closing: Stop) {
    let mut plan = Plan::default();
    loop {
        // Armed before the state is read, so that a change in between is not missed.
        let changed = pool.changed.notified();
        let settings = Arc::clone(&pool.snapshot().settings);
        let wake = match &settings.checks {
            Some(checks) => plan.step(&env, &pool, &settings, checks),
            None => {
                plan = Plan::default();
                Instant::now() + FAR
            }
        };
        tokio::select! {
            biased;
            () = closing.wait() => return,
            () = changed => {}
            () = sleep_until(wake) => {}
        }
    }
}

impl Plan {
    /// Starts what is due and says when to come back.
    fn step<E: Env>(
        &mut self,
        env: &E,
        pool: &Arc<Pool<E>>,
        settings: &Arc<UpstreamSettings>,
        checks: &ActiveChecks,
    ) -> Instant {
        let now = Instant::now();
        while let Some(lease) = pool.take_probe(Probing::Checked, None) {
            self.start(env, pool, settings, checks, lease);
        }
        let snapshot = pool.snapshot();
        self.due.retain(|id, _| snapshot.get(*id).is_some());
        self.turns.retain(|id, _| snapshot.get(*id).is_some());
        for upstream in &snapshot.upstreams {
            // An ejected one is left alone until its probe.
            if upstream.config.weight.is_zero() || !pool.is_eligible(upstream.id) {
                self.due.remove(&upstream.id);
                continue;
            }
            // The first check comes somewhere within the interval, so that a start is no burst.
            let within = |span: Duration| span.mul_f64(fraction(env.rand_u64()));
            let due = *self.due.entry(upstream.id).or_insert_with(|| now + within(checks.interval));
            if due <= now {
                let tenth = checks.interval / 10;
                self.due.insert(upstream.id, now + checks.interval - tenth + within(tenth * 2));
                let lease = pool.lease_for_check(upstream);
                self.start(env, pool, settings, checks, lease);
            }
        }
        let probe = pool.next_probe().map(|at| now + at.since(pool.now()));
        self.due.values().copied().chain(probe).min().unwrap_or(now + FAR)
    }

    fn start<E: Env>(
        &mut self,
        env: &E,
        pool: &Arc<Pool<E>>,
        settings: &Arc<UpstreamSettings>,
        checks: &ActiveChecks,
        lease: Lease<E>,
    ) {
        let endpoints: Vec<Authority> = if checks.rotate {
            let turn = self.turns.entry(lease.upstream.id).or_default();
            *turn = turn.wrapping_add(1);
            checks.endpoints.get(*turn % checks.endpoints.len().max(1)).cloned().into_iter().collect()
        } else {
            // The first endpoint that answers decides; the next one is tried only if it does not.
            checks.endpoints.clone()
        };
        let (env, pool, settings, timeout) = (env.clone(), Arc::clone(pool), Arc::clone(settings), checks.timeout);
        env.clone().spawn(async move { check_one(&env, &pool, &settings, endpoints, timeout, lease).await });
    }
}

/// One check: a CONNECT through the upstream. It is judged as an attempt of a request is, so that an endpoint which fails
/// through every upstream is the endpoint's fault.
async fn check_one<E: Env>(
    env: &E,
    pool: &Arc<Pool<E>>,
    settings: &UpstreamSettings,
    endpoints: Vec<Authority>,
    limit: Duration,
    mut lease: Lease<E>,
) {
    let via = settings.via.for_connect(&crate::http::head::Fields::new());
    let dial_settings = DialSettings { limits: settings.limits, dns: settings.dns, via: via.as_deref() };
    let policy =
        FailoverPolicy { max_attempts: None, request_timeout: limit, connect_timeout: limit, reply_timeout: limit };
    let late = || FailedAttempt::timed_out(Failure::ReplyTimeout, "no reply", limit);
    let mut last = late();
    for target in endpoints {
        let Ok(allowance) = Budget::new(policy, false, pool.now()).next(0, pool.now()) else { continue };
        let attempt = open_tunnel(pool, env, &lease.upstream, &target, &allowance, dial_settings);
        let Err(failed) = timeout(limit, attempt).await.unwrap_or_else(|_| Err(late())) else {
            lease.end_attempt(None);
            pool.report(lease.attempt(), AttemptResult::Success);
            pool.opened(FailureMemory::Checks, &target.to_string(), lease.upstream.id, Evidence::default());
            return;
        };
        let mut evidence = Evidence::default();
        if let Some(blamed) = evidence.failed(lease.attempt(), failed.failure) {
            lease.end_attempt(Some(&failed));
            pool.blamed(blamed);
            return;
        }
        last = failed;
        // Each endpoint on its own: what other upstreams say of this one decides.
        pool.none_opened(FailureMemory::Checks, &target.to_string(), evidence);
    }
    lease.end_attempt(Some(&last));
}

/// A number from 0 up to 1 out of random bits.
fn fraction(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// Looks at the bytes that every upstream has carried, once per bucket of the statistics' window, so that bytes count
/// for the time at which they came, also those of a tunnel that lasts for hours.
pub(crate) async fn sample_bytes<E: Env>(pool: Arc<Pool<E>>, closing: Stop) {
    loop {
        tokio::select! {
            biased;
            () = closing.wait() => return,
            () = tokio::time::sleep(BUCKET) => {}
        }
        let now = pool.now();
        for upstream in &pool.snapshot().upstreams {
            upstream.figures.recent_bytes(now);
        }
    }
}

/// Closes kept connections that ended or were kept too long, so that none lingers half-closed; sleeps while none is kept.
pub(crate) async fn sweep<E: Env>(pool: Arc<Pool<E>>, closing: Stop) {
    loop {
        tokio::select! {
            biased;
            () = closing.wait() => return,
            () = pool.idle_kept.notified() => {}
        }
        while sweep_once(&pool).await {
            tokio::select! {
                biased;
                () = closing.wait() => return,
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }
}

/// Tells whether any connection is still kept.
async fn sweep_once<E: Env>(pool: &Pool<E>) -> bool {
    let snapshot = pool.snapshot();
    let idle_for = snapshot.settings.pool_idle;
    poll_fn(|cx| {
        let mut any = false;
        for upstream in &snapshot.upstreams {
            any |= upstream.sweep_idle(idle_for, |leg| leg.has_spoken(cx));
        }
        Poll::Ready(any)
    })
    .await
}
