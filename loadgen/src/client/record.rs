//! Holds the record of a request that has ended.

use std::time::Duration;

use super::checksum::Transferred;
use super::outcome::Outcome;
use crate::workload::Request;

/// How long each phase of a request took; `None` where the request did not reach it or has no such phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseTimes {
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

/// What is known of a request that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// The request.
    pub request: Request,
    /// When it was due. All times count from the moment at which the driver began.
    pub intended: Duration,
    /// When it really began.
    pub started: Duration,
    /// When its outcome was known.
    pub ended: Duration,
    /// How long each of its phases took.
    pub phases: PhaseTimes,
    /// How it went.
    pub outcome: Outcome,
    /// The status of the reply to CONNECT, or of the response to a plain request.
    pub status: Option<u16>,
    /// Whether that answer had the field Proxy-Status, by which a proxy says what it met (RFC 9209).
    pub proxy_status: bool,
    /// Bytes sent to the target: in the tunnel, or of the request's body.
    pub up: Transferred,
    /// Bytes from the target: of the tunnel, or of the response's body.
    pub down: Transferred,
    /// The upstream that the response says it came through.
    pub exit: Option<String>,
    /// Whether it went over a connection that earlier requests had used.
    pub reused: bool,
    /// Whether it asked for a tunnel.
    pub tunnel: bool,
}

impl RequestRecord {
    /// The latency from when it was due to its outcome, as a user feels it: the time that it had to wait counts too.
    pub fn corrected(&self) -> Duration {
        self.ended.saturating_sub(self.intended)
    }

    /// The latency from when it really began to its outcome.
    pub fn uncorrected(&self) -> Duration {
        self.ended.saturating_sub(self.started)
    }
}
