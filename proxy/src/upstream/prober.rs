//! Active checks through every upstream, probes of those that are out, and the sweeping of connections that nobody uses.
//!
//! A probe is the proxy's own, beside the traffic: no client waits for one. It asks a check endpoint, or a target that
//! another upstream opened moments ago; where there is neither, it finds out whether the upstream can be reached, and the
//! next target that another upstream opens is asked for.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::ActiveChecks;
use crate::core::attribution::{Attributed, Author, Evidence, Failure, Service};
use crate::core::failover::Allowance;
use crate::core::health::{AttemptResult, Charge};
use crate::core::upstream::UpstreamId;
use crate::core::window::BUCKET;
use crate::env::{Env, Stop};
use crate::event::Event;
use crate::http::authority::Authority;
use crate::http::head::{Fields, Version};
use crate::upstream::clock::PhaseClock;
use crate::upstream::dial::{DialSettings, Dialled, ask_for_page, connect, open_tunnel};
use crate::upstream::failed::FailedAttempt;
use crate::upstream::leg::Leg;
use crate::upstream::pool::{FailureMemory, Lease, Pool, Probe, SWEEP, UpstreamSettings};

/// How long the prober sleeps if nothing is due. A reload wakes it earlier.
const FAR: Duration = Duration::from_secs(3600);

/// Targets that one probe asks for at most, check endpoints aside: any of them may be unreliable itself.
const TARGETS: usize = 3;

/// How long a probe's tunnel has to stand, of an upstream whose tunnels brought nothing.
const STANDS: Duration = Duration::from_secs(1);

/// When each upstream is to be checked next, and which endpoint's turn it is then. Every upstream goes through the
/// endpoints in the same order at about the same time, so that the checks of one upstream tell whether an endpoint or another upstream is at fault.
#[derive(Default)]
struct Plan {
    due: BTreeMap<UpstreamId, Instant>,
    turns: BTreeMap<UpstreamId, usize>,
}

/// Probes every ejected upstream when that is due, and checks the others on their interval where that is configured, until
/// accepting stops.
pub(crate) async fn check<E: Env>(env: E, pool: Arc<Pool<E>>, closing: Stop) {
    let mut plan = Plan::default();
    loop {
        // Armed before the state is read, so that a change in between is not missed.
        let changed = pool.changed.notified();
        let settings = Arc::clone(&pool.snapshot().settings);
        while let Some(probe) = pool.take_probe() {
            let (env, pool, settings) = (env.clone(), Arc::clone(&pool), Arc::clone(&settings));
            env.clone().spawn(async move { Prober { env: &env, pool: &pool, settings: &settings }.probe(probe).await });
        }
        let probe = pool.next_probe().map(|at| Instant::now() + at.since(pool.now()));
        let check = match &settings.checks {
            Some(checks) => plan.step(&env, &pool, &settings, checks),
            None => {
                plan = Plan::default();
                None
            }
        };
        let wake = probe.into_iter().chain(check).min().unwrap_or_else(|| Instant::now() + FAR);
        tokio::select! {
            biased;
            () = closing.wait() => return,
            () = changed => {}
            () = sleep_until(wake) => {}
        }
    }
}

impl Plan {
    /// Starts the checks that are due and says when to come back.
    fn step<E: Env>(
        &mut self,
        env: &E,
        pool: &Arc<Pool<E>>,
        settings: &Arc<UpstreamSettings>,
        checks: &ActiveChecks,
    ) -> Option<Instant> {
        let now = Instant::now();
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
                let endpoints = self.endpoints(upstream.id, checks);
                let (env, pool, settings) = (env.clone(), Arc::clone(pool), Arc::clone(settings));
                env.clone().spawn(async move {
                    Prober { env: &env, pool: &pool, settings: &settings }.check(lease, endpoints).await;
                });
            }
        }
        self.due.values().copied().min()
    }

    fn endpoints(&mut self, upstream: UpstreamId, checks: &ActiveChecks) -> Vec<Authority> {
        if !checks.rotate {
            // The first that answers; the next only where it does not.
            return checks.endpoints.clone();
        }
        let turn = self.turns.entry(upstream).or_default();
        *turn = turn.wrapping_add(1);
        checks.endpoints.get(*turn % checks.endpoints.len().max(1)).cloned().into_iter().collect()
    }
}

