//! A head that never ends: field after field.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use bytes::Bytes;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "endless-head",
    family: Family::Reply,
    summary: "field after field, and no end of the head",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    let fields = Bytes::from("X-More: and more\r\n".repeat(64));
    Reply::new(None, "HTTP/1.1 200 OK\r\n", Then::Repeat(fields))
}
