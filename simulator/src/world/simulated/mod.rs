//! The simulated engines run the proxy's code in this process, over a simulated network and in virtual time.

mod chance;
mod env;
mod host;
mod proxy;
pub(super) mod turmoil;
pub(super) mod turmoil_net;
