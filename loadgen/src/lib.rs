//! Load for proxies: clients that measure, and verdicts on what they saw.
//!
//! A [`Workload`] is paced load of a mix of [`Action`]s. [`drive`] runs it in one task over streams that come from a
//! [`Net`]: sockets in the binary, a simulated network elsewhere. The library opens no socket, spawns no task and reads
//! no clock but tokio's, which follows paused time; what it draws at random is a pure function of a seed and a
//! request's number, in integers.
//!
//! HTTP is read and written here, never by the proxy's code, so that one bug can't cancel itself out.

pub mod action;
pub mod checksum;
pub mod client;
pub mod draw;
pub mod driver;
pub mod outcome;
pub mod quantity;
pub mod report;
pub mod schedule;
pub mod tally;
pub mod verdict;
pub mod wire;
pub mod workload;

pub use action::Action;
pub use client::{Done, Net, Phases};
pub use driver::{Event, Gauge, Shard, drive};
pub use outcome::{Failure, Kind, Outcome, Phase};
pub use report::Report;
pub use tally::Tally;
pub use workload::{Mix, Pace, Stage, Stop, User, Workload};
