//! A status line without a reason phrase; a good reply (RFC 9112 section 4).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "no-reason",
    family: Family::Reply,
    summary: "200 without a reason phrase",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 \r\n\r\n", Then::Tunnel)
}
