//! A live run begins at one instant, which is noted by the monotonic clock and by the wall clock.

use std::time::{Instant, SystemTime};

/// When the run began, by the monotonic clock and by the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) instant: Instant,
    pub(super) wall: SystemTime,
}
