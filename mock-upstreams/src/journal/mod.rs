//! Keeps the journal of an upstream: every connection and every request, in the order in which they began or ended.
//!
//! The journal is bounded: the oldest entries make room for new ones, and are counted. The sums are kept apart from
//! the entries, so they stay complete.

mod counts;
mod entry;
mod file;
mod recording;
mod store;

pub use counts::Counts;
pub use entry::{End, Entry, Event, Outcome, Record};
pub use file::JournalFile;
pub(crate) use recording::Recording;
pub use store::{Clock, DEFAULT_CAPACITY, Journal, Sink};
