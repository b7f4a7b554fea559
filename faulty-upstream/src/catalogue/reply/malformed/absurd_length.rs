//! A Content-Length that no integer holds.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "absurd-length",
    family: Family::Reply,
    summary: "Content-Length is beyond all integers",
    params: &[],
    act: Act::Reply(Applies::Any, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(None, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 99999999999999999999999\r\n\r\n", Then::Hold)
}
