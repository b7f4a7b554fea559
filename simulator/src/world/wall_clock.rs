//! Keeps the wall clock of a world, which a scenario can make jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use crate::record::Clock;

/// What the wall clock shows when a scenario begins: 2026-01-01, in milliseconds since the Unix epoch.
const BEGINS_AT: u64 = 1_767_225_600_000;

/// The wall clock: a fixed day, plus the time of the world, plus all jumps so far. Clones show the same time.
#[derive(Clone, Debug)]
pub struct WallClock {
    clock: Clock,
    jumped_ms: Arc<AtomicI64>,
}

impl WallClock {
    /// A wall clock that runs as `clock` does.
    pub fn new(clock: Clock) -> Self {
        WallClock { clock, jumped_ms: Arc::default() }
    }

    /// What it shows now.
    pub fn now(&self) -> SystemTime {
        let jumped = self.jumped_ms.load(Ordering::Relaxed);
        let base = Duration::from_millis(BEGINS_AT.saturating_add_signed(jumped));
        SystemTime::UNIX_EPOCH + base + self.clock.now()
    }

    /// Sets it forward by that many milliseconds, or back if they are negative.
    pub fn jump(&self, milliseconds: i64) {
        self.jumped_ms.fetch_add(milliseconds, Ordering::Relaxed);
    }
}
