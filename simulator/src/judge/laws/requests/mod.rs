//! Laws about single requests.

pub(in crate::judge) mod admission;
pub(in crate::judge) mod answered;
pub(in crate::judge) mod bytes;
pub(in crate::judge) mod certificates;
pub(in crate::judge) mod configured;
pub(in crate::judge) mod conservation;
pub(in crate::judge) mod failovers;
pub(in crate::judge) mod idle;
pub(in crate::judge) mod once;
pub(in crate::judge) mod reload;
pub(in crate::judge) mod reply;
pub(in crate::judge) mod verdict;
