//! A run that would not end by itself is given up.

use std::fmt;
use std::time::Duration;

use crate::scenario::HostName;

/// Why a run was given up before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GaveUp {
    /// Tasks of a host had turn after turn at one instant, so that time stood still.
    Spin {
        /// The host.
        host: HostName,
        /// The instant, within a step of the clock.
        at: Duration,
        /// How many turns all tasks had had at it.
        turns: u64,
    },
    /// The run has used more processor time than a run may.
    TooLong {
        /// How much it may use.
        limit: Duration,
        /// How far the time of its world had come.
        at: Duration,
    },
}

impl GaveUp {
    /// What such runs break, by the name that reports give it.
    pub const fn name(&self) -> &'static str {
        match self {
            GaveUp::Spin { .. } => "spin",
            GaveUp::TooLong { .. } => "too-long",
        }
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GaveUp::Spin { host, at, turns } => {
                write!(f, "tasks of {host} worked without end: {turns} turns at {at:?}, and the clock could not go on")
            }
            GaveUp::TooLong { limit, at } => {
                write!(f, "the run had used {limit:?} of processor time when its clock showed {at:?}")
            }
        }
    }
}
