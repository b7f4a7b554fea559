//! The swarm makes scenarios up from seeds, so that a sweep finds combinations that nobody thought of.

mod admin;
mod ambush;
mod both_kinds;
mod draw;
mod fault;
mod load;
mod scenario;
mod setup;
mod timeline;

pub use draw::Genome;
pub use scenario::{scenario, seed_of};
