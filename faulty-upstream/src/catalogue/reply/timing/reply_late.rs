//! The reply comes late.

use crate::draw::Draw;
use crate::fault::{Act, Family, Fault, Moment};
use crate::param::{Param, Values};
use std::time::Duration;

const DELAY: Param = Param::span("delay", 1000, "how long");
const JITTER: Param = Param::span("jitter", 0, "at most this much longer");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "reply-late",
    family: Family::Reply,
    summary: "answered only after a while",
    params: &[DELAY, JITTER],
    act: Act::Delay(act),
};

fn act(with: &Values, _: &Moment, draw: &mut Draw) -> Duration {
    with.span(&DELAY) + draw.span(with.span(&JITTER))
}
