//! The client's bytes are never read: back-pressure.

use crate::draw::Draw;
use crate::effect::tunnel::{Effects, Stop};
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};

const HOLD: Param = Param::span("hold", 60_000, "closed after this time");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "never-read",
    family: Family::Tunnel,
    summary: "what the client sends is never read",
    params: &[HOLD],
    act: Act::Tunnel(act),
};

fn act(with: &Values, _: &mut Draw, effects: &mut Effects) {
    effects.up.stop = Some((0, Stop::Stall(with.span(&HOLD))));
}
