//! Slow for a while, then well again.

use crate::draw::Draw;
use crate::fault::{Act, Family, Fault, Moment};
use crate::param::{Param, Values};
use std::time::Duration;

const DELAY: Param = Param::span("delay", 5000, "how slow");
const AFTER: Param = Param::span("after", 0, "when it begins");
const FOR: Param = Param::span("for", 30_000, "how long it lasts");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "brown-out",
    family: Family::Whole,
    summary: "slow for a while",
    params: &[DELAY, AFTER, FOR],
    act: Act::Delay(act),
};

fn act(with: &Values, moment: &Moment, _: &mut Draw) -> Duration {
    let begin = with.span(&AFTER);
    let slow = (begin..begin + with.span(&FOR)).contains(&moment.since);
    if slow { with.span(&DELAY) } else { Duration::ZERO }
}
