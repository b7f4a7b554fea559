//! Asks the witnesses beside the client: the proxy's statistics, mock upstreams, the proxy's process, our own threads.

mod foreign;
mod page;
mod process;
mod statistics;
mod upstream;

pub use page::{StatisticsOf, StatisticsPage};
pub use process::ProxyProcess;
pub(crate) use process::{ProcessWatch, ThreadWork, thread_work};
pub(crate) use statistics::{ProxyStatistics, Snapshot, UpstreamStatistics};
pub(crate) use upstream::{JournalEntry, UpstreamCounts, journal_entries, upstream_counts};
