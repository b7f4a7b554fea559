//! The decisions, as plain values: which upstream is next, who is ejected, whose fault it was, what is counted.
//!
//! Nothing here knows a socket, a clock, a task or a logger: `now` and random numbers come in as arguments, so
//! that every law can be a property test and every run a replay (ARCHITECTURE.md, "The pure core").

pub mod health;
pub mod time;
pub mod upstream;
