//! Accepted, and closed at once in order (FIN).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Family, Fault};
use crate::param::Values;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "accept-close",
    family: Family::Before,
    summary: "the connection is accepted and ended in order at once",
    params: &[],
    act: Act::Connection(act),
};

fn act(_: &Values, _: &mut Draw) -> Reply {
    Reply::silent(Then::Fin)
}
