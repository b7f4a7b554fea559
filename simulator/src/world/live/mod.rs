//! Real sockets in real time: the proxy's own binary as a child process, upstreams and clients on loopback.

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
