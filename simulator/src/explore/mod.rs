//! This room plays many runs: batches of scenarios, sweeps of made-up ones, ever smaller ones, and the same in several engines.

pub mod batch;
pub mod parity;
pub mod shrink;
pub mod swarm;
pub mod sweep;
