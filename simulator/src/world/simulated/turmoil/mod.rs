//! This engine simulates whole connections, with turmoil's own `Sim`.

mod engine;
mod host;
mod line;
mod machine;
mod stream;
#[cfg(test)]
mod tests;

pub(in crate::world) use engine::Turmoil;
