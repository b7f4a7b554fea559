//! Describes what a fault writes on one connection, and how the connection goes on, as plain data.

use std::time::Duration;

use bytes::Bytes;

/// A reply: its steps in order, and how the connection goes on behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The status that a strict reader of the reply would see, if any.
    pub(crate) status: Option<u16>,
    /// What is written, and when.
    pub(crate) steps: Vec<Step>,
    /// How the connection goes on.
    pub(crate) then: Then,
}

/// One step of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Writes these bytes in one write.
    Write(Bytes),
    /// Writes nothing for that long.
    Wait(Duration),
}

/// How a connection goes on behind a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Ends our side in order, and closes once the client has ended its side.
    Fin,
    /// Resets the connection.
    Reset,
    /// Reads and discards what the client sends until it ends its side, and writes nothing.
    Hold,
    /// Neither reads nor writes for that long, then closes.
    Freeze(Duration),
    /// Writes these bytes again and again until the client is gone.
    Repeat(Bytes),
    /// Opens the tunnel that the client asked for. The target is reached before anything is written.
    Tunnel,
    /// As `Tunnel`, but the reply waits for the target's first bytes and is written together with them.
    TunnelGlued,
    /// Goes on with the next request, as a good upstream does.
    GoOn,
    /// Goes on as `GoOn` does, but the reply counts as the answer to the next CONNECT.
    GoOnAnswered,
}

impl Reply {
    /// Writes `bytes` in one write.
    pub(crate) fn new(status: Option<u16>, bytes: impl Into<Bytes>, then: Then) -> Self {
        Reply { status, steps: vec![Step::Write(bytes.into())], then }
    }

    /// Writes nothing.
    pub(crate) fn silent(then: Then) -> Self {
        Reply { status: None, steps: Vec::new(), then }
    }

    /// Waits, then goes on as a good upstream does.
    pub(crate) fn late(delay: Duration) -> Self {
        Reply { status: None, steps: vec![Step::Wait(delay)], then: Then::GoOn }
    }

    /// Whether nothing is written.
    pub(crate) fn is_silent(&self) -> bool {
        let writes = |step: &Step| matches!(step, Step::Write(_));
        !self.steps.iter().any(writes) && !matches!(self.then, Then::Repeat(_))
    }

    /// Whether a tunnel follows.
    pub(crate) fn opens_tunnel(&self) -> bool {
        matches!(self.then, Then::Tunnel | Then::TunnelGlued)
    }
}
