//! Describes what faults do to the listener, as plain data.

use std::time::Duration;

/// The state of a listener. Where several faults strike at once, the later of these states wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It accepts connections.
    Open,
    /// It listens with a full backlog: new connections hang.
    Full,
    /// It does not listen: new connections are refused.
    Closed,
}

impl State {
    /// The state's name in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Full => "full",
            State::Closed => "closed",
        }
    }
}

/// The state of the listener that one fault asks for, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenerPhase {
    /// The state that it asks for.
    pub(crate) state: State,
    /// Whether the upstream is dead in this phase, so that its connections end as well.
    pub(crate) dead: bool,
    /// When the phase ends, as time since the entry came into force. `None` means never.
    pub(crate) until: Option<Duration>,
}

impl ListenerPhase {
    /// A phase that never ends.
    pub(crate) const fn always(state: State) -> Self {
        ListenerPhase { state, dead: false, until: None }
    }
}

/// The state of the listener that a whole plan asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerOrder {
    /// The state that it asks for.
    pub(crate) state: State,
    /// Whether the upstream is dead, so that its connections end as well.
    pub(crate) dead: bool,
    /// The faults that ask for it, as the journal names them.
    pub(crate) faults: Vec<String>,
}

impl ListenerOrder {
    /// The order of a plan without faults of the listener.
    pub(crate) const OPEN: ListenerOrder = ListenerOrder { state: State::Open, dead: false, faults: Vec::new() };
}
