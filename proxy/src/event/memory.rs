//! Remembers the last requests, so that somebody can ask why one went where it did.
//!
//! What is remembered is the [`Summary`] that the log is written from, so that the two can't disagree. Nobody waits for the
//! memory: where a reader looks at a place at the very moment at which a request is to be put there, that request is missed,
//! and counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::{Event, Observer, RequestId, Summary};
use crate::core::attribution::Blame;
use crate::core::time::Timestamp;

/// Failed attempts that are remembered of one request at most, the last ones.
const MAX_FAILED_ATTEMPTS: usize = 32;

/// Bytes of a method that are remembered: a client can make up one as long as a head may be.
const MAX_METHOD: usize = 32;

/// The last requests: as many that were served as that failed, so that what goes well does not push out what people ask for.
/// A refusal that the client brought upon itself stands among those that were served, so that a flood of wrong passwords
/// does not either.
#[derive(Debug)]
pub(crate) struct Memory {
    served: Ring,
    failed: Ring,
    missed: AtomicU64,
}

/// A request that is over.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    /// When it ended.
    pub(crate) ended: Timestamp,
    pub(crate) summary: Summary,
}

#[derive(Debug)]
struct Ring {
    next: AtomicUsize,
    places: Box<[Mutex<Option<Remembered>>]>,
}

impl Ring {
    fn new(places: usize) -> Self {
        Ring { next: AtomicUsize::new(0), places: (0..places).map(|_| Mutex::default()).collect() }
    }

    /// Whether there was room: somebody may be looking.
    fn put(&self, at: Timestamp, summary: &Summary) -> bool {
        let place = self.next.fetch_add(1, Relaxed) % self.places.len().max(1);
        let mut place = match self.places.get(place).map(Mutex::try_lock) {
            Some(Ok(place)) => place,
            Some(Err(TryLockError::Poisoned(poisoned))) => poisoned.into_inner(),
            Some(Err(TryLockError::WouldBlock)) => return false,
            None => return true,
        };
        let mut summary = summary.clone();
        summary.failed_attempts.drain(..summary.failed_attempts.len().saturating_sub(MAX_FAILED_ATTEMPTS));
        if summary.method.len() > MAX_METHOD {
            // A method is a token, so each of its characters is one byte.
            summary.method = summary.method.chars().take(MAX_METHOD).collect::<String>().into();
        }
        *place = Some(Remembered { ended: at, summary });
        true
    }

    fn places(&self) -> impl Iterator<Item = MutexGuard<'_, Option<Remembered>>> {
        self.places.iter().map(|place| place.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Memory {
    /// Room for so many of either kind.
    pub(crate) fn new(requests: usize) -> Self {
        Memory { served: Ring::new(requests), failed: Ring::new(requests), missed: AtomicU64::new(0) }
    }

    /// How many could not be remembered, because somebody was looking.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }

    /// What is remembered, the newest first: all of it, or what did not go well.
    pub(crate) fn read(&self, failed: bool) -> Vec<Remembered> {
        let wanted = |one: &Remembered| !failed || one.summary.outcome != "ok";
        let all = self.served.places().chain(self.failed.places());
        let mut found: Vec<_> = all.filter_map(|place| place.clone().filter(wanted)).collect();
        found.sort_by_key(|one| std::cmp::Reverse((one.ended, one.summary.request)));
        found
    }

    /// The request of this number.
    pub(crate) fn find(&self, request: RequestId) -> Option<Remembered> {
        let mut all = self.failed.places().chain(self.served.places());
        all.find_map(|place| place.clone().filter(|one| one.summary.request == request))
    }
}

impl Observer for Memory {
    fn on(&self, at: Timestamp, event: &Event<'_>) {
        let Event::Finished(summary) = event else { return };
        let own_doing = summary.attempts == 0 && summary.blame == Some(Blame::Client);
        let ring = if summary.outcome == "ok" || own_doing { &self.served } else { &self.failed };
        if !ring.put(at, summary) {
            self.missed.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::core::upstream::UpstreamId;
    use crate::event::{AttemptSummary, FailedAttemptSummary, Phases, Pick, UpstreamLabel};

    fn summary(request: RequestId, outcome: &'static str, attempts: u32) -> Summary {
        Summary {
            request,
            client: SocketAddr::from(([127, 0, 0, 1], 1)),
            user: None,
            method: "GET".into(),
            target: "t:1".into(),
            config_epoch: 1,
            status: 200,
            outcome,
            blame: (outcome != "ok").then_some(Blame::Client),
            attempt: None,
            failed_attempts: Vec::new(),
            cause: None,
            attempts,
            bytes_up: 0,
            bytes_down: 0,
            latency: Duration::ZERO,
            duration: Duration::ZERO,
            end: None,
        }
    }

    fn hear(memory: &Memory, summary: &Summary) {
        memory.on(Timestamp::from_nanos(summary.request), &Event::Finished(summary));
    }

    fn numbers(memory: &Memory, failed: bool) -> Vec<RequestId> {
        memory.read(failed).iter().map(|one| one.summary.request).collect()
    }

    #[test]
    fn the_last_ones_are_remembered_the_newest_first_and_failures_in_a_place_of_their_own() {
        let memory = Memory::new(2);
        hear(&memory, &summary(1, "reply_timeout", 1));
        for request in 2..=100 {
            hear(&memory, &summary(request, "ok", 1));
        }
        // Wrong passwords.
        hear(&memory, &summary(101, "bad_credentials", 0));
        assert_eq!(numbers(&memory, false), [101, 100, 1]);
        assert_eq!(numbers(&memory, true), [101, 1]);
        assert_eq!(memory.find(1).map(|one| one.summary.outcome), Some("reply_timeout"));
        assert!(memory.find(2).is_none());
    }

    #[test]
    fn nobody_waits_for_a_reader() {
        let memory = Memory::new(1);
        let reading = memory.served.places().next();
        hear(&memory, &summary(1, "ok", 1));
        drop(reading);
        assert_eq!((memory.missed(), numbers(&memory, false)), (1, vec![]));
    }

    #[test]
    fn what_a_client_or_an_upstream_sends_does_not_make_it_grow() {
        let memory = Memory::new(1);
        let label = UpstreamLabel { id: UpstreamId::new(0), name: "a".into(), url: "http://a".into(), tag: None };
        let attempt = AttemptSummary { upstream: label.into(), pick: Pick::default(), phases: Phases::default() };
        let failed = |_| FailedAttemptSummary { attempt: attempt.clone(), failure: "no", cause: None, blame: None };
        let method = "M".repeat(10_000).into();
        let failed_attempts = (0..10_000).map(failed).collect();
        hear(&memory, &Summary { method, failed_attempts, ..summary(1, "no", 10_000) });
        let Remembered { summary, .. } = memory.find(1).unwrap();
        assert_eq!((summary.method.len(), summary.failed_attempts.len()), (MAX_METHOD, MAX_FAILED_ATTEMPTS));
    }

    #[test]
    fn a_memory_without_room_forgets() {
        let memory = Memory::new(0);
        hear(&memory, &summary(1, "ok", 1));
        assert_eq!((memory.missed(), numbers(&memory, false)), (0, vec![]));
    }
}
