//! When requests begin, and when no further ones do.

use std::time::Duration;

use crate::quantity;

/// When requests begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At their own times, whatever became of those before: an open loop.
    Open {
        /// One after the other.
        stages: Vec<Stage>,
        /// Independent arrivals (Poisson) instead of even ones.
        poisson: bool,
    },
    /// Each client sends the next when the last is over: a closed loop.
    Closed {
        /// Clients.
        clients: usize,
        /// The clients begin spread over this time.
        ramp_up: Duration,
        /// Between one request and the next.
        think: Duration,
    },
}

/// A stretch of an open loop in which the rate goes evenly from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// At its beginning: thousandths of requests in a second.
    pub from: u64,
    /// At its end.
    pub to: u64,
    /// How long.
    pub span: Duration,
}

/// Stages as written on a command line: `100x10s,100..500x30s` is a hundred a second for ten seconds, then a ramp.
///
/// # Errors
/// A sentence that says what was read and what was expected.
pub fn stages(text: &str) -> Result<Vec<Stage>, String> {
    let stage = |part: &str| {
        let (rates, span) = part.trim().split_once('x').ok_or_else(|| format!("`{part}`: expected RATExTIME"))?;
        let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
        Ok(Stage { from: quantity::rate(from)?, to: quantity::rate(to)?, span: quantity::duration(span)? })
    };
    text.split(',').map(stage).collect()
}

/// When no further requests begin: whatever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// After that many requests.
    pub requests: Option<u64>,
    /// After that time.
    pub after: Option<Duration>,
}
