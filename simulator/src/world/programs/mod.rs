//! Holds the programs that run on hosts besides the proxy: clients, and upstreams as doubles.

pub(super) mod client;
pub(super) mod connector;
pub(super) mod upstream;
