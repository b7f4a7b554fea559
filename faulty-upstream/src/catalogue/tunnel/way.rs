//! The setting that says which way of a tunnel a fault works on.

use crate::param::Param;

pub(super) const WAY: Param = Param::word("way", &["down", "up", "both"], "down is towards the client");
