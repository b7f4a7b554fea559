//! The proxy's log as files: lines in order, the time of a recording, and what is said of it that no event tells.

mod clock;
mod file;
mod lines;

pub(in crate::incident) use clock::LogClock;
pub(in crate::incident) use lines::{Lines, LogLine, Place, Unread, in_order};
