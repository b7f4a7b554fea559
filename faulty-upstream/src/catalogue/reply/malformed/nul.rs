//! A NUL in a field value.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "nul",
    family: Family::Reply,
    summary: "a NUL stands in a field",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(None, "HTTP/1.1 200 OK\r\nX-Field: a\0b\r\n\r\n", Then::Hold)
}
