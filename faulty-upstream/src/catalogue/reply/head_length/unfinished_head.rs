//! A head without its empty line, then silence.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "unfinished-head",
    family: Family::Reply,
    summary: "the head lacks its end, then silence",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(None, "HTTP/1.1 200 OK\r\nX-Field: value\r\n", Then::Hold)
}
