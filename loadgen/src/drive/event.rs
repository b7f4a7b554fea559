//! Defines what a driver reports of a request: its beginning and its end.

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
