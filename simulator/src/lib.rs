//! The production proxy under a deterministic network, or on real sockets, driven by scenario files.
//!
//! A scenario and a seed give the same run, event for event, on every machine: one thread, virtual time, and every
//! random number from the seed (but for [`engine::live`], which has the machine's own). [`run::run`] plays and judges one; [`invariant::INVARIANTS`] hold in all of them.

pub mod batch;
pub mod cli;
pub mod client;
pub mod configuration;
pub mod director;
pub mod engine;
pub mod expect;
pub mod history;
pub mod invariant;
pub mod parity;
pub mod progress;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod swarm;
pub mod sweep;
pub mod timeline_page;
pub mod trace;
pub mod upstream;
