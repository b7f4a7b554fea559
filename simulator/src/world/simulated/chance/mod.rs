//! Chance decides what a real machine leaves open: whose turn it is, how many bytes a call moves, whether it fails.
//!
//! All of it stands behind the seam: the engines ask before and after the turn of a task, and the proxy's environment wraps its streams
//! and its listener.

mod dice;
mod listener;
mod machine;
mod stream;

pub(super) use dice::{Dice, Turn};
pub(super) use listener::ChancyListener;
pub(super) use machine::{Machine, Route, route};
pub(super) use stream::ChancyStream;
