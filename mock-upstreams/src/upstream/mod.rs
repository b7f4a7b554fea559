//! One upstream proxy, and how it serves one connection.

pub mod forward;
pub mod intercept;
mod serve;
mod status;
pub mod tunnel;

pub use serve::*;
