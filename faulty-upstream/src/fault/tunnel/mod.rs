//! In the tunnel.

pub(super) mod bandwidth;
pub(super) mod close_late;
pub(super) mod corrupt;
pub(super) mod cut;
pub(super) mod duplicate;
pub(super) mod half_close;
pub(super) mod latency;
pub(super) mod never_read;
pub(super) mod slice;
pub(super) mod stall;
pub(super) mod timed_cut;
pub(super) mod timed_reset;
pub(super) mod tunnel_reset;

use crate::param::Param;

/// Which way a fault works.
const WAY: Param = Param::word("way", &["down", "up", "both"], "down is towards the client");
