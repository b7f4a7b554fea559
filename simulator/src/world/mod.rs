//! This room plays scenarios: it holds the engines with their hosts and links, the programs on the hosts, and the director.
//!
//! What an engine can't do it says by name, before a run or when it is asked for: none pretends.

mod director;
mod engine;
mod kind;
mod link;
pub mod live;
mod patience;
mod programs;
mod simulated;
mod tasks;
mod unsupported;
mod wall_clock;

pub use engine::{Engine, Host, RunsProxy};
pub use kind::EngineKind;
pub use link::{Gate, Link, LinkChange};
pub use patience::{Patience, end_when_stalled};
pub use wall_clock::WallClock;
