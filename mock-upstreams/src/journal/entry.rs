//! Defines the entries of a journal: one for every connection and every request.

use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use crate::checksum::Transferred;

/// One entry of the journal, which is one line of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The number of the entry. It counts up from 1, so a gap means that entries were dropped.
    pub seq: u64,
    /// The wall-clock time; RFC 3339 in JSON.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// The name of the upstream.
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
        /// Who connected, where the caller knows it: an address, or the name of a host.
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<String>,
    },
    /// A request is over.
    Request(Record),
    /// A connection is over.
    Closed {
        /// The connection's number.
        connection: u64,
        /// How many requests came on it.
        requests: u64,
        /// Why it was closed, unless the client closed it in order.
        reason: Option<&'static str>,
    },
    /// A fault strikes a connection as a whole. It is told at once, since what it does may keep the connection open for ever.
    Struck {
        /// The connection's number.
        connection: u64,
        /// The fault, as its engine names it.
        fault: String,
    },
    /// A fault changed the listener.
    Listener {
        /// `open`, `closed` or `full`.
        state: &'static str,
        /// The faults that asked for it.
        faults: Vec<String>,
    },
    /// The fault plan was changed while the upstream ran.
    Plan {
        /// What was changed.
        change: String,
    },
}

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// The number of its connection on the upstream, from 1.
    pub connection: u64,
    /// Its own number on the connection, from 1.
    pub request: u64,
    /// The request id that the target's name carries, see [`Target::id`](crate::request::Target::id).
    pub id: Option<String>,
    /// The method, as sent.
    pub method: String,
    /// The target, as `host:port`.
    pub target: String,
    /// The user of its credentials, whether or not the password is right.
    pub user: Option<String>,
    /// Whom the target took the client for: who had logged in by NTLM or Negotiate, with this request or an earlier one on its
    /// connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_as: Option<String>,
    /// The status that was sent; `None` where no well-formed status line was sent.
    pub status: Option<u16>,
    /// How the request ended.
    pub outcome: Outcome,
    /// Bytes from the client: of the tunnel, or of the request's body.
    pub up: Transferred,
    /// Bytes to the client: of the tunnel, or of the response's body.
    pub down: Transferred,
    /// How the client ended its side.
    pub client_end: End,
    /// How this upstream ended its side.
    pub upstream_end: End,
    /// The faults that were done to it, by the ids of their plan entries.
    pub faults: Vec<String>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer was sent to its end. For a tunnel: both sides ended in order.
    Completed,
    /// The upstream answered 407: the credentials were missing or wrong.
    Refused,
    /// The upstream answered 502: the target could not be reached.
    Unreachable,
    /// The request was cut short: by the client, by the target, or because the upstream was stopped.
    Aborted,
    /// A fault answered in the upstream's place, or a fault ended the tunnel.
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
    /// Writes the entry as one line of JSON, without the end of the line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain strings and numbers always serialise")
    }
}
