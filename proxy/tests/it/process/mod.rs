//! Tests the life of a proxy: its start, its reloads, its limits and its end.

pub(crate) mod binary;
mod drain;
mod limits;
mod reload;
mod steer;
