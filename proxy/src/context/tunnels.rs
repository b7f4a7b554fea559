//! Knows the tunnels that are open, so that an operator can see and close them.
//!
//! Each tunnel has a slot in a table while it is open. Nothing here takes a lock, and a tunnel costs no memory but its slot:
//! what the table shows is what the request shares with its relay in any case.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use crate::env::Traffic;
use crate::event::{RequestId, Summary, UpstreamLabel};

/// A request that is carried: what it moves, and what others are told of it meanwhile. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Carried(Arc<Carriage>);

/// What all clones share.
#[derive(Debug)]
pub(crate) struct Carriage {
    traffic: Traffic,
    pub(crate) request: RequestId,
    pub(crate) client: SocketAddr,
    pub(crate) user: Option<Arc<str>>,
    /// `host:port`, or `-`.
    pub(crate) target: Arc<str>,
    /// Through whom it goes, once that is known.
    pub(crate) upstream: Option<Arc<UpstreamLabel>>,
    /// Its slot in the table: one more than the number, or 0 where it has none.
    slot: AtomicU32,
}

impl Carried {
    /// The request of `summary`, which goes through `upstream`.
    pub(crate) fn new(summary: &Summary, upstream: Option<Arc<UpstreamLabel>>, traffic: Traffic) -> Self {
        Carried(Arc::new(Carriage {
            traffic,
            request: summary.request,
            client: summary.client,
            user: summary.user.clone(),
            target: Arc::clone(&summary.target),
            upstream,
            slot: AtomicU32::new(0),
        }))
    }

    /// Goes through `upstream` from now on. Only before it is shared: the traffic comes back where it is.
    pub(crate) fn goes_through(&mut self, upstream: &Arc<UpstreamLabel>, traffic: Traffic) -> Result<(), Traffic> {
        let Some(unshared) = Arc::get_mut(&mut self.0) else { return Err(traffic) };
        unshared.upstream = Some(Arc::clone(upstream));
        unshared.traffic = traffic;
        Ok(())
    }
}

impl Deref for Carried {
    type Target = Traffic;

    fn deref(&self) -> &Traffic {
        &self.0.traffic
    }
}

impl Deref for Carriage {
    type Target = Traffic;

    fn deref(&self) -> &Traffic {
        &self.traffic
    }
}

/// Slots of the first chunk; each further one has twice as many, so that few cover all that can be open.
const FIRST_CHUNK: u32 = 64;

/// The table of the open tunnels.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    /// Made when they are first needed, and kept.
    chunks: [OnceLock<Box<[Slot]>>; 20],
    /// Slots that were ever used.
    used: AtomicU32,
    /// The free slot to take next, as in [`Carriage::slot`]; above it a count of changes, so that one that was taken and given
    /// back between two looks is not mistaken for one that lay there.
    free: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    tunnel: ArcSwapOption<Carriage>,
    /// While it is free: the free one to take after it, as in [`Carriage::slot`].
    next: AtomicU32,
}

/// Where the slot of this number lies: in which chunk, and at which place of it.
fn place(number: u32) -> (usize, usize) {
    let chunk = (number / FIRST_CHUNK + 1).ilog2();
    (chunk as usize, (number - ((1 << chunk) - 1) * FIRST_CHUNK) as usize)
}

impl Tunnels {
    /// `carried` is an open tunnel from now on. Beyond some 67 million it is not shown.
    pub(crate) fn enter(&self, carried: &Carried) {
        let number = self.take_free().unwrap_or_else(|| self.used.fetch_add(1, Ordering::Relaxed));
        let (chunk, at) = place(number);
        let Some(chunk) = self.chunks.get(chunk) else { return };
        let slots = chunk.get_or_init(|| {
            let slots = FIRST_CHUNK << place(number).0;
            (0..slots).map(|_| Slot::default()).collect()
        });
        carried.0.slot.store(number + 1, Ordering::Relaxed);
        slots[at].tunnel.store(Some(Arc::clone(&carried.0)));
    }

    /// `carried` is no open tunnel any more, if it was one.
    pub(crate) fn leave(&self, carried: &Carried) {
        let slot = carried.0.slot.swap(0, Ordering::Relaxed);
        let Some(free) = self.slot(slot) else { return };
        free.tunnel.store(None);
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            free.next.store(head as u32, Ordering::Relaxed);
            let new = changed(head, slot);
            match self.free.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes a free slot that was used before.
    fn take_free(&self) -> Option<u32> {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let slot = head as u32;
            let next = self.slot(slot)?.next.load(Ordering::Relaxed);
            match self.free.compare_exchange_weak(head, changed(head, next), Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return slot.checked_sub(1),
                Err(now) => head = now,
            }
        }
    }

