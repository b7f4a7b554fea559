//! The bytes of the tunnel come late, slowly, or no more.

pub(in crate::catalogue) mod bandwidth;
pub(in crate::catalogue) mod latency;
pub(in crate::catalogue) mod never_read;
pub(in crate::catalogue) mod stall;
