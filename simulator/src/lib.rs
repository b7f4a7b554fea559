//! Runs the production proxy under a deterministic network, from JSON scenarios (ARCHITECTURE.md, "Crates and floors").
//!
//! Nothing is here yet: the crate holds its place in the workspace so that the floors can be checked.
