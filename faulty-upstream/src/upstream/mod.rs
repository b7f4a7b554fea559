//! One faulty upstream: a mock, a plan, and the playing of what the plan decides.

mod play;
mod serve;
mod shape;
mod tunnel;

pub use serve::FaultyUpstream;
