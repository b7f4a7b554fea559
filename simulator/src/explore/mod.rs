//! Many runs: a batch of scenarios, a sweep of made-up ones, the smallest that fails, engines side by side.

pub mod batch;
pub mod parity;
pub mod shrink;
pub mod swarm;
pub mod sweep;
