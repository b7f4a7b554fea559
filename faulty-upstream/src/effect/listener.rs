//! What a fault does to the listener, as plain data.

use std::time::Duration;

/// How a listener stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It accepts.
    Open,
    /// It is there, but its backlog is full: new connections hang.
    Full,
    /// It is not there: new connections are refused.
    Closed,
}

impl State {
    /// As the journal says it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Full => "full",
            State::Closed => "closed",
        }
    }
}

/// What a fault wants of the listener at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// How it shall stand.
    pub state: State,
    /// The upstream is dead in this phase: its connections go as well.
    pub dead: bool,
    /// When the phase ends, counted like the time it was asked for; `None`: never.
    pub until: Option<Duration>,
}

impl Phase {
    /// As it is, for ever.
    pub const fn always(state: State) -> Self {
        Phase { state, dead: false, until: None }
    }
}

/// How the plan wants the listener, and whose wish it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How it shall stand.
    pub state: State,
    /// The upstream is dead: its connections go as well.
    pub dead: bool,
    /// The faults that want it so.
    pub faults: Vec<String>,
}

impl Standing {
    /// No fault wants anything.
    pub const OPEN: Standing = Standing { state: State::Open, dead: false, faults: Vec::new() };
}
