//! A run leaves a record behind, by which it is judged.

use std::sync::Arc;
use std::time::Duration;

use super::gave_up::GaveUp;
use super::trace::Trace;
use crate::scenario::HostName;
use crate::subject::Subject;

/// All that a run leaves behind.
#[derive(Debug, Default)]
pub struct RunRecord {
    /// All that happened, in order.
    pub trace: Trace,
    /// The proxy under test.
    pub subject: Arc<Subject>,
    /// What tasks panicked with.
    pub panics: Vec<String>,
    /// Tasks and connections of a proxy that were left when it had stopped, and clients that did not finish, each by its host.
    pub left: Vec<(HostName, String)>,
    /// Progress that was demanded of the proxy on a host, and not made.
    pub stuck: Vec<(HostName, String)>,
    /// Why the run was given up before its end, if it was. Then the rest says nothing about the proxy.
    pub gave_up: Option<GaveUp>,
    /// How far apart two witnesses may stamp the same instant. Zero in a simulation.
    pub clock_skew: Duration,
    /// How late the engine may do what is due. Zero in a simulation.
    pub tolerance: Duration,
    /// What a proxy on real sockets has logged itself, if it was to be kept.
    pub log: Option<ProxyLog>,
}

/// The log of a proxy's processes, one after the other.
#[derive(Clone, Debug, Default)]
pub struct ProxyLog {
    /// The configuration file that the first of them began with.
    pub config: String,
    /// Its lines, complete.
    pub lines: String,
}
