//! A 200 to CONNECT with Content-Length and that body; both are to be ignored, the bytes are the tunnel's (RFC 9110 section 9.3.6).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "length-on-200",
    family: Family::Reply,
    summary: "200 with Content-Length and a body",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Then::Tunnel)
}
