//! The listener comes and goes on a schedule.

use crate::effect::listener::{Phase, State};
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};
use std::time::Duration;

const UP: Param = Param::span("up", 10_000, "so long it is open");
const DOWN: Param = Param::span("down", 5000, "so long it is closed");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "flap",
    family: Family::Whole,
    summary: "the listener closes and opens on a schedule",
    params: &[UP, DOWN],
    act: Act::Listener(act),
};

fn act(with: &Values, since: Duration) -> Phase {
    let (up, down) = (with.span(&UP).as_nanos(), with.span(&DOWN).as_nanos());
    let cycle = (up + down).max(1);
    let begun = since.as_nanos() - since.as_nanos() % cycle;
    let at = since.as_nanos() - begun;
    let (state, end) = if at < up { (State::Open, up) } else { (State::Closed, cycle) };
    let until = u64::try_from(begun + end).ok().map(Duration::from_nanos);
    Phase { state, dead: false, until }
}
