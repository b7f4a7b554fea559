//! So many bytes a second and no more.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::Effects;
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};
use std::num::NonZeroU64;

const RATE: Param = Param::number("bytes_per_second", 65_536, 1..=(1 << 40), "the limit");

pub(in crate::catalogue) const FAULT: Fault = Fault {
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
