//! What a driver tells of a request: that it began, and that it is over.

use std::time::Duration;

use crate::client::RequestRecord;
use crate::workload::Request;

/// What a driver tells of a request.
#[derive(Clone, Debug)]
pub enum RequestEvent {
    /// A request begins.
    Began {
        /// The request.
        request: Request,
        /// When it was due, since the driver began.
        intended: Duration,
        /// When it really began, since the driver began.
        started: Duration,
    },
    /// A request is over.
    Ended(Box<RequestRecord>),
}
