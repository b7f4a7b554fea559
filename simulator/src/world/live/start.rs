//! The time of a live run begins at one instant, which is known by both of the machine's clocks.

use std::time::{Instant, SystemTime};

/// Where time begins, by both of the machine's clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) instant: Instant,
    pub(super) wall: SystemTime,
}
