//! Makes many requests in one task, at the pace of a workload, and adds up their outcomes.

mod driver;
mod event;
mod latency_histogram;
mod ledger_line;
mod shard;
mod starts;
mod tally;

pub use driver::drive;
pub use event::RequestEvent;
pub use latency_histogram::LatencyHistogram;
pub(crate) use ledger_line::{ClientAnswer, LedgerLine};
pub use shard::Shard;
pub use tally::{Latencies, Tally};

#[cfg(test)]
mod tests;
