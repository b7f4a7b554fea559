//! The port is closed.

use crate::effect::listener::{Phase, State};
use crate::fault::{Act, Family, Fault};
use crate::param::Values;
use std::time::Duration;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "refuse",
    family: Family::Before,
    summary: "the listener is closed: connections are refused",
    params: &[],
    act: Act::Listener(act),
};

fn act(_: &Values, _: Duration) -> Phase {
    Phase::always(State::Closed)
}
