//! Represents points in time, counted from wherever the caller put zero.

use std::time::Duration;

/// Nanoseconds since the caller's zero (for a proxy: since it started). Monotonic; never a wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The caller's zero.
    pub const ZERO: Timestamp = Timestamp(0);
    /// Later than any time that can come: "never".
    pub const NEVER: Timestamp = Timestamp(u64::MAX);

    /// From nanoseconds since zero.
    pub const fn from_nanos(nanos: u64) -> Self {
        Timestamp(nanos)
    }

    /// Nanoseconds since zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This time plus `span`, or [`Timestamp::NEVER`] where that overflows.
    pub fn after(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(nanos))
    }

    /// The span since `earlier`; zero where `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
