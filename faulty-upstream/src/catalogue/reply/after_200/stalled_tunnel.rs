//! 200 before the target was dialled, then silence.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;
use mock_upstreams::upstream::tunnel::ESTABLISHED;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "stalled-tunnel",
    family: Family::Reply,
    summary: "200 at once, then silence",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(Some(200), ESTABLISHED, Then::Hold)
}
