//! The port is there, but its backlog is full: a SYN gets no answer.

use crate::effect::listener::{Phase, State};
use crate::fault::{Act, Family, Fault};
use crate::param::Values;
use std::time::Duration;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "backlog-full",
    family: Family::Before,
    summary: "the backlog is full: connecting hangs",
    params: &[],
    act: Act::Listener(act),
};

fn act(_: &Values, _: Duration) -> Phase {
    Phase::always(State::Full)
}
