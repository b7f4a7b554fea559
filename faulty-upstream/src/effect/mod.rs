//! What faults do, as plain data: each kind of fault computes one of these, and the upstream plays it.

pub mod listener;
pub mod reply;
pub mod tunnel;
