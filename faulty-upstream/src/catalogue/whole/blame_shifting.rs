//! The upstream blames a target that is fine.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "blame-shifting",
    family: Family::Whole,
    summary: "502 in the name of a target that is fine",
    params: &[],
    act: Act::Reply(Applies::Any, act),
};

fn act(_: &Values, asked: &Asked, _: &mut Draw) -> Reply {
    let text = format!("{} can't be reached\n", asked.target);
    let head = format!("HTTP/1.1 502 Bad Gateway\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    Reply::new(Some(502), head + &text, Then::Fin)
}
