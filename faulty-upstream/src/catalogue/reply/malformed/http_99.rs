//! A version that does not exist.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "http-9.9",
    family: Family::Reply,
    summary: "the version is HTTP/9.9",
    params: &[],
    act: Act::Reply(Applies::Any, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(None, "HTTP/9.9 200 OK\r\n\r\n", Then::Hold)
}
