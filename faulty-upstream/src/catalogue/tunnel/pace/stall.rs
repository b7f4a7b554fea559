//! One way stops after so many bytes; nothing is closed.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::{Effects, Stop};
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};

const AFTER: Param = Param::bytes("after", 1000, "so many bytes that way");
const HOLD: Param = Param::span("hold", 60_000, "closed after this time");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "stall",
    family: Family::Tunnel,
    summary: "one way stops, and nothing is closed",
    params: &[WAY, AFTER, HOLD],
    act: Act::Tunnel(act),
};

fn act(with: &Values, _: &mut Draw, effects: &mut Effects) {
    for flow in effects.flows(with.word(&WAY)) {
        flow.stop = Some((with.number(&AFTER), Stop::Stall(with.span(&HOLD))));
    }
}
