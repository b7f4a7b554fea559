//! What happened in a run, for the judges.

use std::time::Duration;

use crate::drive::Tally;
use crate::watch::{Counts, Looks};

/// What a run was like, for the judges.
pub(crate) struct Ran {
    pub(crate) tally: Tally,
    pub(crate) looks: Looks,
    /// Mock upstreams' counts before the run.
    pub(crate) before: Vec<Counts>,
    pub(crate) fault: Option<(Duration, Option<Duration>)>,
    /// Failures before the fault.
    pub(crate) harmed_before: u64,
}
