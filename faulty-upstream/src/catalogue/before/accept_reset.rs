//! Accepted, and reset at once (linger 0: a real RST).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Family, Fault};
use crate::param::Values;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "accept-reset",
    family: Family::Before,
    summary: "the connection is accepted and reset at once",
    params: &[],
    act: Act::Connection(act),
};

fn act(_: &Values, _: &mut Draw) -> Reply {
    Reply::silent(Then::Reset)
}
