//! This room plays many runs: batches of scenarios, sweeps of made-up ones, ever smaller ones, the same in several engines, and
//! every fault against every subject.

pub mod base;
pub mod batch;
mod corpus;
pub mod coverage;
mod law_diff;
pub mod matrix;
pub mod parity;
pub mod results;
pub mod shard;
pub mod shrink;
pub mod swarm;
pub mod sweep;
mod trace_diff;

pub use law_diff::law_differences;
pub use trace_diff::TraceDiff;
