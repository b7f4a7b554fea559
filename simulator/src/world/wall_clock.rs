//! The wall clock of a world, which a scenario can make jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use crate::record::Clock;

/// What every clock on a wall says when a scenario begins: 2026-01-01, in milliseconds of the Unix epoch.
const BEGINS_AT: u64 = 1_767_225_600_000;

/// A wall clock: the world's time from a fixed day on, and the jumps that a scenario makes it do.
#[derive(Clone, Debug)]
pub struct WallClock {
    clock: Clock,
    jumped_ms: Arc<AtomicI64>,
}

impl WallClock {
    /// One that goes with `clock`.
    pub fn new(clock: Clock) -> Self {
        WallClock { clock, jumped_ms: Arc::default() }
    }

    /// What it says.
    pub fn now(&self) -> SystemTime {
        let jumped = self.jumped_ms.load(Ordering::Relaxed);
        let base = Duration::from_millis(BEGINS_AT.saturating_add_signed(jumped));
        SystemTime::UNIX_EPOCH + base + self.clock.now()
    }

    /// Sets it forward, or back.
    pub fn jump(&self, milliseconds: i64) {
        self.jumped_ms.fetch_add(milliseconds, Ordering::Relaxed);
    }
}
