//! The end of one way is passed on late.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::Effects;
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};

const DELAY: Param = Param::span("delay", 1000, "how late");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "close-late",
    family: Family::Tunnel,
    summary: "the end is passed on late",
    params: &[WAY, DELAY],
    act: Act::Tunnel(act),
};

fn act(with: &Values, _: &mut Draw, effects: &mut Effects) {
    for flow in effects.flows(with.word(&WAY)) {
        flow.late_end = with.span(&DELAY);
    }
}
