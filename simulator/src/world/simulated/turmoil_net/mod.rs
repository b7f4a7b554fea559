//! This engine simulates packets, with turmoil-net; it is the default.

mod current;
mod engine;
mod host;
mod hosts;
mod state;
mod stream;
mod tasks;
mod wire;

pub(in crate::world) use engine::TurmoilNet;
