//! The reply comes before the request is read; afterwards the tunnel works.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Family, Fault};
use crate::param::Values;
use mock_upstreams::upstream::tunnel::ESTABLISHED;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "reply-first",
    family: Family::Reply,
    summary: "the 200 comes before the request is read",
    params: &[],
    act: Act::Connection(act),
};

fn act(_: &Values, _: &mut Draw) -> Reply {
    Reply::new(None, ESTABLISHED, Then::GoOnAnswered)
}
