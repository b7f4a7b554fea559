//! Runs a workload, all of it in one task: requests wait for one another only as the pace says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use crate::client::{Attempt, Done, Kept, Net};
use crate::outcome::{Kind, Phase};
use crate::schedule::Arrivals;
use crate::workload::{Pace, Request, Workload};

/// A part of a workload: every `of`th of its requests, or clients, from `number` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u64,
    of: u64,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Shard = Shard { number: 0, of: 1 };

    /// All parts, `of` in number.
    pub fn all(of: usize) -> impl Iterator<Item = Shard> {
        let of = of.max(1) as u64;
        (0..of).map(move |number| Shard { number, of })
    }

    /// How many of `whole` things are this part's.
    fn share(self, whole: u64) -> u64 {
        whole / self.of + u64::from(self.number < whole % self.of)
    }
}

/// What a driver tells while it runs.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request begins.
    Began {
        /// Which.
        request: Request,
        /// When it was due, since the run's begin.
        intended: Duration,
        /// When it began.
        started: Duration,
    },
    /// A request is over.
    Ended(Box<Done>),
}

/// Tunnels open now, and the most that ever were at once.
#[derive(Debug, Default)]
pub struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

impl Gauge {
    /// Tunnels open now.
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The most that were open at once.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self) -> impl Drop + use<'_> {
        struct Open<'a>(&'a Gauge);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.now.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        Open(self)
    }
}

/// Runs `shard` of `workload` over streams of `net`, from now, and tells `observer` of every request.
///
/// It returns once the workload is over and nothing is in flight. When `stop` is done, what is in flight is dropped at once
/// and told as [`Kind::Unfinished`]. Everything happens in the calling task.
pub async fn drive<N: Net>(
    workload: &Workload,
    shard: Shard,
    net: &N,
    gauge: &Gauge,
    observer: &mut impl FnMut(Event),
    stop: impl Future<Output = ()>,
) {
    let epoch = Instant::now();
    let mut starts = Starts::new(workload, shard);
    let mut idle: Vec<Option<crate::wire::Wire<N::Stream>>> = Vec::new();
    let mut in_flight = FuturesUnordered::new();
    let mut running: std::collections::BTreeMap<u64, (Request, Duration, Duration)> = std::collections::BTreeMap::new();
    let mut stop = std::pin::pin!(stop);
    // The time for which `alarm` is set.
    let mut alarm = std::pin::pin!(None);
    let mut set_for = None;
    loop {
        let now = Instant::now() - epoch;
        while in_flight.len() < workload.max_in_flight
            && let Some(start) = starts.due(now)
        {
            let request = workload.request(start.index);
            let keeps = !workload.mix.action(request.action).is_tunnel();
            let kept: Kept<N> = if keeps { idle.pop().flatten() } else { None };
            observer(Event::Began { request: request.clone(), intended: start.at, started: now });
            running.insert(start.index, (request.clone(), start.at, now));
            in_flight.push(async move {
                let mut attempt = Attempt::new(workload, net, gauge, request);
                let (outcome, kept) = attempt.run(kept).await;
                (attempt.done(outcome, start.at, epoch), kept, start.client)
            });
        }
        let next = if in_flight.len() < workload.max_in_flight { starts.next_at() } else { None };
        if next.is_none() && in_flight.is_empty() {
            return;
        }
        if next != set_for {
            set_for = next;
            alarm.set(next.map(|at| net.sleep_until(epoch + at)));
        }
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some((done, kept, client)) = in_flight.next(), if !in_flight.is_empty() => {
                running.remove(&done.request.index);
                starts.client_free(client, Instant::now() - epoch);
                if kept.is_some() {
                    idle.push(kept);
                }
                observer(Event::Ended(Box::new(done)));
            }
            () = wait(alarm.as_mut()), if next.is_some() => {
                set_for = None;
                alarm.set(None);
            }
        }
    }
    drop(in_flight);
    let now = Instant::now() - epoch;
    for (request, intended, started) in running.into_values() {
        let outcome = Err(Kind::Unfinished.at(Phase::Data));
        let done = Done {
            tunnel: workload.mix.action(request.action).is_tunnel(),
            request,
            intended,
            started,
            ended: now,
            phases: Default::default(),
            outcome,
            status: None,
            up: Default::default(),
            down: Default::default(),
            exit: None,
            reused: false,
        };
        observer(Event::Ended(Box::new(done)));
    }
}

async fn wait(alarm: std::pin::Pin<&mut Option<impl Future<Output = ()>>>) {
    match alarm.as_pin_mut() {
        Some(alarm) => alarm.await,
        None => std::future::pending().await,
    }
}

/// A request that may begin.
struct Start {
    index: u64,
    at: Duration,
    client: u64,
}

/// Which request begins when.
struct Starts {
    shard: Shard,
    /// The next request's number.
    index: u64,
    /// One behind the last request's number.
    end: u64,
    after: Option<Duration>,
    pace: Paced,
}

enum Paced {
    Open {
        arrivals: Box<Arrivals>,
        next: Option<Duration>,
    },
    /// Clients that are free, with the time from which they are, earliest first.
    Closed {
        free: std::collections::BTreeSet<(Duration, u64)>,
        think: Duration,
    },
}

impl Starts {
    fn new(workload: &Workload, shard: Shard) -> Self {
        let end = workload.stop.requests.unwrap_or(u64::MAX);
        let pace = match &workload.pace {
            Pace::Open { stages, poisson } => {
                let mut arrivals = Box::new(Arrivals::new(stages, *poisson, workload.seed));
                let next = arrivals.nth(shard.number as usize);
                Paced::Open { arrivals, next }
            }
            Pace::Closed { clients, ramp_up, think } => {
                let all = (*clients).max(1) as u64;
                let client = |place| {
                    let number = shard.number + place * shard.of;
                    let nanos = ramp_up.as_nanos() * u128::from(number) / u128::from(all);
                    (Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)), number)
                };
                Paced::Closed { free: (0..shard.share(all)).map(client).collect(), think: *think }
            }
        };
        Starts { shard, index: shard.number, end, after: workload.stop.after, pace }
    }

    /// When the next request is due; `None` while none is to be expected.
    fn next_at(&self) -> Option<Duration> {
        let at = match &self.pace {
            Paced::Open { next, .. } => *next,
            Paced::Closed { free, .. } => free.first().map(|(at, _)| *at),
        };
        at.filter(|at| self.index < self.end && self.after.is_none_or(|after| *at < after))
    }

    /// Takes the next request, if it is due at `now`.
    fn due(&mut self, now: Duration) -> Option<Start> {
        let at = self.next_at().filter(|at| *at <= now)?;
        let index = self.index;
        self.index += self.shard.of;
        let client = match &mut self.pace {
            Paced::Open { arrivals, next } => {
                *next = arrivals.nth(self.shard.of as usize - 1);
                0
            }
            Paced::Closed { free, .. } => free.pop_first()?.1,
        };
        Some(Start { index, at, client })
    }

    /// `client` is done with its request.
    fn client_free(&mut self, client: u64, now: Duration) {
        if let Paced::Closed { free, think } = &mut self.pace {
            free.insert((now + *think, client));
        }
    }
}

#[cfg(test)]
mod tests;
