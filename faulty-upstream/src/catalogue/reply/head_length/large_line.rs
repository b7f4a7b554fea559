//! A head that is too large, by one field.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::{Param, Values};
use mock_upstreams::Asked;

const SIZE: Param = Param::number("size", 1 << 20, 1..=(1 << 26), "bytes of the head");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "large-line",
    family: Family::Reply,
    summary: "one field makes the head too large",
    params: &[SIZE],
    act: Act::Reply(Applies::Connect, act),
};

fn act(with: &Values, _: &Asked, _: &mut Draw) -> Reply {
    let size = usize::try_from(with.number(&SIZE)).unwrap_or(usize::MAX);
    let head = format!("HTTP/1.1 200 OK\r\nX-Large: {}\r\n\r\n", "x".repeat(size));
    Reply::new(None, head, Then::Fin)
}
