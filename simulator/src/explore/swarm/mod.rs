//! Scenarios made up from a seed, so that a sweep of many finds combinations that nobody thought of.

mod draw;
mod load;
mod scenario;
mod setup;
mod timeline;

pub use scenario::{scenario, seed_of};
