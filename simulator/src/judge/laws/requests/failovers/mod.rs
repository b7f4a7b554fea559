//! Laws about how often requests are tried at another upstream.

pub(in crate::judge) mod attempts;
pub(in crate::judge) mod failover;
pub(in crate::judge) mod retry_budget;
