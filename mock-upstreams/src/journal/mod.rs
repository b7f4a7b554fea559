//! What an upstream writes down.

mod store;

pub use store::*;
