//! The time of a world, and of the clocks on its walls.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// What every clock on a wall says when a scenario begins: 2026-01-01, in milliseconds of the Unix epoch.
const BEGINS_AT: u64 = 1_767_225_600_000;

/// The time of a world, zero at its start. Clones tell the same.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// One that tells what `now` does.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Clock(Arc::new(now))
    }

    /// What it tells.
    pub fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}

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
