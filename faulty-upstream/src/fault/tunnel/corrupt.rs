//! Bits are flipped, at places that only the draw decides.

use crate::draw::Draw;
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};
use crate::shape::{Effects, Flips};

const WAY: Param = super::WAY;
const EVERY: Param = Param::number("every", 1000, 1..=(1 << 30), "one bit per so many bytes, on average");

pub(in crate::fault) const FAULT: Fault = Fault {
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
