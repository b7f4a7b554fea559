//! Counts the bytes that a relay delivers, while it delivers them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

/// Bytes that a relay has delivered.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Client to upstream.
    pub up: Counter,
    /// Upstream to client.
    pub down: Counter,
    /// The upstream ended its direction, in order, while the client's was still open.
    pub upstream_ended_first: AtomicBool,
}

impl Traffic {
    /// `(up, down)` at this moment.
    pub fn read(&self) -> (u64, u64) {
        (self.up.get(), self.down.get())
    }
}
