//! The entries of a journal: one line for every connection and every request.

use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use crate::checksum::Tally;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Counts up by one from 1; a gap means that entries were dropped.
    pub seq: u64,
    /// Wall time, RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// Which upstream.
    #[serde(serialize_with = "plain")]
    pub upstream: Arc<str>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

fn plain<S: serde::Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

fn rfc3339<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_micros(*at))
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A client connected.
    Opened {
        /// The connection's number on this upstream, from 1.
        connection: u64,
    },
    /// A request is over.
    Request(Record),
    /// A connection is over.
    Closed {
        /// Its number.
        connection: u64,
        /// Requests that came on it.
        requests: u64,
        /// Why, where something other than the client's orderly end closed it.
        reason: Option<&'static str>,
        /// Faults that were done to the connection as a whole.
        faults: Vec<String>,
    },
    /// The listener changed: faults of the whole upstream.
    Listener {
        /// `open`, `closed`, `full`.
        state: &'static str,
        /// Faults that asked for it.
        faults: Vec<String>,
    },
    /// The fault plan was changed while it ran.
    Plan {
        /// How.
        change: String,
    },
}

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Which connection of the upstream, from 1.
    pub connection: u64,
    /// Which request of the connection, from 1.
    pub request: u64,
    /// The left-most label of the target's name, where it has one to spare.
    pub id: Option<String>,
    /// As sent.
    pub method: String,
    /// `host:port`.
    pub target: String,
    /// The user it came with, verified or not.
    pub user: Option<String>,
    /// The status that was sent; `None` where no well-formed status line was.
    pub status: Option<u16>,
    /// How it went.
    pub outcome: Outcome,
    /// Bytes from the client: of the tunnel, or of the request's body.
    pub up: Tally,
    /// Bytes to the client: of the tunnel, or of the response's body.
    pub down: Tally,
    /// How the client ended its side.
    pub client_end: End,
    /// How this upstream ended its side.
    pub upstream_end: End,
    /// The faults that were done to it, by the ids of their plan entries.
    pub faults: Vec<String>,
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer was sent to its end; of a tunnel, both sides ended in order.
    Completed,
    /// Answered with 407: no credentials, or wrong ones.
    Refused,
    /// Answered with 502: the target could not be reached.
    Unreachable,
    /// Cut before its end, by the client, by the target, or because this upstream was stopped.
    Aborted,
    /// A fault answered in the upstream's place, or ended the tunnel.
    Faulted,
}

/// How one side of a connection ended, as far as this upstream could see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It had not ended when the request was over.
    Open,
    /// In order.
    Fin,
    /// By a reset.
    Rst,
}

impl Entry {
    /// As one line of JSON, without the line's end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain strings and numbers always serialise")
    }
}
