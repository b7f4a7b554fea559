//! The tunnel is reset after a time.

use crate::draw::Draw;
use crate::effect::tunnel::{Effects, Over};
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};

const TIME: Param = Param::span("time", 1000, "so long after the 200");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "timed-reset",
    family: Family::Tunnel,
    summary: "reset after a time",
    params: &[TIME],
    act: Act::Tunnel(act),
};

fn act(with: &Values, _: &mut Draw, effects: &mut Effects) {
    effects.end = Some((with.span(&TIME), Over::Reset));
}
