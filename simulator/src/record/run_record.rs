//! A run leaves a record behind, by which it is judged.

use std::time::Duration;

use super::gave_up::GaveUp;
use super::trace::Trace;

/// All that a run leaves behind.
#[derive(Debug, Default)]
pub struct RunRecord {
    /// All that happened, in order.
    pub trace: Trace,
    /// What tasks panicked with.
    pub panics: Vec<String>,
    /// Tasks and connections of the proxy that were left when it had stopped.
    pub left: Vec<String>,
    /// Progress that was demanded and not made.
    pub stuck: Option<String>,
    /// Why the run was given up before its end, if it was. Then the rest says nothing about the proxy.
    pub gave_up: Option<GaveUp>,
    /// How far apart two witnesses may stamp the same instant. Zero in a simulation.
    pub clock_skew: Duration,
    /// How late the engine may do what is due. Zero in a simulation.
    pub tolerance: Duration,
}
