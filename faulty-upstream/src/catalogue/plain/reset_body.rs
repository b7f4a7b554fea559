//! The body is cut by a reset.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "body-reset",
    family: Family::Plain,
    summary: "the body is cut by a reset",
    params: &[],
    act: Act::Reply(Applies::Plain, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.", Then::Reset)
}
