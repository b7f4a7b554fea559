//! A head that is too large, by many fields.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::{Param, Values};
use mock_upstreams::Asked;

const SIZE: Param = Param::number("size", 1 << 20, 1..=(1 << 26), "bytes of the head");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "many-lines",
    family: Family::Reply,
    summary: "many fields make the head too large",
    params: &[SIZE],
    act: Act::Reply(Applies::Connect, act),
};

fn act(with: &Values, _: &Asked, _: &mut Draw) -> Reply {
    const FIELD: &str = "X-Many: 0123456789\r\n";
    let count = usize::try_from(with.number(&SIZE)).unwrap_or(usize::MAX).div_ceil(FIELD.len());
    let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", FIELD.repeat(count));
    Reply::new(None, head, Then::Fin)
}
