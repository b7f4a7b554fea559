//! Clients tell when a request begins and how it ended.

use std::time::Duration;

use loadgen::Failure;
use loadgen::client::checksum::Transferred;
use serde::Serialize;

use super::clock::micros;

/// What a client saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ClientEvent {
    /// A request is about to be made.
    Asked {
        /// The left-most label of its target's name.
        id: String,
        /// What it does, in loadgen's word.
        action: &'static str,
        /// `CONNECT`, or that of the plain request.
        method: String,
        /// `host:port`.
        target: String,
        /// As whom.
        user: Option<String>,
        /// How long it has waited since it was due, in microseconds.
        late_us: u64,
    },
    /// A request is over.
    Ended(ClientResult),
}

/// How a request went, as its client saw it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientResult {
    /// The left-most label of its target's name.
    pub id: String,
    /// What went wrong, and where; none: every byte came as it should.
    pub failure: Option<Failure>,
    /// The status of the proxy's or the target's answer.
    pub status: Option<u16>,
    /// That answer had the field Proxy-Status (RFC 9209).
    pub proxy_status: bool,
    /// Bytes the client sent behind the head.
    pub up: Transferred,
    /// Bytes that came behind the answer's head.
    pub down: Transferred,
    /// How long its parts took.
    pub phases: Phases,
    /// It went over a connection that earlier requests had used.
    pub reused: bool,
    /// From when it was due to its begin, in microseconds.
    pub late_us: u64,
    /// From its begin to when its outcome was known, in microseconds.
    pub took_us: u64,
}

impl ClientResult {
    /// From when it was due to the answer's head; none where none came.
    pub fn answered(&self) -> Option<Duration> {
        let Phases { connect_us, reply_us, first_byte_us, .. } = self.phases;
        let reply = reply_us.or(first_byte_us)?;
        Some(Duration::from_micros(self.late_us + connect_us.unwrap_or(0) + reply))
    }
}

/// loadgen's phases of a request, in microseconds; none where one was not reached or does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of loadgen::PhaseTimes and documented there")]
pub struct Phases {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_byte_us: Option<u64>,
}

impl Phases {
    /// The same in microseconds.
    pub fn of(phases: &loadgen::PhaseTimes) -> Self {
        let loadgen::PhaseTimes { connect, reply, tls, first_byte, last_byte } = phases;
        Phases {
            connect_us: connect.map(micros),
            reply_us: reply.map(micros),
            tls_us: tls.map(micros),
            first_byte_us: first_byte.map(micros),
            last_byte_us: last_byte.map(micros),
        }
    }
}
