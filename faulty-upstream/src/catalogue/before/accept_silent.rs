//! Accepted, and never read.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};

const HOLD: Param = Param::span("hold", 60_000, "closed after this time");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "accept-silent",
    family: Family::Before,
    summary: "the connection is accepted and never read",
    params: &[HOLD],
    act: Act::Connection(act),
};

fn act(with: &Values, _: &mut Draw) -> Reply {
    Reply::silent(Then::Freeze(with.span(&HOLD)))
}
