//! Accepted late: until then nothing is read, as if it waited in the backlog.

use crate::draw::Draw;
use crate::effect::reply::Reply;
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};

const DELAY: Param = Param::span("delay", 1000, "how long");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "accept-late",
    family: Family::Before,
    summary: "the connection is served only after a while",
    params: &[DELAY],
    act: Act::Connection(act),
};

fn act(with: &Values, _: &mut Draw) -> Reply {
    Reply::late(with.span(&DELAY))
}
