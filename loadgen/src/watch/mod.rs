//! Asks the witnesses beside the client: the proxy's statistics, mock upstreams, the proxy's process, our own threads.

mod foreign;
mod process;
mod statistics;
mod upstream;

pub use process::ProxyProcess;
pub(crate) use process::{ProcessWatch, ThreadWork, thread_work};
pub(crate) use statistics::{ProxyStatistics, Snapshot, UpstreamStatistics};
pub use statistics::{StatisticsOf, StatisticsPage};
pub(crate) use upstream::{JournalEntry, UpstreamCounts, journal_entries, upstream_counts};
