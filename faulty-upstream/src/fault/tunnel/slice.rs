//! Bytes come in small writes.

use crate::draw::Draw;
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};
use crate::shape::Effects;
use std::num::NonZeroUsize;

const WAY: Param = super::WAY;
const SIZE: Param = Param::number("size", 1, 1..=65_536, "bytes of one write");
const GAP: Param = Param::span("gap", 0, "time between two");

pub(in crate::fault) const FAULT: Fault = Fault {
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