    /// The slot that is called `slot` in [`Carriage::slot`].
    fn slot(&self, slot: u32) -> Option<&Slot> {
        let (chunk, at) = place(slot.checked_sub(1)?);
        self.chunks.get(chunk)?.get()?.get(at)
    }

    /// Slots that were ever used.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// The tunnels that are open, in no order. One that opens meanwhile may be missing.
    pub(crate) fn open(&self) -> impl Iterator<Item = Arc<Carriage>> {
        let used = self.used.load(Ordering::Relaxed);
        let all = (1..=used).map_while(|slot| self.slot(slot).map(|slot| slot.tunnel.load_full()));
        all.flatten().filter(|tunnel| tunnel.is_open())
    }
}

/// The head of the free slots that comes after `head`.
fn changed(head: u64, slot: u32) -> u64 {
    let count = (head >> 32) as u32;
    (u64::from(count.wrapping_add(1)) << 32) | u64::from(slot)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn carried(request: RequestId) -> Carried {
        let summary = Summary { request, target: "a.test:80".into(), ..Summary::example("ok", None) };
        Carried::new(&summary, None, Traffic::default())
    }

    fn open(tunnels: &Tunnels) -> Vec<RequestId> {
        let mut open: Vec<_> = tunnels.open().map(|one| one.request).collect();
        open.sort_unstable();
        open
    }

    #[test]
    fn every_number_has_a_place_of_its_own() {
        let places: BTreeSet<_> = (0..100_000).map(place).collect();
        assert_eq!(places.len(), 100_000);
        assert!(places.iter().all(|(chunk, at)| *at < (FIRST_CHUNK as usize) << chunk));
        assert_eq!(
            (place(0), place(63), place(64), place(191), place(192)),
            ((0, 0), (0, 63), (1, 0), (1, 127), (2, 0))
        );
        assert!(place(u32::MAX - 1).0 > 19 && place(64 << 19).0 <= 19);
    }

    #[test]
    fn a_tunnel_is_shown_while_it_is_open_and_its_slot_is_used_again() {
        let tunnels = Tunnels::default();
        let mut all: Vec<_> = (0..1000).map(carried).collect();
        all.iter().for_each(|one| tunnels.enter(one));
        assert_eq!(open(&tunnels), (0..1000).collect::<Vec<_>>());
        for one in all.drain(100..) {
            tunnels.leave(&one);
            tunnels.leave(&one);
            assert_eq!(Arc::strong_count(&one.0), 1, "the table keeps one that has left");
        }
        assert_eq!(open(&tunnels), (0..100).collect::<Vec<_>>());
        all.extend((100..1000).map(carried));
        all[100..].iter().for_each(|one| tunnels.enter(one));
        assert_eq!(open(&tunnels), (0..1000).collect::<Vec<_>>());
        assert_eq!(tunnels.slots(), 1000, "slots that were free");
        assert!(all[7].close());
        assert_eq!(open(&tunnels).len(), 999, "one that is closed is not open");
        tunnels.leave(&carried(7));
        assert_eq!(open(&tunnels).len(), 999, "one that never entered");
    }

    #[test]
    fn threads_that_come_and_go_lose_no_tunnel_and_share_no_slot() {
        let tunnels = Tunnels::default();
        std::thread::scope(|threads| {
            for thread in 0..4 {
                let tunnels = &tunnels;
                threads.spawn(move || {
                    let mut held = Vec::new();
                    for turn in 0..5_000 {
                        let one = carried(thread * 1_000_000 + turn);
                        tunnels.enter(&one);
                        held.push(one);
                        if turn % 3 > 0 {
                            tunnels.leave(&held.swap_remove(turn as usize % held.len()));
                        }
                    }
                    let slots: Vec<_> = held.iter().map(|one| one.0.slot.load(Ordering::Relaxed)).collect();
                    for (one, slot) in held.iter().zip(slots) {
                        let shown = tunnels.slot(slot).unwrap().tunnel.load_full().unwrap();
                        assert_eq!(shown.request, one.0.request);
                    }
                    held.iter().for_each(|one| tunnels.leave(one));
                });
            }
        });
        assert_eq!(open(&tunnels), [0; 0]);
        let used = tunnels.used.load(Ordering::Relaxed);
        let free: BTreeSet<_> = std::iter::from_fn(|| tunnels.take_free()).collect();
        assert_eq!(free.len(), used as usize, "every slot is free once");
    }
}
