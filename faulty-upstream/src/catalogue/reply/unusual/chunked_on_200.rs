//! A 200 to CONNECT with Transfer-Encoding; to be ignored (RFC 9110 section 9.3.6).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "chunked-on-200",
    family: Family::Reply,
    summary: "200 with Transfer-Encoding: chunked",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Then::Tunnel)
}
