//! turmoil's own `Sim` as an engine: each host has a runtime and a clock of its own, and TCP is turmoil's.

mod engine;
mod host;
mod line;
mod machine;
mod stream;
#[cfg(test)]
mod tests;

pub(in crate::world) use engine::Turmoil;
