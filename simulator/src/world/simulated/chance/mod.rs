//! Chance decides what a real machine leaves open: whose turn it is, how many bytes a call moves, whether it fails.
//!
//! The proxy's code knows nothing of this. The engines ask before and after a task runs, and the proxy's environment wraps its streams
//! and its listener.

mod dice;
mod listener;
mod machine;
mod stream;

pub(super) use dice::{Dice, Turn};
pub(super) use listener::ChancyListener;
pub(super) use machine::{Machine, Route, route};
pub(super) use stream::ChancyStream;
