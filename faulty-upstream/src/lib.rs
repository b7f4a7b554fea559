//! An upstream proxy with a fault plan: a mock that does, to chosen connections, one of the things in [`CATALOGUE`].
//!
//! Like the mock it serves one already connected stream and reaches targets through a `connect` closure; what it needs
//! beyond bytes, a reset and a hold on the listener, comes in through [`Duplex`] and [`Listener`]. Which connection gets
//! which fault is a pure function of the seed, the upstream's name, the plan entry and the connection's and request's
//! numbers ([`draw`]).

pub mod admin;
pub mod catalogue;
pub mod draw;
pub mod effect;
pub mod fault;
mod io;
pub mod listen;
pub mod param;
pub mod plan;
pub mod upstream;

pub use catalogue::CATALOGUE;
pub use effect::listener::State;
pub use fault::Fault;
pub use io::{Duplex, Listener};
pub use plan::Plan;
pub use upstream::FaultyUpstream;
