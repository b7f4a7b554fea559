//! Says when requests begin, and when no more do.

use std::str::FromStr;
use std::time::Duration;

use crate::quantity;

/// When requests begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At their own times, whatever became of those before: an open loop.
    Open {
        /// The rates, one stage behind the other.
        stages: Vec<Stage>,
        /// Whether arrivals are independent (Poisson) instead of even.
        poisson: bool,
    },
    /// At these times from the run's begin, none before the one in front of it: an open loop too.
    Listed(Vec<Duration>),
    /// Each client sends the next when the last is over: a closed loop.
    Closed {
        /// The number of clients.
        clients: usize,
        /// The clients begin spread over this time.
        ramp_up: Duration,
        /// The pause of a client between one request and the next.
        think: Duration,
    },
}

/// A stage of an open loop, in which the rate goes evenly from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The rate at its beginning, in thousandths of requests a second.
    pub from: u64,
    /// The rate at its end.
    pub to: u64,
    /// How long it lasts.
    pub span: Duration,
}

/// Stages of an open loop, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages(pub Vec<Stage>);

/// Reads stages: `100x10s,100..500x30s` is a hundred a second for ten seconds, then a ramp.
impl FromStr for Stages {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let stage = |part: &str| {
            let (rates, span) = part.trim().split_once('x').ok_or_else(|| format!("`{part}`: expected RATExTIME"))?;
            let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
            Ok(Stage { from: quantity::rate(from)?, to: quantity::rate(to)?, span: quantity::duration(span)? })
        };
        text.split(',').map(stage).collect::<Result<_, String>>().map(Stages)
    }
}

/// When no further requests begin: at whichever of the two comes first; never, where both are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// After that many requests.
    pub requests: Option<u64>,
    /// After that time.
    pub after: Option<Duration>,
}
