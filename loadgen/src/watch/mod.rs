//! Those who saw the requests too: the proxy's statistics, mock upstreams, the proxy's process.

mod process;
mod statistics;
mod upstream;

pub use process::{Process, Work};
pub(crate) use process::{Watch, work};
pub(crate) use statistics::{Looks, Stats, Upstream, stats};
pub use upstream::Entry;
pub(crate) use upstream::{Counts, counts, entries};
