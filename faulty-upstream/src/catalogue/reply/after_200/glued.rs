//! The target's first bytes come in the same packet as the 200; a good reply.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;
use mock_upstreams::upstream::tunnel::ESTABLISHED;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "glued",
    family: Family::Reply,
    summary: "the 200 and the target's first bytes come in one packet",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(Some(200), ESTABLISHED, Then::TunnelGlued)
}
