//! Laws about the processes, above all the proxy's.

pub(in crate::judge) mod abuse;
pub(in crate::judge) mod by_hand;
pub(in crate::judge) mod drain;
pub(in crate::judge) mod health;
pub(in crate::judge) mod leftovers;
pub(in crate::judge) mod limit;
pub(in crate::judge) mod liveness;
pub(in crate::judge) mod no_panic;
pub(in crate::judge) mod statistics;
