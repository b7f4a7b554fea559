//! Load for proxies: clients that measure, and verdicts on what they saw.
//!
//! A [`Workload`] is paced load of a mix of [`Action`]s. [`drive`] runs it in one task over streams that come from a
//! [`Net`]: sockets in the binary, a simulated network elsewhere. The library opens no socket, spawns no task and reads
//! no clock but tokio's, which follows paused time; what it draws at random is a pure function of a seed and a
//! request's number, in integers.
//!
//! HTTP is read and written here, never by the proxy's code, so that one bug can't cancel itself out.

pub mod client;
pub mod drive;
pub mod inject;
pub mod quantity;
pub mod report;
pub mod run;
pub mod sockets;
pub mod verdict;
pub mod watch;
pub mod workload;

pub use client::{Done, Failure, Gauge, Kind, Net, Outcome, Phase, Phases, checksum};
pub use drive::{Event, Shard, Tally, drive};
pub use report::Report;
pub use workload::{Action, Mix, Pace, Stage, Stop, User, Workload};
