//! Decides which request of a workload begins when.

use std::collections::BTreeSet;
use std::time::Duration;

use super::shard::Shard;
use crate::workload::{Arrivals, Pace, Workload};

/// When the requests of an open loop are due, in order.
type Due = Box<dyn Iterator<Item = Duration> + Send>;

/// A request that may begin.
pub(super) struct Start {
    pub(super) index: u64,
    pub(super) at: Duration,
    pub(super) client: u64,
}

/// Which request begins when.
pub(super) struct Starts {
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
        arrivals: Due,
        next: Option<Duration>,
    },
    /// Clients that are free, with the time from which they are, earliest first.
    Closed {
        free: BTreeSet<(Duration, u64)>,
        think: Duration,
    },
}

impl Paced {
    fn open(mut arrivals: Due, shard: Shard) -> Self {
        let next = arrivals.nth(shard.number as usize);
        Paced::Open { arrivals, next }
    }
}

impl Starts {
    pub(super) fn new(workload: &Workload, shard: Shard) -> Self {
        let end = workload.stop.requests.unwrap_or(u64::MAX);
        let pace = match &workload.pace {
            Pace::Open { stages, poisson } => {
                Paced::open(Box::new(Arrivals::new(stages, *poisson, workload.seed)), shard)
            }
            Pace::Listed(times) => Paced::open(Box::new(times.clone().into_iter()), shard),
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
    pub(super) fn next_at(&self) -> Option<Duration> {
        let at = match &self.pace {
            Paced::Open { next, .. } => *next,
            Paced::Closed { free, .. } => free.first().map(|(at, _)| *at),
        };
        at.filter(|at| self.index < self.end && self.after.is_none_or(|after| *at < after))
    }

    /// Takes the next request, if it is due at `now`.
    pub(super) fn due(&mut self, now: Duration) -> Option<Start> {
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
    pub(super) fn client_free(&mut self, client: u64, now: Duration) {
        if let Paced::Closed { free, think } = &mut self.pace {
            free.insert((now + *think, client));
        }
    }
}