/// What asks upstreams on the proxy's own account.
struct Prober<'a, E: Env> {
    env: &'a E,
    pool: &'a Arc<Pool<E>>,
    settings: &'a UpstreamSettings,
}

/// What an upstream is asked for in a probe.
struct Ask {
    asked: Service,
    target: Authority,
    /// Another upstream opened it of late, so that failing on it counts.
    counts: bool,
}

impl<E: Env> Prober<'_, E> {
    /// One check: a CONNECT through the upstream. It is judged like a request's attempt, so that an endpoint which fails
    /// through every upstream is the endpoint's fault.
    async fn check(&self, mut lease: Lease<E>, endpoints: Vec<Authority>) {
        let mut clock = PhaseClock::default();
        let mut last = Failure::ReplyTimeout.into();
        for target in endpoints {
            let mut evidence = Evidence::new(Service::Tunnel);
            let Err(failed) = self.open((&lease.upstream, &mut clock), &target).await else {
                let opening = (&mut lease, &mut clock);
                self.pool.opened(FailureMemory::Checks, &target.to_string(), opening, evidence, self.pool.now());
                return;
            };
            let decided = self.pool.failed(&mut evidence, lease.attempt(), failed.failure).is_some();
            last = failed;
            if decided || self.is_gone(&lease) {
                break;
            }
            // Each endpoint on its own: what other upstreams say of this one decides.
            self.pool.none_opened(FailureMemory::Checks, &target.to_string(), evidence);
        }
        lease.end_attempt(Some(&last), &mut clock);
    }

    /// One probe, which is told of once, whatever comes of it.
    async fn probe(&self, probe: Probe<E>) {
        let asks = self.asks(&probe);
        let Probe { mut lease, charge, .. } = probe;
        let mut clock = PhaseClock::default();
        if asks.is_empty() {
            let (dialled, allowance) = ((&*lease.upstream, &mut clock), self.allowance());
            match connect(self.pool, self.env, dialled, &allowance, self.dial_settings(None)).await {
                Ok(_) => lease.reached(),
                Err(failed) => self.failed((lease, clock), Service::Tunnel, &failed),
            }
            return;
        }
        let mut doubt = None;
        let mut last = None;
        for ask in asks {
            let (upstream, target) = (lease.upstream.id, ask.target.to_string());
            self.pool.emit(&Event::ProbeAsked { upstream, target: &target });
            let done = match ask.asked {
                Service::Tunnel if charge == Charge::EmptyTunnel => {
                    self.open_and_stand((&lease.upstream, &mut clock), &ask.target).await
                }
                Service::Tunnel => self.open((&lease.upstream, &mut clock), &ask.target).await.map(drop),
                Service::Page => self.page((&lease.upstream, &mut clock), &ask.target).await,
            };
            let Err(failed) = done else {
                lease.end_attempt(None, &mut clock);
                self.pool.report(lease.attempt(), AttemptResult::Success);
                return;
            };
            if failed.failure.author(ask.asked) != Author::UpstreamOrTarget {
                return self.failed((lease, clock), ask.asked, &failed);
            }
            // Unless what opened it has brought nothing from it since, and only said that it had.
            if ask.counts && self.pool.was_opened_elsewhere(upstream, (ask.asked, &target), Duration::MAX) {
                doubt = Some(failed.failure.charge(ask.asked));
            }
            last = Some(failed);
            if self.is_gone(&lease) {
                break;
            }
        }
        lease.end_attempt(last.as_ref(), &mut clock);
        match doubt {
            Some(charge) => self.pool.disproved(Attributed::opened_elsewhere(lease.attempt(), charge)),
            // It may be the endpoint's fault; but it was reached.
            None => self.pool.report(lease.attempt(), AttemptResult::Reached),
        }
    }

    /// Whether a reload has removed the upstream meanwhile, or has given it other credentials: it is asked nothing more.
    fn is_gone(&self, lease: &Lease<E>) -> bool {
        self.pool.snapshot().get(lease.upstream.id).is_none()
    }

    /// A probe came to an end that needs no second opinion, or will have none.
    fn failed(&self, (mut lease, mut clock): (Lease<E>, PhaseClock), asked: Service, failed: &FailedAttempt) {
        lease.end_attempt(Some(failed), &mut clock);
        if self.pool.failed(&mut Evidence::new(asked), lease.attempt(), failed.failure).is_none() {
            // Such as a connection that stood and was reset at once: nothing but that it was reached.
            self.pool.report(lease.attempt(), AttemptResult::Reached);
        }
    }

    /// What a probe asks for, in order.
    fn asks(&self, probe: &Probe<E>) -> Vec<Ask> {
        let id = probe.lease.upstream.id;
        let mut asks: Vec<Ask> = Vec::new();
        for endpoint in self.settings.checks.iter().flat_map(|checks| &checks.endpoints) {
            let (name, memory) = (endpoint.to_string(), self.settings.check_memory);
            let counts = self.pool.was_opened_elsewhere(id, (Service::Tunnel, &name), memory);
            asks.push(Ask { asked: Service::Tunnel, target: endpoint.clone(), counts });
        }
        // The few that there are are asked again: one that is unreliable itself must not decide alone.
        let targets = probe.targets.iter().cycle().take(if probe.targets.is_empty() { 0 } else { TARGETS });
        let targets = targets.filter_map(|(asked, name)| {
            Some(Ask { asked: *asked, target: Authority::parse(name, None).ok()?, counts: true })
        });
        if probe.charge == Charge::Page {
            // A page is disproved by pages; endpoints are what is left where there are none.
            targets.chain(asks).collect()
        } else {
            asks.into_iter().chain(targets).collect()
        }
    }

    async fn open(&self, dialled: Dialled<'_, E>, target: &Authority) -> Result<Leg<E::Stream>, FailedAttempt> {
        let via = self.settings.via.for_connect(&Fields::new(), Version::Http11);
        let settings = self.dial_settings(via.as_deref());
        let target = target.to_string();
        // It has to show that it can be reached, so no connection that stood before will do.
        open_tunnel(self.pool, self.env, (dialled, None), &target, &self.allowance(), settings)
            .await
            .map(|(leg, _)| leg)
    }

    /// Opens a tunnel and sees whether it stands for a while: one that ends by itself at once brings nobody anything.
    async fn open_and_stand(&self, dialled: Dialled<'_, E>, target: &Authority) -> Result<(), FailedAttempt> {
        let mut leg = self.open(dialled, target).await?;
        match timeout(STANDS, leg.read_u8()).await {
            Ok(Err(error)) => Err(FailedAttempt::new(Failure::EmptyTunnel, error)),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    async fn page(&self, dialled: Dialled<'_, E>, target: &Authority) -> Result<(), FailedAttempt> {
        let via = self.settings.via.entry(Version::Http11);
        let settings = self.dial_settings(Some(via.as_bytes()));
        ask_for_page(self.pool, self.env, dialled, target, &self.allowance(), settings).await
    }

    fn allowance(&self) -> Allowance {
        let (connect, reply) = self.settings.probe_timeouts;
        Allowance::whole(connect, reply, self.pool.now())
    }

    fn dial_settings<'v>(&self, via: Option<&'v [u8]>) -> DialSettings<'v> {
        DialSettings { limits: self.settings.limits, dns: self.settings.dns, via }
    }
}

