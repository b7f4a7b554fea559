//! A status of five digits.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "absurd-number",
    family: Family::Reply,
    summary: "the status has five digits",
    params: &[],
    act: Act::Reply(Applies::Any, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(None, "HTTP/1.1 20000 OK\r\n\r\n", Then::Hold)
}
