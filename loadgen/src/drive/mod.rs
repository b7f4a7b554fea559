//! Many requests in one task, at the pace of a workload, and sums of what they met.

mod driver;
mod event;
mod shard;
mod starts;
mod tally;
mod times;

pub use driver::drive;
pub use event::Event;
pub use shard::Shard;
pub use tally::{Answer, Line, Tally};
pub use times::Times;

#[cfg(test)]
mod tests;
