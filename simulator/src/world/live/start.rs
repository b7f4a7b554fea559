//! When the time of a live run begins.

use std::time::{Instant, SystemTime};

/// Where time begins, by both of the machine's clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) instant: Instant,
    pub(super) wall: SystemTime,
}
