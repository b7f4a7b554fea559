//! Worlds that a scenario can be played in.
//!
//! `turmoil_net` is a simulated network in virtual time: sockets with handshakes, retransmission and back-pressure, on
//! one thread, with nothing that differs from run to run.

pub mod turmoil_net;
