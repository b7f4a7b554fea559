//! The process dies with all its connections, and comes back.

use crate::effect::listener::{Phase, State};
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};
use std::time::Duration;

const AFTER: Param = Param::span("after", 0, "so long it lives");
const DOWN: Param = Param::span("down", 10_000, "so long it is dead");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "die",
    family: Family::Whole,
    summary: "dies with all its connections, and comes back",
    params: &[AFTER, DOWN],
    act: Act::Listener(act),
};

fn act(with: &Values, since: Duration) -> Phase {
    let death = with.span(&AFTER);
    let birth = death + with.span(&DOWN);
    if since < death {
        Phase { until: Some(death), ..Phase::always(State::Open) }
    } else if since < birth {
        Phase { state: State::Closed, dead: true, until: Some(birth) }
    } else {
        Phase::always(State::Open)
    }
}
