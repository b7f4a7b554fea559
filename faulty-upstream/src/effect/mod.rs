//! Describes what faults do, as plain data: a fault computes one of these, and the upstream plays it.

pub(crate) mod handshake;
pub(crate) mod listener;
pub(crate) mod reply;
pub(crate) mod tunnel;
