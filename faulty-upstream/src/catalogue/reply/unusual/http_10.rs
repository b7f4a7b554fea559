//! HTTP/1.0 in the status line, as many old proxies say; a good reply.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "http-1.0",
    family: Family::Reply,
    summary: "200 by HTTP/1.0",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.0 200 OK\r\n\r\n", Then::Tunnel)
}
