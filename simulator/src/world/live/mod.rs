//! The live engine runs the proxy's own binary on real sockets and in real time.

mod address;
mod binary;
mod child;
mod engine;
mod host;
mod log;
mod settings;
mod start;
mod stream;
mod unsupported;
mod watchdog;

pub use binary::{find as find_proxy, use_proxy};
pub use engine::Live;
