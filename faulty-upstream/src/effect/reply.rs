//! What a fault says and does on one connection, as plain data.
//!
//! A fault computes a [`Reply`]; playing it is the same for all of them (`upstream`).

use std::time::Duration;

use bytes::Bytes;

/// Says `say`, then does `then`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status a strict reader would take it for; `None` if it would take it for none.
    pub status: Option<u16>,
    /// What is written and when.
    pub say: Vec<Part>,
    /// How it goes on.
    pub then: Then,
}

/// A piece of what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These bytes in one write.
    Write(Bytes),
    /// Nothing for that long.
    Wait(Duration),
}

/// How it goes on behind what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Ends our side in order and closes once the client has ended its.
    Fin,
    /// Resets the connection.
    Reset,
    /// Swallows what the client sends until it ends its side; says nothing.
    Hold,
    /// Neither reads nor writes for that long, then closes.
    Freeze(Duration),
    /// Writes these bytes again and again until the client is gone.
    Repeat(Bytes),
    /// Opens the tunnel that was asked for. The target is dialled before anything is said.
    Tunnel,
    /// The same, but what is said waits for the target's first bytes and goes out in one write with them.
    TunnelGlued,
    /// Goes on with the next request as a good upstream does.
    GoOn,
    /// Goes on, but what was said counts as the answer to the next CONNECT.
    GoOnAnswered,
}

impl Reply {
    /// Says `bytes` in one write, then does `then`.
    pub fn new(status: Option<u16>, bytes: impl Into<Bytes>, then: Then) -> Self {
        Reply { status, say: vec![Part::Write(bytes.into())], then }
    }

    /// Says nothing and does `then`.
    pub fn silent(then: Then) -> Self {
        Reply { status: None, say: Vec::new(), then }
    }

    /// Waits, then goes on as a good upstream does.
    pub fn late(delay: Duration) -> Self {
        Reply { status: None, say: vec![Part::Wait(delay)], then: Then::GoOn }
    }

    /// Whether a tunnel comes behind it.
    pub fn opens_tunnel(&self) -> bool {
        matches!(self.then, Then::Tunnel | Then::TunnelGlued)
    }
}
