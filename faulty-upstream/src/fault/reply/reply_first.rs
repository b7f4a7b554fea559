//! The reply comes before the request is read; afterwards the tunnel works.

use crate::draw::Draw;
use crate::fault::{Act, Family, Fault};
use crate::param::Values;
use crate::reply::{Reply, Then};

pub(in crate::fault) const FAULT: Fault = Fault {
    name: "reply-first",
    family: Family::Reply,
    summary: "the 200 comes before the request is read",
    params: &[],
    act: Act::Connection(act),
};

fn act(_: &Values, _: &mut Draw) -> Reply {
    Reply::new(None, super::ESTABLISHED, Then::GoOnAnswered)
}
