//! Accepts connections, on a listener that the caller supplies or on real sockets.

mod run;
mod socket;

pub use run::run_listener;
pub use socket::{SocketListener, serve};
