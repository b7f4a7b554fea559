//! A connection that was kept alive is ended when it is used again.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "reused-close",
    family: Family::Plain,
    summary: "a kept connection is ended at its next request",
    params: &[],
    act: Act::Reply(Applies::PlainReused, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(None, "", Then::Fin)
}
