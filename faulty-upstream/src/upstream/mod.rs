//! One faulty upstream: it plays on each connection what its plan decides.

mod play;
mod serve;
mod shape;
mod tunnel;

pub use serve::FaultyUpstream;
