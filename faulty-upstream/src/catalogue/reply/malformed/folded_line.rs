//! A folded field line (RFC 9112 section 5.2).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "folded-line",
    family: Family::Reply,
    summary: "a field is folded over two lines",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(None, "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\n\r\n", Then::Hold)
}
