//! What an upstream writes down: every connection and every request, in the order they began or ended.
//!
//! The journal is bounded: the oldest entries make room and are counted. The sums are kept apart and never lose any.

mod counts;
mod entry;
mod recording;
mod store;

pub use counts::Counts;
pub use entry::{End, Entry, Event, Outcome, Record};
pub(crate) use recording::Recording;
pub use store::{Clock, DEFAULT_CAPACITY, Journal, Sink};
