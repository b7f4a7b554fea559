//! The tunnel is ended in order (FIN) after so many bytes.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::{Effects, Over, Stop};
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};

const AFTER: Param = Param::bytes("after", 1000, "so many bytes that way");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "cut",
    family: Family::Tunnel,
    summary: "ended in order after so many bytes",
    params: &[WAY, AFTER],
    act: Act::Tunnel(act),
};

fn act(with: &Values, _: &mut Draw, effects: &mut Effects) {
    for flow in effects.flows(with.word(&WAY)) {
        flow.stop = Some((with.number(&AFTER), Stop::Over(Over::Cut)));
    }
}
