//! Hands out turns while others pick and while epochs change: an epoch with the counter of its tickets, and how the
//! snapshot that holds them gives way to the next.
//!
//! The counter and the place of the snapshot are traits, so that `shuttle` can try what several threads do to them in
//! many orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::core::balancer::{Balancer, Epoch};
use crate::core::upstream::UpstreamId;

/// Counts from 0, for any number of threads.
pub(super) trait Counter: Default {
    /// A number that nobody else gets.
    fn take(&self) -> u64;
    /// The number that is taken next.
    fn next(&self) -> u64;
}

impl Counter for AtomicU64 {
    fn take(&self) -> u64 {
        self.fetch_add(1, Ordering::Relaxed)
    }

    fn next(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }
}

/// Where the snapshot in force stands.
pub(super) trait InForce<S> {
    fn load(&self) -> Arc<S>;
    fn store(&self, snapshot: Arc<S>);
}

impl<S> InForce<S> for ArcSwap<S> {
    fn load(&self) -> Arc<S> {
        self.load_full()
    }

    fn store(&self, snapshot: Arc<S>) {
        self.store(snapshot);
    }
}

/// The turns of one epoch, which all snapshots of that epoch share.
pub(super) struct Turns<C = AtomicU64> {
    epoch: Epoch,
    tickets: Arc<C>,
}

impl<C: Counter> Turns<C> {
    /// Those of an epoch that begins.
    pub(super) fn of(epoch: Epoch) -> Self {
        Turns { epoch, tickets: Arc::default() }
    }

    pub(super) fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// How many were taken.
    pub(super) fn taken(&self) -> u64 {
        self.tickets.next()
    }

    /// The next ticket, and whose turn it is; none is taken where no upstream is eligible.
    pub(super) fn take(&self) -> Option<(u64, UpstreamId)> {
        if self.epoch.eligible() == 0 {
            return None;
        }
        let ticket = self.tickets.take();
        Some((ticket, self.epoch.pick(ticket)?))
    }

    /// These where `epoch` is theirs, else those of `epoch`, which begins.
    fn or_of(&self, epoch: &Epoch) -> Self {
        if epoch.number() == self.epoch.number() {
            Turns { epoch: self.epoch.clone(), tickets: Arc::clone(&self.tickets) }
        } else {
            Turns::of(epoch.clone())
        }
    }
}

/// What holds turns.
pub(super) trait HasTurns<C> {
    fn turns(&self) -> &Turns<C>;
}

