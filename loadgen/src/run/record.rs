//! Holds what happened in a run, for the verdicts.

use std::time::Duration;

use crate::drive::Tally;
use crate::watch::{Snapshot, UpstreamCounts};

/// What happened in a run, for the judges.
pub(super) struct RunRecord {
    pub(super) tally: Tally,
    /// The proxy's statistics from the begin to the end; empty where it has none.
    pub(super) snapshots: Vec<Snapshot>,
    /// What each mock upstream had counted before the run.
    pub(super) counts_before: Vec<UpstreamCounts>,
    /// When the fault began and when it ended.
    pub(super) fault: Option<(Duration, Option<Duration>)>,
    /// How many requests had failed when the fault began.
    pub(super) errors_before_fault: u64,
}
