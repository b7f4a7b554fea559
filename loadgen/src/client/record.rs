//! What is known of a request that is over.

use std::time::Duration;

use super::checksum::Sum;
use super::outcome::Outcome;
use crate::workload::Request;

/// How long each phase took; none where it was not reached or does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Connecting to the proxy.
    pub connect: Option<Duration>,
    /// From the CONNECT sent to its reply read.
    pub reply: Option<Duration>,
    /// The TLS handshake with the target.
    pub tls: Option<Duration>,
    /// From the first byte sent to the target to the first byte of its answer.
    pub first_byte: Option<Duration>,
    /// From there to the last byte.
    pub last_byte: Option<Duration>,
}

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which.
    pub request: Request,
    /// When it was due. All times count from the run's begin.
    pub intended: Duration,
    /// When it really began.
    pub started: Duration,
    /// When its outcome was known.
    pub ended: Duration,
    /// Its parts.
    pub phases: Phases,
    /// How it went.
    pub outcome: Outcome,
    /// The status of the reply to CONNECT, or of the response to a plain request.
    pub status: Option<u16>,
    /// Bytes sent to the target: in the tunnel, or of the request's body.
    pub up: Sum,
    /// Bytes from the target: of the tunnel, or of the response's body.
    pub down: Sum,
    /// Through which upstream, where the response said so.
    pub exit: Option<String>,
    /// It went over a connection that earlier requests had used.
    pub reused: bool,
    /// It asked for a tunnel.
    pub tunnel: bool,
}

impl Done {
    /// From when it was due to its outcome: what a user feels, waiting in line included.
    pub fn corrected(&self) -> Duration {
        self.ended.saturating_sub(self.intended)
    }

    /// From when it began to its outcome.
    pub fn uncorrected(&self) -> Duration {
        self.ended.saturating_sub(self.started)
    }
}
