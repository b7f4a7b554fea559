//! One way stops after so many bytes; nothing is closed.

use crate::draw::Draw;
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};
use crate::shape::{Effects, Stop};

const WAY: Param = super::WAY;
const AFTER: Param = Param::bytes("after", 1000, "so many bytes that way");
const HOLD: Param = Param::span("hold", 60_000, "closed after this time");

pub(in crate::fault) const FAULT: Fault = Fault {
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
