//! Accepting connections: on a listener that the caller supplies, or on real sockets.

mod attend;
mod socket;

pub use attend::attend;
pub use socket::{SocketListener, serve};
