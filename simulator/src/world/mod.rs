//! This room plays scenarios: it holds the engines with their hosts and links, the programs on the hosts, and the director.
//!
//! An engine never pretends: if it can't do what a scenario asks for, it names that, before the run or when the time comes.

mod director;
mod engine;
mod kind;
mod link;
pub mod live;
mod patience;
mod programs;
mod simulated;
mod tasks;
mod wall_clock;

pub use engine::{Engine, Host, RunsProxy};
pub use kind::EngineKind;
pub use link::{Gate, Link, LinkChange};
pub use patience::{Patience, end_when_stalled};
pub use wall_clock::WallClock;
