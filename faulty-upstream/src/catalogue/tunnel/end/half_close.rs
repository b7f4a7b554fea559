//! One way is ended in order after so many bytes, the other goes on.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::{Effects, Stop};
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};

const AFTER: Param = Param::bytes("after", 0, "so many bytes that way");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "half-close",
    family: Family::Tunnel,
    summary: "one way is ended, the other goes on",
    params: &[WAY, AFTER],
    act: Act::Tunnel(act),
};

fn act(with: &Values, _: &mut Draw, effects: &mut Effects) {
    for flow in effects.flows(with.word(&WAY)) {
        flow.stop = Some((with.number(&AFTER), Stop::HalfClose));
    }
}
