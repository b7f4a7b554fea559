//! How and when the tunnel ends.

pub(in crate::catalogue) mod close_late;
pub(in crate::catalogue) mod cut;
pub(in crate::catalogue) mod half_close;
pub(in crate::catalogue) mod timed_cut;
pub(in crate::catalogue) mod timed_reset;
pub(in crate::catalogue) mod tunnel_reset;
