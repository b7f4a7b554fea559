//! Holds the connections of one upstream that nobody uses, and the places that all upstreams share for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::leg::Leg;

/// Unused connections, those first that have been unused for longest.
pub(crate) struct Idle<S> {
    /// `None` once a reload has replaced the upstream: a tunnel may hold it for long, but its unused connections are no longer
    /// swept.
    connections: Option<Vec<Connection<S>>>,
}

struct Connection<S> {
    leg: Leg<S>,
    since: Instant,
    _place: IdlePlace,
}

impl<S> Default for Idle<S> {
    fn default() -> Self {
        Idle { connections: Some(Vec::new()) }
    }
}

impl<S> Idle<S> {
    /// The connection that was added last, and when, if that was less than `within` before `now`: the others have been here for
    /// longer. Those that `is_dead` finds ended are closed.
    pub(super) fn take(
        &mut self,
        (within, now): (Duration, Instant),
        mut is_dead: impl FnMut(&mut Leg<S>) -> bool,
    ) -> Option<(Leg<S>, Instant)> {
        let connections = self.connections.as_mut()?;
        while let Some(mut last) = connections.pop_if(|last| now.duration_since(last.since) < within) {
            if !is_dead(&mut last.leg) {
                return Some((last.leg, last.since));
            }
        }
        None
    }

    /// Adds `leg`, which is closed instead where the upstream was replaced.
    pub(super) fn add(&mut self, leg: Leg<S>, place: IdlePlace) {
        if let Some(connections) = &mut self.connections {
            connections.push(Connection { leg, since: Instant::now(), _place: place });
        }
    }

    /// Closes those that have been here for `within`, or that `is_dead` finds ended. Returns for how long the youngest of
    /// the latter had been here.
    pub(super) fn sweep(&mut self, within: Duration, mut is_dead: impl FnMut(&mut Leg<S>) -> bool) -> Option<Duration> {
        let mut youngest: Option<Duration> = None;
        self.connections.as_mut()?.retain_mut(|one| {
            let age = one.since.elapsed();
            let dead = age < within && is_dead(&mut one.leg);
            if dead {
                youngest = Some(youngest.map_or(age, |youngest| youngest.min(age)));
            }
            age < within && !dead
        });
        youngest
    }

    pub(super) fn len(&self) -> usize {
        self.connections.as_ref().map_or(0, Vec::len)
    }

    /// When the one was added that has been here for longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        Some(self.connections.as_ref()?.first()?.since)
    }

    /// When the last one was added.
    pub(super) fn newest(&self) -> Option<Instant> {
        Some(self.connections.as_ref()?.last()?.since)
    }

    /// Closes all.
    pub(super) fn clear(&mut self) {
        if let Some(connections) = &mut self.connections {
            connections.clear();
        }
    }

    /// Closes all, and whatever is added from now on.
    pub(super) fn retire(&mut self) {
        self.connections = None;
    }
}

/// The places for unused connections, over all upstreams: each takes a descriptor that no client accounts for.
#[derive(Debug)]
pub(crate) struct IdlePlaces(Arc<AtomicUsize>);

/// One of them; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct IdlePlace(Arc<AtomicUsize>);

impl IdlePlaces {
    /// `most` of them.
    pub(crate) fn new(most: usize) -> Self {
        IdlePlaces(Arc::new(AtomicUsize::new(most)))
    }

    pub(super) fn take(&self) -> Option<IdlePlace> {
        let one_less = |left: usize| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).ok()?;
        Some(IdlePlace(Arc::clone(&self.0)))
    }
}

impl Drop for IdlePlace {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(idle: &mut Idle<u8>, number: u8, places: &IdlePlaces) {
        if let Some(place) = places.take() {
            idle.add(Leg::Plain(number), place);
        }
    }

    fn taken(idle: &mut Idle<u8>, within: u64, dead: u8) -> Option<u8> {
        let is_dead = |leg: &mut Leg<u8>| matches!(leg, Leg::Plain(number) if *number == dead);
        match idle.take((Duration::from_secs(within), Instant::now()), is_dead)?.0 {
            Leg::Plain(number) => Some(number),
            Leg::Tls(_) => None,
        }
    }

    #[test]
    fn unused_connections_of_all_upstreams_share_their_places() {
        let (mut one, mut other, places) = (Idle::default(), Idle::default(), IdlePlaces::new(4));
        for number in 0..3 {
            add(&mut one, number, &places);
            add(&mut other, number, &places);
        }
        assert_eq!((one.len(), other.len()), (2, 2));
        // Used, found ended, closed or retired, a connection gives its place back.
        assert_eq!(taken(&mut one, 1, 9), Some(1));
        one.sweep(Duration::MAX, |_| true);
        assert_eq!(taken(&mut other, 1, 1), Some(0));
        add(&mut one, 0, &places);
        one.clear();
        add(&mut one, 1, &places);
        assert_eq!(one.len(), 1);
        one.retire();
        add(&mut one, 2, &places);
        assert_eq!((one.len(), places.0.load(Ordering::Relaxed)), (0, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_idle_for_too_long_is_left_to_those_who_may_take_it() {
        let (mut idle, places) = (Idle::default(), IdlePlaces::new(2));
        add(&mut idle, 1, &places);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(taken(&mut idle, 1, 9), None);
        assert_eq!(taken(&mut idle, 2, 9), Some(1));
        assert_eq!(idle.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_are_old_or_ended_are_swept() {
        let (mut idle, places) = (Idle::default(), IdlePlaces::new(3));
        for number in 1..=3 {
            add(&mut idle, number, &places);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // The oldest has ended too, but it is too old in any case.
        let ended = idle.sweep(Duration::from_secs(3), |leg| matches!(leg, Leg::Plain(1)));
        assert_eq!((ended, idle.len()), (None, 2));
        let ended = idle.sweep(Duration::from_secs(3), |leg| matches!(leg, Leg::Plain(2)));
        assert_eq!(ended, Some(Duration::from_secs(2)));
        assert_eq!((taken(&mut idle, 9, 9), taken(&mut idle, 9, 9)), (Some(3), None));
    }
}
