//! The target's first bytes come in the same packet as the 200; a good reply.

use crate::draw::Draw;
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use crate::reply::{Reply, Then};
use mock_upstreams::Asked;

pub(in crate::fault) const FAULT: Fault = Fault {
    name: "glued",
    family: Family::Reply,
    summary: "the 200 and the target's first bytes come in one packet",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(Some(200), super::ESTABLISHED, Then::TunnelGlued)
}