/// Changes the balancer, which hears of the next ticket, and puts the snapshot that `next` makes of the one before, of
/// the turns from now on and of what the change came to in its place. Whoever has the balancer holds its lock, so
/// snapshots come into force in the order of the changes.
pub(super) fn change<C: Counter, S: HasTurns<C>, T>(
    in_force: &impl InForce<S>,
    balancer: &mut Balancer,
    change: impl FnOnce(&mut Balancer, u64) -> T,
    next: impl FnOnce(&S, Turns<C>, &T) -> Option<S>,
) -> (T, Option<Arc<S>>) {
    let before = in_force.load();
    let turns = before.turns();
    let came_to = change(balancer, turns.tickets.next());
    let next = next(&before, turns.or_of(balancer.epoch()), &came_to).map(Arc::new);
    if let Some(snapshot) = &next {
        in_force.store(Arc::clone(snapshot));
    }
    (came_to, next)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;
    use std::sync::Mutex;
    use std::time::Duration;

    use shuttle::scheduler::RandomScheduler;
    use shuttle::sync::Mutex as TriedMutex;
    use shuttle::sync::atomic::{AtomicU64 as TriedCounter, AtomicUsize as TriedIndex};
    use shuttle::{Config, Runner, thread};

    use super::*;
    use crate::core::health::{AttemptResult, Charge, HealthPolicy};
    use crate::core::time::Timestamp;
    use crate::core::upstream::{Attempt, Member, Weight};

    impl Counter for TriedCounter {
        fn take(&self) -> u64 {
            self.fetch_add(1, Ordering::SeqCst)
        }

        fn next(&self) -> u64 {
            self.load(Ordering::SeqCst)
        }
    }

    type Tried = Turns<TriedCounter>;

    impl HasTurns<TriedCounter> for Tried {
        fn turns(&self) -> &Tried {
            self
        }
    }

    /// One operation to load, one to store. Those before the one in force stay.
    struct Place {
        all: Mutex<Vec<Arc<Tried>>>,
        current: TriedIndex,
    }

    impl InForce<Tried> for Place {
        fn load(&self) -> Arc<Tried> {
            let current = self.current.load(Ordering::SeqCst);
            Arc::clone(&self.all.lock().unwrap()[current])
        }

        fn store(&self, snapshot: Arc<Tried>) {
            let mut all = self.all.lock().unwrap();
            all.push(snapshot);
            let current = all.len() - 1;
            drop(all);
            self.current.store(current, Ordering::SeqCst);
        }
    }

    const POLICY: HealthPolicy = HealthPolicy {
        failure_threshold: NonZeroU32::MIN,
        recovery_threshold: NonZeroU32::MIN,
        backoff_base: Duration::from_secs(5),
        backoff_max: Duration::from_secs(60),
        max_ejection_percent: 50,
    };

    fn members(weights: [u32; 3]) -> Vec<Member> {
        let member = |(number, weight)| Member { id: UpstreamId::new(number), weight: Weight::new(weight).unwrap() };
        (0..).zip(weights).map(member).collect()
    }

    /// What several threads share.
    struct Shared {
        in_force: Place,
        balancer: TriedMutex<Balancer>,
    }

    impl Shared {
        fn new() -> Self {
            let balancer = Balancer::new(POLICY, &members([2, 1, 1])).unwrap();
            let all = Mutex::new(vec![Arc::new(Turns::of(balancer.epoch().clone()))]);
            let in_force = Place { all, current: TriedIndex::new(0) };
            Shared { in_force, balancer: TriedMutex::new(balancer) }
        }

        fn change(&self, decide: impl FnOnce(&mut Balancer, u64)) {
            let mut balancer = self.balancer.lock().unwrap();
            change(&self.in_force, &mut balancer, decide, |_, turns, ()| Some(turns));
        }

        /// `upstream` can't be reached.
        fn eject(&self, upstream: u32) {
            let attempt = Attempt { upstream: UpstreamId::new(upstream), started: Timestamp::ZERO, probe: false };
            let failure = AttemptResult::Failure(Charge::Unreachable);
            self.change(|balancer, ticket| {
                balancer.report(attempt, failure, ticket, 0, Timestamp::ZERO).unwrap();
            });
        }

        /// A reload that changes nobody's share.
        fn reload(&self) {
            self.change(|balancer, ticket| {
                let renewed = balancer.configure(POLICY, &members([2, 1, 1]), &[], (ticket, Timestamp::ZERO));
                assert_eq!(renewed, Ok(None));
            });
        }

        /// Epoch, ticket and upstream of one pick.
        fn pick(&self) -> (u64, u64, UpstreamId) {
            let turns = self.in_force.load();
            let (ticket, upstream) = turns.take().unwrap();
            (turns.epoch().number(), ticket, upstream)
        }
    }

    type Thread = fn(&Shared) -> Vec<(u64, u64, UpstreamId)>;

    /// Of the thousand or so that two threads can come to here, most; `shuttle` prints the one that fails.
    const ORDERS: usize = 500;
    const SEED: u64 = 10;

    /// Two threads do this in many orders. Afterwards each ticket of each epoch was given out once, to the upstream whose
    /// turn it was, and the last change is in force.
    fn in_any_order(threads: [Thread; 2]) {
        let tried = move || {
            let shared = Arc::new(Shared::new());
            let running = threads.map(|thread| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || thread(&shared))
            });
            let mut picks: BTreeMap<u64, Vec<(u64, UpstreamId)>> = BTreeMap::new();
            for (epoch, ticket, upstream) in running.into_iter().flat_map(|thread| thread.join().unwrap()) {
                picks.entry(epoch).or_default().push((ticket, upstream));
            }
            let all: Vec<Arc<Tried>> = shared.in_force.all.lock().unwrap().clone();
            for turns in &all {
                let mut picks = picks.get(&turns.epoch().number()).cloned().unwrap_or_default();
                picks.sort();
                let due = (0..turns.tickets.next()).map(|ticket| (ticket, turns.epoch().pick(ticket).unwrap()));
                assert_eq!(picks, due.collect::<Vec<_>>(), "of epoch {}", turns.epoch().number());
            }
            let in_force = shared.in_force.load();
            assert_eq!(in_force.epoch(), shared.balancer.lock().unwrap().epoch());
        };
        Runner::new(RandomScheduler::new_from_seed(SEED, ORDERS), Config::default()).run(tried);
    }

    #[test]
    fn no_ticket_is_taken_twice_or_lost_while_an_upstream_is_ejected() {
        in_any_order([
            |shared| vec![shared.pick(), shared.pick()],
            |shared| {
                let before = shared.pick();
                shared.eject(1);
                vec![before, shared.pick()]
            },
        ]);
    }

    #[test]
    fn snapshots_of_one_epoch_share_its_tickets() {
        in_any_order([
            |shared| vec![shared.pick(), shared.pick()],
            |shared| {
                shared.reload();
                vec![shared.pick()]
            },
        ]);
    }

    #[test]
    fn what_was_decided_last_is_in_force() {
        in_any_order([
            |shared| {
                shared.eject(1);
                vec![shared.pick()]
            },
            |shared| {
                shared.eject(2);
                Vec::new()
            },
        ]);
    }
}
