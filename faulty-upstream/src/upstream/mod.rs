//! Plays one faulty upstream: on each connection it does what its plan decides.

mod play;
mod serve;
mod shape;
mod tls;
mod tunnel;

pub use serve::FaultyUpstream;
