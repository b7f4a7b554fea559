//! The live engine runs a proxy's own binary on real sockets and in real time: netdrift's, or that of another subject.

mod address;
mod binary;
mod child;
mod engine;
mod host;
mod log;
mod program;
mod settings;
mod start;
mod stream;
mod unsupported;
mod watchdog;

pub use binary::{find as find_proxy, use_proxy};
pub use engine::Live;
pub(super) use program::is_installed;
pub use program::version;
