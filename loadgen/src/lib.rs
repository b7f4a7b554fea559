//! Load for proxies with a verdict on weights and failover (ARCHITECTURE.md, "Crates and floors").
//!
//! Nothing is here yet: the crate holds its place in the workspace so that the floors can be checked.
