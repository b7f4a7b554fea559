//! A block comes twice.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::{Again, Effects};
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};

const AT: Param = Param::bytes("at", 100, "where it begins");
const LENGTH: Param = Param::number("length", 100, 1..=(1 << 20), "how long it is");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "duplicate",
    family: Family::Tunnel,
    summary: "a block comes twice",
    params: &[WAY, AT, LENGTH],
    act: Act::Tunnel(act),
};

fn act(with: &Values, _: &mut Draw, effects: &mut Effects) {
    for flow in effects.flows(with.word(&WAY)) {
        flow.again = Some(Again::new(with.number(&AT), with.number(&LENGTH)));
    }
}
