//! What is told of a request: that it began, and that it is over.

use std::time::Duration;

use crate::client::Done;
use crate::workload::Request;

/// What a driver tells while it runs.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request begins.
    Began {
        /// Which.
        request: Request,
        /// When it was due, since the run's begin.
        intended: Duration,
        /// When it began.
        started: Duration,
    },
    /// A request is over.
    Ended(Box<Done>),
}