/// A number from 0 up to 1 out of random bits.
fn fraction(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// Samples the statistics at the end of each bucket of their windows, so that what is counted counts for the time at which it
/// came, also the bytes of a tunnel that lasts for hours.
pub(crate) async fn sample<E: Env>(pool: Arc<Pool<E>>, closing: Stop) {
    loop {
        let within = pool.now().as_nanos() % BUCKET.as_nanos() as u64;
        tokio::select! {
            biased;
            () = closing.wait() => return,
            () = tokio::time::sleep(BUCKET - Duration::from_nanos(within)) => {}
        }
        pool.sample();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::tests::pool;

    #[tokio::test(start_paused = true)]
    async fn pages_are_disproved_by_a_page_first_and_all_else_by_the_endpoints_first() {
        let (pool, env) = pool(&[1]);
        let snapshot = pool.snapshot();
        let prober = Prober { env: &env, pool: &pool, settings: &snapshot.settings };
        let asked = |charge| {
            let lease = pool.lease_for_check(&snapshot.upstreams[0]);
            let probe = Probe { lease, charge, targets: vec![(Service::Page, "page.test:80".to_owned())] };
            prober.asks(&probe).iter().map(|ask| ask.target.to_string()).collect::<Vec<_>>()
        };
        let (endpoint, page) = ("endpoint.test:443", "page.test:80");
        assert_eq!(asked(Charge::Page), [page, page, page, endpoint]);
        assert_eq!(asked(Charge::Unreachable), [endpoint, page, page, page]);
    }
}
