//! Counts the bytes that a relay delivers, while it delivers them, and ends it where somebody asks for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::time::Instant;

/// Bytes delivered one way, readable while more are.
#[derive(Debug, Default)]
pub struct Counter {
    own: AtomicU64,
    /// The same bytes, summed with others'.
    sum: Option<Arc<AtomicU64>>,
}

impl Counter {
    /// One whose bytes are added to `sum` as well.
    pub fn within(sum: Arc<AtomicU64>) -> Self {
        Counter { own: AtomicU64::new(0), sum: Some(sum) }
    }

    /// `bytes` more.
    pub fn add(&self, bytes: u64) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        if let Some(sum) = &self.sum {
            sum.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }
}

/// The relay runs.
const OPEN: u8 = 0;
/// It has ended by itself.
const ENDED: u8 = 1;
/// Somebody has closed it.
const CLOSED: u8 = 2;

/// Bytes that a relay has delivered, and when; whoever holds it can close the relay as well. Nothing here takes a lock.
#[derive(Debug)]
pub struct Traffic {
    /// Client to upstream.
    pub up: Counter,
    /// Upstream to client.
    pub down: Counter,
    /// The upstream ended its direction, in order, while the client's was still open.
    pub upstream_ended_first: AtomicBool,
    began: Instant,
    /// When a byte was last delivered or a direction ended, in nanoseconds since it began.
    moved: AtomicU64,
    /// What is so first stays so: `OPEN`, `ENDED` or `CLOSED`.
    state: AtomicU8,
    /// Wakes the relay.
    waker: AtomicWaker,
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic::new(Counter::default(), Counter::default())
    }
}

impl Traffic {
    /// Traffic that begins now and counts with these.
    pub fn new(up: Counter, down: Counter) -> Self {
        Traffic::begun_at(Instant::now(), up, down)
    }

    /// As [`Traffic::new`], by a caller who has looked at the clock.
    pub fn begun_at(began: Instant, up: Counter, down: Counter) -> Self {
        Traffic {
            up,
            down,
            upstream_ended_first: AtomicBool::new(false),
            began,
            moved: AtomicU64::new(0),
            state: AtomicU8::new(OPEN),
            waker: AtomicWaker::new(),
        }
    }

    /// How long ago it began.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// How long ago a byte was last delivered, or a direction ended.
    pub fn idle(&self) -> Duration {
        self.last_moved().elapsed()
    }

    /// Closes its relay, which ends as if it were stopped. Returns false where that has ended by itself, or was closed before.
    pub fn close(&self) -> bool {
        let closes = self.state.compare_exchange(OPEN, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if closes {
            self.waker.wake();
        }
        closes
    }

    /// Whether somebody has closed its relay.
    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// Whether its relay has not ended and was not closed.
    pub fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) == OPEN
    }

    /// Its relay has ended by itself. Returns false where somebody has closed it.
    pub(super) fn end(&self) -> bool {
        self.state.compare_exchange(OPEN, ENDED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Has `waker` woken when somebody closes it from now on.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Something moves now. Returns this moment.
    pub(super) fn moves(&self) -> Instant {
        let now = Instant::now();
        let since = u64::try_from((now - self.began).as_nanos()).unwrap_or(u64::MAX);
        self.moved.store(since, Ordering::Relaxed);
        now
    }

    /// When something moved last.
    pub(super) fn last_moved(&self) -> Instant {
        self.began + Duration::from_nanos(self.moved.load(Ordering::Relaxed))
    }

    /// `(up, down)` at this moment.
    pub fn read(&self) -> (u64, u64) {
        (self.up.get(), self.down.get())
    }
}
