//! Bits are flipped, at places that only the draw decides.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::{Effects, Flips};
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};

const EVERY: Param = Param::number("every", 1000, 1..=(1 << 30), "one bit per so many bytes, on average");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "corrupt",
    family: Family::Tunnel,
    summary: "bits are flipped",
    params: &[WAY, EVERY],
    act: Act::Tunnel(act),
};

fn act(with: &Values, draw: &mut Draw, effects: &mut Effects) {
    for flow in effects.flows(with.word(&WAY)) {
        flow.flips = Some(Flips::new(with.number(&EVERY), draw.fork()));
    }
}
