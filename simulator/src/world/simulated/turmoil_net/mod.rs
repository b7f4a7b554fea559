//! turmoil-net's packets as an engine: hosts, links and virtual time on one thread.

mod current;
mod engine;
mod host;
mod hosts;
mod state;
mod stream;
mod tasks;
mod wire;

pub(in crate::world) use engine::TurmoilNet;
