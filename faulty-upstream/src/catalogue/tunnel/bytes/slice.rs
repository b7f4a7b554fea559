//! Bytes come in small writes.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::Effects;
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};
use std::num::NonZeroUsize;

const SIZE: Param = Param::number("size", 1, 1..=65_536, "bytes of one write");
const GAP: Param = Param::span("gap", 0, "time between two");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "slice",
    family: Family::Tunnel,
    summary: "bytes come in small writes",
    params: &[WAY, SIZE, GAP],
    act: Act::Tunnel(act),
};

fn act(with: &Values, _: &mut Draw, effects: &mut Effects) {
    for flow in effects.flows(with.word(&WAY)) {
        flow.slice = NonZeroUsize::new(usize::try_from(with.number(&SIZE)).unwrap_or(1));
        flow.gap = with.span(&GAP);
    }
}
