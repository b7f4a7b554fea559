//! The request is read and never answered.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "reply-never",
    family: Family::Reply,
    summary: "never answered",
    params: &[],
    act: Act::Reply(Applies::Any, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::silent(Then::Hold)
}
