//! Engines that simulate the network in virtual time and run the proxy's code in this process.

mod env;
mod host;
mod proxy;
pub(super) mod turmoil;
pub(super) mod turmoil_net;
