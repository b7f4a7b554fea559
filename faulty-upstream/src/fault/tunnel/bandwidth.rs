//! So many bytes a second and no more.

use crate::draw::Draw;
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};
use crate::shape::Effects;
use std::num::NonZeroU64;

const WAY: Param = super::WAY;
const RATE: Param = Param::number("bytes_per_second", 65_536, 1..=(1 << 40), "the limit");

pub(in crate::fault) const FAULT: Fault = Fault {
    name: "bandwidth",
    family: Family::Tunnel,
    summary: "a limit of bytes per second",
    params: &[WAY, RATE],
    act: Act::Tunnel(act),
};

fn act(with: &Values, _: &mut Draw, effects: &mut Effects) {
    for flow in effects.flows(with.word(&WAY)) {
        flow.rate = NonZeroU64::new(with.number(&RATE));
    }
}
